"""The webhook: signed bodies that Stripe never sends, and signatures that it never makes."""

import hashlib
import hmac
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from hypothesis import strategies as st

from .fuzzed_system import FuzzedSystem
from .http_calls import Request, Response, send
from .json_inputs import header_values, json_values, mutated_json, weighted, write_json
from .message_inputs import mutated_bytes
from .targets import Target

_OK: Final = 200
_MAX_BODY: Final = 256 * 1024
_HARMLESS_EVENT: Final = b'{"id":"evt_1","object":"event","type":"charge.updated"}'


def targets(system: FuzzedSystem) -> Iterator[Target]:
    """Yield bodies and signatures."""
    secret = system.stack.facts.webhook_secret

    def deliver(body: bytes, signature: bytes) -> Response:
        headers = {"Content-Type": b"application/json", "Stripe-Signature": signature}
        return send(system.gateway, Request("POST", "/api/stripe/webhook", headers, body))

    def send_body(body: bytes) -> None:
        system.accounted.possible_payments.add(_intent_id(body))
        response = deliver(body, b"t=%b,v1=%b" % _sign(body, secret))
        assert response.status in (200, 400, 413), f"{response.status}: {response.body[:300]!r}"

    def send_signature(parts: list[tuple[bytes, bytes]]) -> None:
        timestamp, digest = _sign(_HARMLESS_EVENT, secret)
        values = {b"TIME": timestamp, b"DIGEST": digest}
        header = b",".join(name + values.get(value, value) for name, value in parts)
        response = deliver(_HARMLESS_EVENT, header)
        assert response.status in (200, 400), f"{response.status}: {response.body[:300]!r}"
        if response.status == _OK:
            assert {b"t=" + timestamp, b"v1=" + digest} <= {part.strip() for part in header.split(b",")}

    yield Target("webhook bodies", _bodies(system), send_body, short_inputs=200)
    yield Target("webhook signatures", _signatures(), send_signature, short_inputs=100)


def _sign(body: bytes, secret: str) -> tuple[bytes, bytes]:
    """Return the timestamp and the digest of Stripe's signature."""
    timestamp = b"%d" % time.time()
    return timestamp, hmac.new(secret.encode(), timestamp + b"." + body, hashlib.sha256).hexdigest().encode()


def _bodies(system: FuzzedSystem) -> st.SearchStrategy[bytes]:
    attempts = st.uuids(version=4).map(str) | st.sampled_from([each.attempt_id for each in system.open_checkouts])
    intents = st.integers(0, 2**64).map(lambda number: f"pi_{number:x}")
    kinds = st.sampled_from(("payment_intent", "payment_intent", "setup_intent"))
    events = st.builds(_succeeded_event, kinds, intents, attempts)
    mutated = events.flatmap(mutated_json).map(write_json).map(str.encode)
    cut = events.map(json.dumps).map(str.encode).flatmap(mutated_bytes)
    sizes = st.sampled_from((_MAX_BODY - 200, _MAX_BODY, _MAX_BODY + 1, _MAX_BODY + 1024))
    large = sizes.map(lambda size: b'{"id":"' + b"x" * size)
    other = json_values().map(write_json).map(str.encode) | st.binary(max_size=200) | large
    return weighted({6: [mutated], 1: [cut, other]})


def _succeeded_event(kind: str, intent_id: str, attempt_id: str) -> dict[str, Any]:
    intent = {
        "id": intent_id,
        "object": kind,
        "status": "succeeded",
        "livemode": False,
        "metadata": {"checkoutAttemptId": attempt_id},
        "last_payment_error": None,
        "amount_received": 2500,
        "currency": "usd",
    }
    return {"id": "evt_1", "type": f"{kind}.succeeded", "data": {"object": intent}}


def _signatures() -> st.SearchStrategy[list[tuple[bytes, bytes]]]:
    """Generate signatures in parts, in some of them the valid one among others."""
    names = st.sampled_from((b"t=", b"v1=", b" v1=", b"v0=", b"T=", b"t =", b"", b"="))
    values = st.sampled_from((b"TIME", b"TIME", b"DIGEST", b"DIGEST", "\u0663".encode(), b"1e9", b"-1", b"9" * 400))
    parts = st.lists(st.tuples(names, values | header_values()), max_size=5)
    valid = [(b"t=", b"TIME"), (b"v1=", b"DIGEST")]
    return parts | st.builds(lambda before, after: before + valid + after, parts, parts)


def _intent_id(body: bytes) -> str:
    """Return the id of an event's intent, with the most lenient reading of the event."""
    try:
        event: Any = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    for step in ("data", "object", "id"):
        event = event.get(step) if isinstance(event, Mapping) else None
    return str(event)
