"""Stands around every request: its id, its deadline, its line in the access log, and the last resort of a 500."""

import asyncio
import logging
import time
from typing import Final

from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from payments_gateway.api.problems import INTERNAL, UNAVAILABLE, Problem, problem_response
from servicekit.deadline import deadline
from servicekit.json_logging import accept_request_id, unbind_attempt

_log = logging.getLogger(__name__)
_access_log = logging.getLogger("access")

_REQUESTS: Final = Counter("http_requests", "Requests answered.", ["method", "route", "status"])
_SECONDS: Final = Histogram("http_request_seconds", "Seconds to answer a request.", ["method", "route"])
_KNOWN_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestLogMiddleware:
    """ASGI middleware. Paths are logged as route templates, since real ones hold attempt ids; query strings never."""

    def __init__(self, app: ASGIApp, *, deadline_seconds: float) -> None:
        """Answer 503 to any request that takes longer than deadline_seconds."""
        self._app = app
        self._deadline_seconds = deadline_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        unbind_attempt()
        identifier = accept_request_id(Headers(scope=scope).get("x-request-id"))
        answer = _Answer(send, identifier)
        began = time.perf_counter()
        try:
            with deadline(self._deadline_seconds):
                async with asyncio.timeout(self._deadline_seconds):
                    await self._app(scope, receive, answer.send)
        except TimeoutError:
            await answer.send_problem(UNAVAILABLE, scope, receive)
        except Exception:  # noqa: BLE001 — the one place where the unknown becomes a 500
            _log.exception("unexpected failure")
            await answer.send_problem(INTERNAL, scope, receive)
        finally:
            _observe(scope, answer.status, time.perf_counter() - began)


class _Answer:
    """Passes an answer on, and knows whether it has begun."""

    def __init__(self, send: Send, identifier: str) -> None:
        self._send = send
        self._identifier = identifier
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self._identifier
            headers["X-Content-Type-Options"] = "nosniff"
            headers.setdefault("Cache-Control", "no-store")  # it may be about a buyer (P7)
        await self._send(message)

    async def send_problem(self, problem: Problem, scope: Scope, receive: Receive) -> None:
        if not self.status:  # else the answer is half-way out, and breaking off is all that is left
            await problem_response(problem)(scope, receive, self.send)


def _observe(scope: Scope, status: int, seconds: float) -> None:
    route = getattr(scope.get("route"), "path", "unmatched")
    method = scope["method"] if scope["method"] in _KNOWN_METHODS else "other"
    _REQUESTS.labels(method, route, str(status)).inc()
    _SECONDS.labels(method, route).observe(seconds)
    _access_log.info("%s %s", method, route, extra={"status": status, "ms": round(seconds * 1000, 2)})
