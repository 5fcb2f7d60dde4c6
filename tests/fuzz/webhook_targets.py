"""The webhook: bodies that Stripe signed and never would send, and signatures that it never made."""

import hashlib
import hmac
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from hypothesis import strategies as st

from .gateway_answers import answered
from .hostile import header_bytes, json_values, mostly, mutated, write_json
from .http_wire import HttpAnswer, exchange, request_bytes
from .messages import mutated_bytes
from .records import Promised
from .samples import succeeded_event
from .subject import Subject
from .targets import Target

WEBHOOK: Final = "/api/stripe/webhook"
_JSON: Final = ("Content-Type", b"application/json")
_OK: Final = 200
_LIMIT: Final = 256 * 1024


def targets(subject: Subject, promised: Promised) -> Iterator[Target]:
    """Yield bodies and signatures."""
    edge = _Edge(subject, promised)
    yield Target("webhook bodies", _bodies(subject), edge.send_signed, short=200)
    yield Target("webhook signatures", _signatures(), edge.send_signature, short=100)


def sign(body: bytes, secret: str, at: int) -> bytes:
    """Sign bytes as Stripe would, whatever they are."""
    digest = hmac.new(secret.encode(), b"%d.%b" % (at, body), hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}".encode()


class _Edge:
    def __init__(self, subject: Subject, promised: Promised) -> None:
        self._gateway = subject.gateway
        self._secret = subject.addresses.webhook_secret
        self._promised = promised

    def send_signed(self, body: bytes) -> None:
        """Deliver a body; any is either acknowledged or a bad event."""
        self._promised.possible_payments |= _intent_ids(body)
        answer = answered(lambda: self._deliver(body, sign(body, self._secret, int(time.time()))))
        assert answer.status in (200, 400, 413), f"{answer.status}: {answer.body[:300]!r}"

    def send_signature(self, parts: list[tuple[bytes, bytes]]) -> None:
        """Deliver a harmless event; only what holds the one right signature may be acknowledged."""
        body, now = b'{"id":"evt_1","object":"event","type":"charge.updated"}', int(time.time())
        right = sign(body, self._secret, now)
        known = {b"TIME": right.partition(b",")[0][2:], b"SIGNATURE": right.rpartition(b"=")[2]}
        header = b",".join(name + value for name, value in ((name, known.get(value, value)) for name, value in parts))
        answer = answered(lambda: self._deliver(body, header))
        assert answer.status in (200, 400), f"{answer.status}: {answer.body[:300]!r}"
        if answer.status == _OK:
            assert set(right.split(b",")) <= {part.strip() for part in header.split(b",")}

    def _deliver(self, body: bytes, signature: bytes) -> HttpAnswer | None:
        return exchange(
            self._gateway, request_bytes("POST", WEBHOOK, [_JSON, ("Stripe-Signature", signature)], body or b" ")
        )


def _bodies(subject: Subject) -> st.SearchStrategy[bytes]:
    held = [checkout.attempt_id for checkout in subject.open_checkouts]
    attempts = mostly({1: [st.uuids(version=4).map(str), st.sampled_from(held)]})
    intents = st.integers(0, 2**64).map(lambda number: f"pi_{number:x}")
    kinds = st.sampled_from(("payment_intent", "payment_intent", "setup_intent"))
    events = st.builds(
        lambda attempt, intent, kind: succeeded_event(attempt, intent, kind=kind), attempts, intents, kinds
    )
    spoiled = events.flatmap(mutated).map(write_json).map(str.encode)
    cut = events.map(json.dumps).map(str.encode).flatmap(mutated_bytes)
    heavy = st.sampled_from((_LIMIT - 200, _LIMIT, _LIMIT + 1, _LIMIT + 1024)).map(
        lambda size: b'{"id":"' + b"x" * size
    )
    other = json_values().map(write_json).map(str.encode) | st.binary(max_size=200) | heavy
    return mostly({6: [spoiled], 1: [cut, other]})


def _signatures() -> st.SearchStrategy[list[tuple[bytes, bytes]]]:
    names = st.sampled_from((b"t=", b"v1=", b" v1=", b"v0=", b"T=", b"t =", b"", b"="))
    values = st.sampled_from((b"TIME", b"TIME", b"SIGNATURE", b"SIGNATURE", "٣".encode(), b"1e9", b"-1", b"9" * 400))
    right = st.just([(b"t=", b"TIME"), (b"v1=", b"SIGNATURE")])
    some = st.lists(st.tuples(names, values | header_bytes()), max_size=5)
    return some | st.builds(lambda before, middle, after: before + middle + after, some, right, some)


def _intent_ids(body: bytes) -> set[str]:
    """Return the id of the intent that an event speaks of, however lenient one reads it."""
    try:
        event: Any = json.loads(body)
    except (ValueError, RecursionError):
        return set()
    for step in ("data", "object", "id"):
        event = event.get(step) if isinstance(event, Mapping) else None
    return {str(event)}
