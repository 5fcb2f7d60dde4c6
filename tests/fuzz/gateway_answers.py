"""What every answer of the gateway must look like."""

import json
from collections.abc import Callable
from typing import Any, Final

from .findings import tried_again
from .http_wire import HttpAnswer

_SERVER_ERROR: Final = 500
_AWAY: Final = 503
_REFUSED: Final = 400
_TOO_MANY: Final = 429
_NOT_HTTP: Final = HttpAnswer(400, {}, b"Invalid HTTP request received.")
"""What the HTTP server itself says to what is no request; it reaches none of our code."""


def answered(call: Callable[[], HttpAnswer | None]) -> HttpAnswer:
    """Make a call that must be answered, and answered well."""
    answer = tried_again(call, is_away=lambda got: got is not None and got.status == _AWAY)
    assert answer is not None, "the connection was closed without an answer"
    check(answer)
    return answer


def check(answer: HttpAnswer) -> None:
    """Assert that an answer is no server error, and that a refusal is a problem."""
    assert answer.status < _SERVER_ERROR, f"{answer.status}: {answer.body[:300]!r}"
    assert answer.status != _TOO_MANY, "a limit keeps the inputs from what is behind it"
    if answer.status < _REFUSED or (answer.status, answer.body) == (_NOT_HTTP.status, _NOT_HTTP.body):
        return
    if not answer.body:
        return  # the answer to HEAD
    assert answer.headers.get("content-type") == "application/problem+json", f"{answer.status}: {answer.headers}"
    problem: Any = json.loads(answer.body)
    assert problem["status"] == answer.status
    assert problem["type"].startswith("urn:holdfast:problem:"), problem["type"]
    assert problem["requestId"] == answer.headers["x-request-id"]
