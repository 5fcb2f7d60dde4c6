"""Requests to the gateway, and what every response must look like."""

import http.client
import json
from collections.abc import Mapping
from contextlib import closing, suppress
from typing import Final

from .targets import CALL_SECONDS, retry_unavailable

_BAD_REQUEST: Final = 400
_TOO_MANY_REQUESTS: Final = 429
_SERVER_ERROR: Final = 500
_UNAVAILABLE: Final = 503

Headers = Mapping[str, bytes]


def post_json(address: str, path: str, headers: Headers, body: bytes) -> tuple[int, bytes]:
    """POST to host:port and return status and body; assert that it is no server error, and a refusal a problem."""
    status, received, content = retry_unavailable(
        lambda: _post(address, path, headers, body), lambda response: response[0] == _UNAVAILABLE
    )
    assert status < _SERVER_ERROR, f"{status}: {content[:300]!r}"
    assert status != _TOO_MANY_REQUESTS, "a rate limit keeps the inputs from the code behind it"
    if status >= _BAD_REQUEST:
        assert received.get("content-type") == "application/problem+json", f"{status}: {content[:300]!r}"
        problem = json.loads(content)
        assert problem["status"] == status
        assert problem["type"].startswith("urn:holdfast:problem:"), problem["type"]
        assert problem["requestId"] == received["x-request-id"]
    return status, content


def _post(address: str, path: str, headers: Headers, body: bytes) -> tuple[int, http.client.HTTPMessage, bytes]:
    with closing(http.client.HTTPConnection(address, timeout=CALL_SECONDS)) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # the gateway refuses a large body before its end
            connection.request("POST", path, body, {"Content-Type": b"application/json", **headers})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
