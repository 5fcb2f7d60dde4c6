"""Routes for browsers: mutated bodies, and hostile paths, queries and headers."""

import json
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

from hypothesis import strategies as st

from .fuzzed_system import INITIATE, FuzzedSystem, initiate_body
from .http_calls import Request, send
from .json_inputs import header_values, mutated_json, texts, weighted, write_json
from .targets import Target

_OK: Final = 200
_METHODS: Final = ("GET", "GET", "GET", "GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH")
_HEADERS: Final = ("Idempotency-Key", "X-Request-Id", "Accept", "Origin", "Cookie", "X-Forwarded-For", "Range")
_PREFIXES: Final = ("/api/checkout/", "/api/orders/", "/api/subscriptions/", "/", "//", "/api/stripe/")
_PATHS: Final = (
    *("/api/orders", "/api/orders", "/api/subscriptions", "/api/catalog", "/api/config"),
    *("/livez", "/metrics", "/openapi.json", INITIATE),
)
_RAW_SEGMENTS: Final = ("%", "%zz", "%ff%fe", "%00", "..%2f..", "a/b/c", "{}", "x" * 5000, "%ed%a0%80", "?", ";")
_NUMBERS: Final = ("0", "1", "100", "101", "-1", "1e3", "9" * 5000, "\u0663", "", "1_0", " 1", "NaN")

Headers = dict[str, bytes]


def targets(system: FuzzedSystem) -> Iterator[Target]:
    """Yield the bodies of both POST routes, and the reads."""
    accounted = system.accounted
    accounted.tombstones.add(system.open_checkouts[0].attempt_id)  # the first accepted `supersedes` closes it

    def send_and_account(request: Request) -> None:
        response = send(system.gateway, request)
        if request.target == INITIATE and request.method == "POST" and response.status == _OK:
            body = json.loads(response.body)
            assert body["intentAmount"] > 0
            accounted.attempts.add(str(uuid.UUID(body["checkoutAttemptId"])))

    tokens = _authorizations(system.user_token)
    yield Target("initiate bodies", _initiates(system, tokens), send_and_account, short_inputs=120)
    yield Target("complete bodies", _completions(system, tokens), send_and_account, short_inputs=60)
    yield Target("reads", _reads(system, tokens), send_and_account, short_inputs=150)


def _initiates(system: FuzzedSystem, tokens: st.SearchStrategy[Headers]) -> st.SearchStrategy[Request]:
    with_unknown = initiate_body(system.stack)
    fresh = {name: value for name, value in with_unknown.items() if name != "supersedes"}
    replacing = with_unknown | {"supersedes": system.open_checkouts[0].attempt_id}
    bodies = st.sampled_from((fresh, fresh, with_unknown, replacing)).flatmap(mutated_json)
    keys = st.uuids(version=4).map(lambda key: str(key).encode()) | header_values()
    headers = tokens | st.builds(lambda token, key: token | {"Idempotency-Key": key}, tokens, keys)
    return st.builds(_post, st.just(INITIATE), headers, bodies)


def _completions(system: FuzzedSystem, tokens: st.SearchStrategy[Headers]) -> st.SearchStrategy[Request]:
    _, checkout, other, *_ = system.open_checkouts
    known = {"checkoutAttemptId": checkout.attempt_id, "paymentIntentId": checkout.intent_id}
    unknown = {"checkoutAttemptId": str(uuid.UUID(int=1, version=4)), "setupIntentId": "seti_1"}
    mismatched = known | {"paymentIntentId": other.intent_id}
    bodies = st.sampled_from((known, unknown, mismatched)).flatmap(mutated_json)
    return st.builds(_post, st.just("/api/orders"), tokens, bodies)


def _reads(system: FuzzedSystem, tokens: st.SearchStrategy[Headers]) -> st.SearchStrategy[Request]:
    quoted = texts().map(lambda text: quote(text[:500], safe=""))
    raw = st.sampled_from(_RAW_SEGMENTS)
    known = st.sampled_from([checkout.attempt_id for checkout in system.open_checkouts])
    ids = known | st.uuids().map(str) | quoted | raw
    paths = st.tuples(st.sampled_from(_PREFIXES), ids).map("".join) | st.sampled_from(_PATHS)
    cursors = st.binary(max_size=40).map(lambda token: quote(urlsafe_b64encode(token)))
    values = st.sampled_from(_NUMBERS).map(quote) | cursors | quoted | raw
    parameters = st.tuples(st.sampled_from(("limit", "cursor", "limit", "x")), values).map("=".join)
    queries = st.just("") | st.lists(parameters, min_size=1, max_size=3).map(lambda pairs: "?" + "&".join(pairs))
    others = st.dictionaries(st.sampled_from(_HEADERS), header_values(), max_size=2)
    return st.builds(
        lambda method, path, query, token, other: Request(method, path + query, token | other),
        *(st.sampled_from(_METHODS), paths, queries, tokens, others),
    )


def _authorizations(token: str) -> st.SearchStrategy[Headers]:
    """Generate no Authorization header, the user's, and invalid ones."""
    spoiled = st.builds(
        lambda at, new: token[:at] + new + token[at + 1 :], st.integers(0, len(token)), st.text("aZ.0=", max_size=2)
    )
    odd = st.sampled_from(("", "..", "a.b.c", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.", "x" * 9000, token + " x"))
    tokens = weighted({4: [st.just(token)], 1: [spoiled, odd]})
    schemes = st.sampled_from(("Bearer", "bearer", "Basic", "Bearer "))
    values = weighted({3: [st.tuples(schemes, tokens).map(" ".join).map(str.encode)], 1: [header_values()]})
    none: st.SearchStrategy[Headers] = st.just({})
    return none | values.map(lambda value: {"Authorization": value})


def _post(target: str, headers: Headers, body: Any) -> Request:
    return Request("POST", target, headers | {"Content-Type": b"application/json"}, write_json(body).encode())
