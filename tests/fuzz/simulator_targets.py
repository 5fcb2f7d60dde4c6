"""The Stripe simulator: its form parser and parameter checks in this process, and its API over HTTP."""

import json
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote, quote_plus

from hypothesis import strategies as st

from stripe_simulator.api_errors import ApiError
from stripe_simulator.endpoints import Endpoint
from stripe_simulator.forms import MalformedForm, parse_form
from stripe_simulator.registry import RESOURCES
from stripe_simulator.settings import SimulatorSettings

from .hostile import header_bytes, mostly, texts
from .http_wire import exchange, request_bytes
from .records import Promised
from .subject import Subject
from .targets import Target

_ENDPOINTS: Final = [endpoint for resource in RESOURCES for endpoint in resource.endpoints]
_SECRET_KEY: Final = SimulatorSettings().secret_key
_PUBLISHABLE_KEY: Final = SimulatorSettings().publishable_key
_SERVER_ERROR: Final = 500
_KEYS: Final = (
    "a",
    "metadata",
    "expand",
    "amount",
    "currency",
    "card",
    "[",
    "]",
    "[]",
    "[0]",
    "[a]",
    "a[b",
    "a]b",
    "[٣]",
    "",
)
_FORM: Final = ("Content-Type", b"application/x-www-form-urlencoded")


def targets(subject: Subject, promised: Promised) -> Iterator[Target]:
    """Yield the parser with the parameter checks, and the API."""
    del promised  # whatever is made in the spare simulator is nobody's record
    yield Target("simulator forms", st.tuples(st.sampled_from(_ENDPOINTS), _any_forms()), _check_form, short=150)
    address = subject.spare_stripe.address
    yield Target("simulator api", _requests(), lambda sent: _send(address, sent), short=120)


def _check_form(given: tuple[Endpoint, str]) -> None:
    """Parse a form and check it for an endpoint: parameters, or a refusal by name."""
    endpoint, encoded = given
    try:
        form = parse_form(encoded)
    except MalformedForm:
        return
    try:
        endpoint.parameters.check(form)
    except ApiError as problem:
        json.dumps(problem.envelope())


def _send(address: str, sent: bytes) -> None:
    answer = exchange(address, sent)
    assert answer is not None, "the connection was closed without an answer"
    assert answer.status < _SERVER_ERROR, f"{answer.status}: {answer.body[:300]!r}"
    if answer.body and answer.headers.get("content-type", "").startswith("application/json"):
        assert isinstance(json.loads(answer.body), dict)


def _any_forms() -> st.SearchStrategy[str]:
    raw = st.text(st.sampled_from("ab[]=&%0f+;\ud800\0é٣"), max_size=40) | texts(surrogates=True)
    return raw | st.sampled_from(_ENDPOINTS).flatmap(_forms)


def _forms(endpoint: Endpoint) -> st.SearchStrategy[str]:
    """Make forms of parameters that the endpoint knows, as often as not nested where they are not."""
    known = sorted(endpoint.parameters.modelled)
    names = mostly({4: [st.sampled_from(known)], 1: [st.sampled_from(_KEYS), texts(surrogates=True, longest=10)]})
    nested = st.lists(st.sampled_from((*_KEYS, *known)) | texts(longest=5), max_size=3).map(
        lambda inner: "".join(f"[{each}]" for each in inner)
    )
    keys = st.tuples(names, mostly({1: [st.just(""), nested]})).map("".join)
    usual = (
        "usd",
        "500",
        "true",
        "pm_card_visa",
        "automatic",
        "card",
        "",
        "9" * 5000,
        "-1",
        "1e3",
        "inf",
        "pi_1",
        "now",
    )
    values = mostly({1: [st.sampled_from(usual), texts(surrogates=True)]})
    pairs = mostly({12: [st.lists(st.tuples(keys, values), max_size=6)], 1: [st.just([("a", "1")] * 2100)]})
    return pairs.map(lambda given: "&".join(f"{_quoted(key)}={_quoted(value)}" for key, value in given))


def _quoted(text: str) -> str:
    return quote_plus(text.encode("utf-8", "surrogatepass"), safe="[]")


def _requests() -> st.SearchStrategy[bytes]:
    def of(endpoint: Endpoint) -> st.SearchStrategy[bytes]:
        ids = st.sampled_from(("pi_1", "prod_1", "", "pm_card_visa", "search", "x" * 3000)) | texts().map(
            lambda text: quote(text, safe="")
        )
        paths = ids.map(lambda each: endpoint.template.replace("{id}", each))
        return st.builds(
            lambda path, headers, form: _written(endpoint.method, path, headers, form),
            paths,
            _headers(),
            _forms(endpoint),
        )

    # What is made there would be sent events: to wherever its URL says.
    return st.sampled_from(
        [each for each in _ENDPOINTS if not each.template.startswith("/v1/webhook_endpoints")]
    ).flatmap(of)


def _headers() -> st.SearchStrategy[list[tuple[str, bytes]]]:
    good = st.sampled_from(
        (f"Bearer {_SECRET_KEY}", f"Bearer {_SECRET_KEY}", f"Bearer {_PUBLISHABLE_KEY}", "Basic ")
    ).map(str.encode)
    authorization: Any = mostly({4: [good], 1: [header_bytes().map(lambda raw: raw[:2000])]}).map(
        lambda value: ("Authorization", value)
    )
    names = st.sampled_from(("Idempotency-Key", "Stripe-Version", "Content-Type", "Stripe-Account"))
    value = header_bytes().map(lambda raw: raw[:2000]) | st.sampled_from((b"k1", b"2026-10-28.endive"))
    # Two headers of a name, or very long ones, are refused before any of our code.
    more = st.lists(st.tuples(names, value), max_size=2, unique_by=lambda pair: pair[0])
    return st.tuples(authorization, more).map(lambda both: [both[0], *both[1]])


def _written(method: str, path: str, headers: list[tuple[str, bytes]], form: str) -> bytes:
    if method == "POST":
        named = [*headers] if any(name == "Content-Type" for name, _ in headers) else [_FORM, *headers]
        return request_bytes(method, path, named, form.encode("utf-8", "surrogatepass"))
    return request_bytes(method, f"{path}?{form}"[:7000], headers)
