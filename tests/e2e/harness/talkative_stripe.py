"""A Stripe that answers every request with whatever it is told to, as no Stripe should."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from devstack.ports import LOOPBACK

from .http_proxy import HttpProxy


@dataclass(frozen=True)
class Told:
    """One answer."""

    status: int
    body: str
    request_id: str
    media_type: str = "application/json"


@asynccontextmanager
async def talking_instead(proxy: HttpProxy, told: Told) -> AsyncIterator[None]:
    """Let the proxy's callers hear this for as long as the context lasts."""

    async def answer(_request: web.Request) -> web.Response:
        headers = {"Request-Id": told.request_id, "Content-Type": told.media_type}
        return web.Response(status=told.status, body=told.body.encode(), headers=headers)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
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
