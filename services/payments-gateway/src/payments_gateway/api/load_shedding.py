"""Middleware that refuses requests while too many are in flight: new checkouts first (ADR 51).

A refusal is not logged as a request, and sends a body that is made once: it must cost next to nothing.
"""

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from payments_gateway.api.problems import MEDIA_TYPE, OVERLOADED, SLOT, problem_response
from payments_gateway.api.request_log import ResponseSender
from servicekit.load_shedding import RETRY_AFTER_SECONDS, Criticality, LoadShedder, Overloaded

_NEVER_REFUSED: Final = frozenset({"/livez", "/readyz", "/metrics"})
_INITIATE: Final = ("POST", "/api/stripe/initiate-checkout")
_COMPLETE: Final = ("POST", "/api/orders")
_STATUS_PREFIX: Final = "/api/checkout/"
_NO_REQUEST_ID: Final = b'"requestId":""'
_BEFORE_ID, _AFTER_ID = bytes(problem_response(OVERLOADED).body).split(_NO_REQUEST_ID)
_HEADERS: Final = (
    (b"content-type", MEDIA_TYPE.encode()),
    (b"retry-after", b"%d" % RETRY_AFTER_SECONDS),
)


class LoadSheddingMiddleware:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, *, shedder: LoadShedder) -> None:
        self._app = app
        self._shedder = shedder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http" or scope["path"] in _NEVER_REFUSED:
            await self._app(scope, receive, send)
            return
        try:
            slot = self._shedder.acquire(_criticality(scope))
        except Overloaded:
            await _refuse(ResponseSender(scope, send))
            return
        with slot:
            scope[SLOT] = slot
            await self._app(scope, receive, send)


async def _refuse(response: ResponseSender) -> None:
    body = b'%b"requestId":"%b"%b' % (_BEFORE_ID, response.request_id.encode(), _AFTER_ID)
    headers = [*_HEADERS, (b"content-length", b"%d" % len(body))]
    await response.send({"type": "http.response.start", "status": OVERLOADED.status, "headers": headers})
    await response.send({"type": "http.response.body", "body": body})


def _criticality(scope: Scope) -> Criticality:
    route = scope["method"], scope["path"]
    if route == _INITIATE:
        return Criticality.LOW
    if route == _COMPLETE or scope["path"].startswith(_STATUS_PREFIX):
        return Criticality.HIGH
    return Criticality.NORMAL
