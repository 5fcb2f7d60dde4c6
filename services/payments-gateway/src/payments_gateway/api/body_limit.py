"""Middleware that refuses bodies that are too large or not JSON, before a route reads them."""

from typing import Final

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from payments_gateway.api.methods import is_taken
from payments_gateway.api.problems import NOT_JSON, TOO_LARGE, problem_response
from payments_gateway.api.webhook import WEBHOOK_PATH

MAX_BODY_BYTES: Final = 256 * 1024
MAX_EVENT_BYTES: Final = 1024 * 1024
"""Largest webhook. The event of a subscription with many items passes MAX_BODY_BYTES, and Stripe disables an endpoint
that fails for days."""
_LIMITS: Final = {WEBHOOK_PATH: MAX_EVENT_BYTES}
_METHODS_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})


class BodyLimitMiddleware:
    """ASGI middleware for an app whose bodies are all JSON. Reads a body once, up to the limit, and passes it on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] not in _METHODS_WITH_BODY:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        problem, body = NOT_JSON, None
        if headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
            try:
                problem, body = TOO_LARGE, await _read(headers, receive, _LIMITS.get(scope["path"], MAX_BODY_BYTES))
            except ClientDisconnect:
                return  # nobody waits for a response, and half a body is not what the client meant
        if body is not None:
            await self._app(scope, _replay(body, receive), send)
        elif is_taken(scope):
            await problem_response(problem)(scope, receive, send)
        else:
            await self._app(scope, receive, send)  # a request that no route takes is a 404 or 405, whatever its body


async def _read(headers: Headers, receive: Receive, max_bytes: int) -> bytes | None:
    """Return the body; None as soon as it is known to be too large. Raises ClientDisconnect."""
    announced = headers.get("content-length", "").lstrip("0")
    if announced.isdecimal() and (len(announced) > len(str(max_bytes)) or int(announced) > max_bytes):
        return None
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > max_bytes:
            return None
        if not message.get("more_body", False):
            return b"".join(chunks)


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
