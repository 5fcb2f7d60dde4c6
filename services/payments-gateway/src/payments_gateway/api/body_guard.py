"""Refuses bodies that are too large or not JSON before anything reads them."""

from typing import Final

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from payments_gateway.api.problems import NOT_JSON, TOO_LARGE, problem_response

MAX_BODY_BYTES: Final = 256 * 1024
_LIMIT_DIGITS: Final = len(str(MAX_BODY_BYTES))
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})


class BodyLimitMiddleware:
    """ASGI middleware. Reads a body once, up to the limit, and hands it on."""

    def __init__(self, app: ASGIApp) -> None:
        """Guard an app whose every body is JSON."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] not in _WITH_BODY:
            await self._app(scope, receive, send)
            return
        media_type = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            await problem_response(NOT_JSON)(scope, receive, send)
            return
        try:
            body = await _read(scope, receive)
        except ClientDisconnect:
            return  # nobody waits for the answer, and half a body is not what the client meant
        if body is None:
            await problem_response(TOO_LARGE)(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)


async def _read(scope: Scope, receive: Receive) -> bytes | None:
    """Return the body, or None as soon as it is known to be too large."""
    announced = Headers(scope=scope).get("content-length", "").lstrip("0")
    if announced.isdecimal() and (len(announced) > _LIMIT_DIGITS or int(announced) > MAX_BODY_BYTES):
        return None
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > MAX_BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return b"".join(chunks)


def _replay(body: bytes, receive: Receive) -> Receive:
    handed_on = False

    async def replay() -> Message:
        nonlocal handed_on
        if handed_on:
            return await receive()
        handed_on = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
