"""Every operation of the OpenAPI document, tried by schemathesis: responses must be as documented."""

from collections.abc import Iterator
from typing import Any, Final

import hypothesis.core
import hypothesis.vendor.pretty
import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks

from .fuzzed_system import INITIATE, FuzzedSystem
from .targets import CALL_SECONDS, Target, retry_unavailable

_OK: Final = 200
_SERVER_ERROR: Final = 500
_UNAVAILABLE: Final = 503
_CHECKS: Final = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


def targets(system: FuzzedSystem) -> Iterator[Target]:
    """Yield valid and invalid requests to the operations, as one target."""
    url = f"http://{system.gateway}"
    document: Any = schemathesis.openapi.from_url(f"{url}/openapi.json")
    # Importing schemathesis replaces this printer, for every other test of the process too.
    hypothesis.core.RepresentationPrinter = hypothesis.vendor.pretty.RepresentationPrinter  # type: ignore[attr-defined] # not public
    session = requests.Session()
    session.trust_env = False

    def call(case: Any) -> Any:
        return case.call(base_url=url, session=session, timeout=CALL_SECONDS)

    def send(case: Any) -> None:
        response = retry_unavailable(lambda: call(case), lambda got: bool(got.status_code == _UNAVAILABLE))
        assert response.status_code < _SERVER_ERROR, f"{response.status_code}: {response.text[:300]}"
        try:
            case.validate_response(response, checks=_CHECKS)
        except FailureGroup as failures:
            messages = "; ".join(str(failure) for failure in failures.exceptions)
            raise AssertionError(f"{case.method} {case.path}: {messages}\n{case.as_curl_command()}") from None
        if response.status_code == _OK and case.path == INITIATE:
            system.announce(response.json()["checkoutAttemptId"], "attempt", "closed", "orders")

    operations = [each.ok() for each in document.get_all_operations()]
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    inputs = st.one_of([operation.as_strategy(mode) for operation in operations for mode in modes])
    yield Target("openapi document", inputs, send, short_inputs=120)
