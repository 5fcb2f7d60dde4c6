"""The webhook: signed bodies that Stripe never sends, and signatures that it never makes."""

import hashlib
import hmac
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import stripe
from hypothesis import strategies as st

from .fuzzed_system import FuzzedSystem
from .http_calls import post_json
from .json_inputs import header_values, json_values, mutated_json, write_json
from .targets import Target

_OK: Final = 200
_MAX_BODY: Final = 1024 * 1024
_HARMLESS_EVENT: Final = b'{"id":"evt_1","object":"event","type":"charge.updated","created":1}'


def targets(system: FuzzedSystem) -> Iterator[Target]:
    """Yield bodies and signatures."""
    secret = system.stack.facts.webhook_secret

    def deliver(body: bytes, signature: bytes) -> int:
        headers = {"Stripe-Signature": signature}
        status, response = post_json(system.gateway, "/api/stripe/webhook", headers, body)
        assert status in (200, 400, 403, 404, 413), f"{status}: {response[:300]!r}"
        return status

    def send_body(body: bytes) -> None:
        system.announce(_intent_id(body), "payments")
        deliver(body, b"t=%b,v1=%b" % _sign(body, secret))

    def send_signature(parts: list[bytes]) -> None:
        timestamp, digest = _sign(_HARMLESS_EVENT, secret)
        header = b",".join(parts).replace(b"TIME", timestamp).replace(b"DIGEST", digest)
        if deliver(_HARMLESS_EVENT, header) == _OK:
            assert {b"t=" + timestamp, b"v1=" + digest} <= {part.strip() for part in header.split(b",")}

    yield Target("webhook bodies", _bodies(system), send_body, short_inputs=200)
    yield Target("webhook signatures", _signatures(), send_signature, short_inputs=100)


def _sign(body: bytes, secret: str) -> tuple[bytes, bytes]:
    """Return the timestamp and the digest of Stripe's signature."""
    timestamp = b"%d" % time.time()
    return timestamp, hmac.new(secret.encode(), timestamp + b"." + body, hashlib.sha256).hexdigest().encode()


def _bodies(system: FuzzedSystem) -> st.SearchStrategy[bytes]:
    known = st.sampled_from([*system.lost_attempts, *(attempt_id for attempt_id, _ in system.open_checkouts)])
    attempts = st.uuids(version=4).map(str) | known
    intents = st.integers(0, 2**64).map(lambda number: f"pi_{number:x}")
    kinds = st.sampled_from(("payment_intent", "payment_intent", "setup_intent"))
    events = st.builds(_succeeded_event, kinds, intents, attempts)
    mutated = events.flatmap(mutated_json).map(write_json).map(str.encode)
    cut = st.builds(lambda event, end: json.dumps(event).encode()[:end], events, st.integers(0, 300))
    sizes = st.sampled_from((_MAX_BODY - 200, _MAX_BODY, _MAX_BODY + 1, _MAX_BODY + 1024))
    large = sizes.map(lambda size: b'{"id":"' + b"x" * size)
    other = json_values().map(write_json).map(str.encode) | st.binary(max_size=200) | large
    return st.integers(0, 7).flatmap(lambda number: cut | other if number == 0 else mutated)


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
    event = {"id": "evt_1", "object": "event", "api_version": stripe.api_version, "created": 1}
    return event | {"type": f"{kind}.succeeded", "data": {"object": intent}}


def _signatures() -> st.SearchStrategy[list[bytes]]:
    """Generate the parts of signatures, in some of them the valid ones among others."""
    known = b"t=TIME v1=DIGEST v0=DIGEST T=TIME t=1e9 t=-1 v1=TIME t=DIGEST =TIME DIGEST".split()
    part = st.sampled_from([*known, b" v1=DIGEST", b"t =TIME", "t=\u0663".encode(), b"9" * 400]) | header_values()
    parts = st.lists(part, max_size=6)
    return parts | st.builds(lambda before, after: [*before, b"t=TIME", b"v1=DIGEST", *after], parts, parts)


def _intent_id(body: bytes) -> str:
    """Return the id of an event's intent, with the most lenient reading of the event."""
    try:
        event: Any = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    for step in ("data", "object", "id"):
        event = event.get(step) if isinstance(event, Mapping) else None
    return str(event)
