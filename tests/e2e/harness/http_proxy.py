"""An HTTP reverse proxy between a gateway and Stripe, with breakpoints and faults."""

from collections.abc import Mapping
from typing import Self

import aiohttp
from aiohttp import web

from devstack.ports import LOOPBACK

from .closing import AsyncClosing
from .interceptor import AnswerLost, CallFailed, Interceptor, ObservedCall

_HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
_PER_CONNECTION = _HOP_BY_HOP | {"host", "content-length"}
_MAX_BODY_BYTES = 64 * 1024 * 1024
_NAMESPACES = {"billing_portal"}
"""First parts of paths that a resource follows."""


class HttpProxy(AsyncClosing):
    """Forwards every request to `target`, an http URL without a path, which may change.

    `host` is the address of this machine to listen on.
    """

    def __init__(self, target: str, *, host: str = LOOPBACK) -> None:
        self.target = target
        self.interceptor = Interceptor()
        self._host = host
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        self._session = aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(total=120))
        application = web.Application(client_max_size=_MAX_BODY_BYTES)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://{self._host}:{port}"
        return self

    async def close(self) -> None:
        """Release held calls and stop listening."""
        self.interceptor.reset()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = ObservedCall(call_name(request.method, request.path), headers, body)
        try:
            return await self.interceptor.intercept(call, lambda: self._forwarded(request, body))
        except CallFailed:
            return web.Response(status=500, text="injected failure")
        except (AnswerLost, aiohttp.ClientError):
            # A broken connection, not an answer that Stripe never gave.
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=502)

    async def _forwarded(self, request: web.Request, body: bytes) -> web.Response:
        if self._session is None:
            raise AnswerLost
        async with self._session.request(
            request.method,
            f"{self.target}{request.rel_url}",
            headers=_passed_on(request.headers),
            data=body or None,
            allow_redirects=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        ) as answer:
            return web.Response(
                status=answer.status, reason=answer.reason, headers=_passed_on(answer.headers), body=await answer.read()
            )


def call_name(method: str, path: str) -> str:
    """Return method and path with ids replaced: `GET /v1/refunds/{id}`, `POST /v1/billing_portal/sessions`."""
    version, *parts = path.strip("/").split("/")
    start = 1 if parts[0] in _NAMESPACES else 0
    named = [part if index < start or (index - start) % 2 == 0 else "{id}" for index, part in enumerate(parts)]
    return f"{method} /{'/'.join([version, *named])}"


def _passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _PER_CONNECTION}
