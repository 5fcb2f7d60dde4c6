"""A reverse proxy for an HTTP API, outside the services, at which calls can be held and answers lost."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web

from devstack.ports import LOOPBACK

from .checkpoint import AnswerLost, Call, Checkpoint

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_SET_ANEW = _HOP_BY_HOP | {"host", "content-length"}
_MOST_BODY_BYTES = 64 * 1024 * 1024
_NAMESPACES = frozenset({"billing", "billing_portal", "checkout", "radar", "reporting", "terminal", "test_helpers"})
_ACTIONS = frozenset({"search"})


class HttpProxy:
    """Forwards every request to a target that may change."""

    def __init__(self, target: str, *, host: str = LOOPBACK) -> None:
        """Forward to target, an http URL without a path. Host is the address of this machine to listen on."""
        self.target = target
        self.checkpoint = Checkpoint()
        self._host = host
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        self._session = aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(total=120))
        application = web.Application(client_max_size=_MOST_BODY_BYTES)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://{self._host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let held calls go and stop listening."""
        self.checkpoint.disarm()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = Call(road_of(request.method, request.path), headers, body)
        try:
            return await self.checkpoint.pass_by(call, lambda: self._forwarded(request, body))
        except (AnswerLost, aiohttp.ClientError):
            # The caller sees what a broken connection looks like, not an answer that nobody gave.
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


def road_of(method: str, path: str) -> str:
    """Return a request's road: its method and its path with ids replaced, as Stripe's paths are built."""
    segments = path.strip("/").split("/")
    version, parts = segments[:1], segments[1:]
    namespace = parts[:1] if parts and parts[0] in _NAMESPACES else []
    parts = parts[len(namespace) :]
    named = [part if index % 2 == 0 or part in _ACTIONS else "{id}" for index, part in enumerate(parts)]
    return f"{method} /{'/'.join([*version, *namespace, *named])}"


def _passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _SET_ANEW}
