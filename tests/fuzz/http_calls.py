"""Requests to the gateway, and what every response must look like."""

import http.client
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from .targets import CALL_SECONDS, retry_unavailable

_BAD_REQUEST: Final = 400
_TOO_MANY_REQUESTS: Final = 429
_SERVER_ERROR: Final = 500
_UNAVAILABLE: Final = 503


@dataclass(frozen=True)
class Request:
    """One HTTP request."""

    method: str
    target: str
    headers: Mapping[str, bytes] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True)
class Response:
    """One HTTP response; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def send(address: str, request: Request) -> Response:
    """Send a request to host:port; assert that the response is no server error, and that a refusal is a problem."""
    response = retry_unavailable(lambda: _exchange(address, request), lambda got: got.status == _UNAVAILABLE)
    assert response.status < _SERVER_ERROR, f"{response.status}: {response.body[:300]!r}"
    assert response.status != _TOO_MANY_REQUESTS, "a rate limit keeps the inputs from the code behind it"
    if response.status >= _BAD_REQUEST and request.method != "HEAD":
        assert response.headers.get("content-type") == "application/problem+json", f"{response}"
        problem = json.loads(response.body)
        assert problem["status"] == response.status
        assert problem["type"].startswith("urn:holdfast:problem:"), problem["type"]
        assert problem["requestId"] == response.headers["x-request-id"]
    return response


def _exchange(address: str, request: Request) -> Response:
    connection = http.client.HTTPConnection(address, timeout=CALL_SECONDS)
    try:
        with suppress(BrokenPipeError, ConnectionResetError):  # the gateway refuses a large body before its end
            connection.request(request.method, request.target, request.body, dict(request.headers))
        response = connection.getresponse()
        body = response.read()
    except TimeoutError:
        raise AssertionError(f"no response within {CALL_SECONDS:g} s") from None
    except (http.client.HTTPException, ConnectionError) as error:
        raise AssertionError(f"no response: {error!r}") from None
    finally:
        connection.close()
    return Response(response.status, {name.lower(): value for name, value in response.getheaders()}, body)
