"""Middleware around every request: request id, deadline, access log, metrics, and the 500 for unexpected errors."""

import asyncio
import logging
import time
from functools import cache
from typing import Final

from prometheus_client import Counter, Gauge, Histogram
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from payments_gateway.api.problems import INTERNAL, UNAVAILABLE, Problem, problem_response
from servicekit.deadline import deadline
from servicekit.json_logging import accept_request_id, log_access, unbind_attempt

_log = logging.getLogger(__name__)

_REQUESTS: Final = Counter("holdfast_http_requests", "HTTP requests.", ["method", "route", "status"])
_SECONDS: Final = Histogram("holdfast_http_request_seconds", "Seconds to respond to a request.", ["method", "route"])
_IN_FLIGHT: Final = Gauge("holdfast_http_requests_in_flight", "HTTP requests that have no complete response yet.")
_NO_STORE: Final = (b"cache-control", b"no-store")
_NO_SNIFF: Final = (b"x-content-type-options", b"nosniff")
_KNOWN_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestLogMiddleware:
    """ASGI middleware. Logs route templates, since real paths hold attempt ids, and never query strings (P7).

    A request that takes longer than `deadline_seconds`, or that the server cancels at the end of its drain, gets a 503.
    """

    def __init__(self, app: ASGIApp, *, deadline_seconds: float) -> None:
        self._app = app
        self._deadline_seconds = deadline_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        unbind_attempt()
        response = ResponseSender(scope, send)
        began = time.perf_counter()
        try:
            with _IN_FLIGHT.track_inprogress(), deadline(self._deadline_seconds):
                async with asyncio.timeout(self._deadline_seconds):
                    await self._app(scope, receive, response.send)
        except (TimeoutError, asyncio.CancelledError):
            # The server cancels no other requests than those that outlast its drain. Another gateway can serve them.
            await response.send_problem(UNAVAILABLE, scope, receive)
        except Exception:  # noqa: BLE001 — the one place that turns the unexpected into a 500
            _log.exception("unexpected failure")
            await response.send_problem(INTERNAL, scope, receive)
        finally:
            _record(scope, response.status, time.perf_counter() - began)


class ResponseSender:
    """Passes a response on with the headers that every response has."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._send = send
        self.request_id = accept_request_id(Headers(scope=scope).get("x-request-id"))
        self.status = 0
        """0 until the response has begun."""

    async def send(self, message: Message) -> None:
        """Send a part of the response."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message["headers"], (b"x-request-id", self.request_id.encode()), _NO_SNIFF]
            if all(name != b"cache-control" for name, _ in headers):
                headers.append(_NO_STORE)  # it may be about a buyer (P7)
            message["headers"] = headers
        await self._send(message)

    async def send_problem(self, problem: Problem, scope: Scope, receive: Receive) -> None:
        """Send a problem, unless a response has begun."""
        if not self.status:  # a response that has begun can only be cut off
            await problem_response(problem)(scope, receive, self.send)


def _record(scope: Scope, status: int, seconds: float) -> None:
    route = getattr(scope.get("route"), "path", "unmatched")
    method = scope["method"] if scope["method"] in _KNOWN_METHODS else "other"
    _counter(method, route, status).inc()
    _histogram(method, route).observe(seconds)
    log_access(f"{method} {route}", {"status": status, "ms": round(seconds * 1000, 2)})


@cache
def _counter(method: str, route: str, status: int) -> Counter:
    return _REQUESTS.labels(method, route, str(status))


@cache
def _histogram(method: str, route: str) -> Histogram:
    return _SECONDS.labels(method, route)
