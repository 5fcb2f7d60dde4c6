"""Middleware that refuses requests while too many are in flight: new checkouts first (ADR 51).

It is outside of the request log, which would more than double the cost of a refusal.
"""

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from payments_gateway.api.problems import OVERLOADED, SLOT
from payments_gateway.api.request_log import ResponseSender
from servicekit.load_shedding import Criticality, LoadShedder, Overloaded

_NEVER_REFUSED: Final = frozenset({"/livez", "/readyz", "/metrics"})
_INITIATE: Final = ("POST", "/api/stripe/initiate-checkout")
_COMPLETE: Final = ("POST", "/api/orders")
_STATUS_PREFIX: Final = "/api/checkout/"


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
            await ResponseSender(scope, send).send_problem(OVERLOADED, scope, receive)
            return
        with slot:
            scope[SLOT] = slot
            await self._app(scope, receive, send)


def _criticality(scope: Scope) -> Criticality:
    route = scope["method"], scope["path"]
    if route == _INITIATE:
        return Criticality.LOW
    if route == _COMPLETE or scope["path"].startswith(_STATUS_PREFIX):
        return Criticality.HIGH
    return Criticality.NORMAL
