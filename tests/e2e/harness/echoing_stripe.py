"""A stand-in for Stripe that answers every request with one fixed answer, whatever was asked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from devstack.ports import LOOPBACK

from .http_proxy import HttpProxy


@dataclass(frozen=True)
class FixedAnswer:
    """The answer to every request."""

    status: int
    body: str
    request_id: str
    media_type: str = "application/json"


@asynccontextmanager
async def answering_instead(proxy: HttpProxy, answer: FixedAnswer) -> AsyncIterator[None]:
    """Give this answer to all of the proxy's callers while the context lasts."""

    async def handle(_request: web.Request) -> web.Response:
        headers = {"Request-Id": answer.request_id, "Content-Type": answer.media_type}
        return web.Response(status=answer.status, body=answer.body.encode(), headers=headers)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    usual = proxy.target
    try:
        await web.TCPSite(runner, LOOPBACK, 0).start()
        proxy.target = f"http://{LOOPBACK}:{runner.addresses[0][1]}"
        yield
    finally:
        proxy.target = usual
        await runner.cleanup()
