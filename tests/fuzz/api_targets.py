"""The browser's routes: bodies that are nearly right, and paths, queries and headers that are not."""

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from hypothesis import strategies as st

from .gateway_answers import answered
from .hostile import header_bytes, mostly, mutated, texts, write_json
from .http_wire import HttpAnswer, exchange, request_bytes
from .records import Promised
from .samples import initiate_body
from .subject import Subject
from .targets import Target

INITIATE: Final = "/api/stripe/initiate-checkout"
_OK: Final = 200
_JSON: Final = ("Content-Type", b"application/json")
_METHODS: Final = ("GET", "GET", "GET", "GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW")

Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True)
class Request:
    """One request to the gateway."""

    method: str
    target: str
    headers: Headers
    body: bytes = b""


def targets(subject: Subject, promised: Promised) -> Iterator[Target]:
    """Yield bodies of both POST routes, and reads."""
    edge = _Edge(subject.gateway, promised)
    promised.markers.add(subject.open_checkouts[0].attempt_id)  # replaced by whoever names it first
    bearers = _bearers(subject.member_token)
    yield Target("initiate bodies", _initiates(subject, bearers), edge.send, short=120)
    yield Target("complete bodies", _completions(subject, bearers), edge.send, short=60)
    yield Target("reads", _reads(subject, bearers), edge.send, short=150)


class _Edge:
    def __init__(self, gateway: str, promised: Promised) -> None:
        self._gateway = gateway
        self._promised = promised

    def send(self, request: Request) -> None:
        answer = answered(lambda: self._exchange(request))
        if request.target == INITIATE and request.method == "POST" and answer.status == _OK:
            body = json.loads(answer.body)
            assert body["intentAmount"] > 0
            self._promised.attempts.add(str(uuid.UUID(body["checkoutAttemptId"])))

    def _exchange(self, request: Request) -> HttpAnswer | None:
        sent = request_bytes(request.method, request.target, request.headers, request.body)
        return exchange(self._gateway, sent)


def _initiates(subject: Subject, bearers: st.SearchStrategy[Headers]) -> st.SearchStrategy[Request]:
    catalogue = subject.system.backend.catalogue
    whole = initiate_body(catalogue.prices["mug"], catalogue.shipping_rates["standard"])
    fresh = {name: value for name, value in whole.items() if name != "supersedes"}
    replacing = whole | {"supersedes": subject.open_checkouts[0].attempt_id}
    bodies = st.sampled_from((fresh, fresh, whole, replacing)).flatmap(mutated)
    keys: st.SearchStrategy[Headers] = (st.uuids(version=4).map(lambda key: str(key).encode()) | header_bytes()).map(
        lambda key: [("Idempotency-Key", key)]
    )
    no_key: st.SearchStrategy[Headers] = st.just([])
    headers = st.tuples(bearers, mostly({1: [no_key, keys]})).map(lambda both: [_JSON, *both[0], *both[1]])
    return st.builds(_post, st.just(INITIATE), headers, bodies)


def _completions(subject: Subject, bearers: st.SearchStrategy[Headers]) -> st.SearchStrategy[Request]:
    checkout = subject.open_checkouts[1]
    known = {"checkoutAttemptId": checkout.attempt_id, "paymentIntentId": checkout.intent_id}
    unknown = {"checkoutAttemptId": str(uuid.UUID(int=1, version=4)), "setupIntentId": "seti_1"}
    foreign = known | {"paymentIntentId": subject.open_checkouts[2].intent_id}
    bodies = st.sampled_from((known, unknown, foreign)).flatmap(mutated)
    return st.builds(_post, st.just("/api/orders"), bearers.map(lambda bearer: [_JSON, *bearer]), bodies)


def _reads(subject: Subject, bearers: st.SearchStrategy[Headers]) -> st.SearchStrategy[Request]:
    known = [checkout.attempt_id for checkout in subject.open_checkouts]
    ids = st.sampled_from(known) | st.uuids().map(str) | texts().map(lambda text: quote(text, safe="")) | _raw_paths()
    roots = st.sampled_from(("/api/checkout/", "/api/orders/", "/api/subscriptions/", "/", "//", "/api/stripe/"))
    paths = st.tuples(roots, ids).map("".join) | st.sampled_from(
        (
            "/api/orders",
            "/api/orders",
            "/api/catalog",
            "/api/config",
            "/livez",
            "/metrics",
            "/openapi.json",
            "*",
            INITIATE,
        )
    )
    queries = st.lists(st.tuples(st.sampled_from(("limit", "cursor", "limit", "x")), _query_values()), max_size=3).map(
        lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)
    )
    names = st.sampled_from(
        ("Idempotency-Key", "X-Request-Id", "Accept", "Origin", "Cookie", "X-Forwarded-For", "Range")
    )
    headers = st.tuples(bearers, st.lists(st.tuples(names, header_bytes()), max_size=2)).map(
        lambda both: [*both[0], *both[1]]
    )
    targets_ = st.builds(lambda path, query: f"{path}?{query}" if query else path, paths, st.just("") | queries)
    return st.builds(Request, st.sampled_from(_METHODS), targets_, headers)


def _bearers(token: str) -> st.SearchStrategy[Headers]:
    """Make Authorization headers: none, a good one, and such as are neither."""
    spoiled = st.builds(
        lambda at, new: token[:at] + new + token[at + 1 :], st.integers(0, len(token)), st.text("aZ.0=", max_size=2)
    )
    odd = st.sampled_from(("", ".", "..", "a.b.c", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.", "x" * 9000, token + " x"))
    tokens = mostly({4: [st.just(token)], 1: [spoiled, odd]})
    bearer = st.tuples(st.sampled_from(("Bearer", "bearer", "Basic", "Bearer ")), tokens).map(" ".join).map(str.encode)
    none: st.SearchStrategy[Headers] = st.just([])
    values = mostly({3: [bearer], 1: [header_bytes()]})
    return mostly({1: [none, values.map(lambda value: [("Authorization", value)])]})


def _raw_paths() -> st.SearchStrategy[str]:
    return st.sampled_from(
        ("%", "%zz", "%ff%fe", "%00", "..%2f..", "a/b/c", "{}", "x" * 5000, "%ed%a0%80", "?", "#", ";")
    )


def _query_values() -> st.SearchStrategy[str]:
    numbers = st.sampled_from(("0", "1", "100", "101", "-1", "1e3", "9" * 5000, "٣", "", "1_0", " 1", "NaN")).map(quote)
    cursors = st.binary(max_size=40).map(lambda raw: quote(__import__("base64").urlsafe_b64encode(raw)))
    return (
        numbers
        | cursors
        | texts().map(lambda text: quote(text, safe=""))
        | _raw_paths().map(lambda raw: raw.replace("#", ""))
    )


def _post(target: str, headers: Headers, body: Any) -> Request:
    return Request("POST", target, headers, write_json(body).encode())
