"""Every operation of the OpenAPI document, by schemathesis: what it documents is what must come."""

import json
from collections.abc import Iterator
from typing import Any, Final

import hypothesis.core
import hypothesis.vendor.pretty
import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from .findings import CALL_SECONDS, Hang, tried_again
from .records import Promised
from .subject import Subject
from .targets import Target

_AWAY: Final = 503
_OK: Final = 200
_SERVER_ERROR: Final = 500
_CHECKS: Final = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def targets(subject: Subject, promised: Promised) -> Iterator[Target]:
    """Yield the document's operations as one target."""
    url = f"http://{subject.gateway}"
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    found: list[Any] = list(schema.get_all_operations())
    operations = [each.ok() for each in found]
    inputs = st.one_of(
        [
            operation.as_strategy(mode)
            for operation in operations
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        ]
    )
    _let_hypothesis_show_values()
    yield Target("openapi document", inputs, _Edge(subject, promised).send, short=120)


def _let_hypothesis_show_values() -> None:
    """Undo what schemathesis does to its whole process, for the sake of every test that runs in it afterwards."""
    hypothesis.core.RepresentationPrinter = hypothesis.vendor.pretty.RepresentationPrinter  # type: ignore[attr-defined] # not public


class _Edge:
    def __init__(self, subject: Subject, promised: Promised) -> None:
        self._url = f"http://{subject.gateway}"
        self._session = requests.Session()
        self._session.trust_env = False
        self._promised = promised

    def send(self, case: Any) -> None:
        response = tried_again(lambda: self._call(case), is_away=lambda got: got.status_code == _AWAY)
        assert response.status_code < _SERVER_ERROR, f"{response.status_code}: {response.text[:300]}"
        try:
            case.validate_response(response, checks=_CHECKS)
        except FailureGroup as failures:
            told = "; ".join(str(failure) for failure in failures.exceptions)
            raise AssertionError(f"{case.method} {case.path}: {told}\n{case.as_curl_command()}") from None
        if response.status_code == _OK and case.path.endswith("/initiate-checkout"):
            self._promised.attempts.add(json.loads(response.content)["checkoutAttemptId"])

    def _call(self, case: Any) -> Any:
        try:
            return case.call(base_url=self._url, session=self._session, timeout=CALL_SECONDS)
        except requests.Timeout:
            raise Hang(f"{case.method} {case.path}: no answer in {CALL_SECONDS:g} s") from None
