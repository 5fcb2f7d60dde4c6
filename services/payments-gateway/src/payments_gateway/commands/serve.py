"""`payments-gateway serve`: serves HTTP until SIGTERM, and stops so that no request is lost."""

import asyncio
import logging
import math
import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import uvicorn

from payments_gateway.bootstrap.gateway import gateway
from payments_gateway.settings.gateway import GatewaySettings
from servicekit.stopping import stop_signal

_log = logging.getLogger(__name__)

_CUT_WITHIN_SECONDS: Final = 1.0
"""Time for a cancelled request to be answered."""


async def serve(settings: GatewaySettings) -> None:
    """Serve until SIGTERM or SIGINT; then be not ready, serve on as a lame duck, and finish the requests in flight."""
    stopping = stop_signal()
    async with gateway(settings) as built:
        server = _Server(_uvicorn_config(settings, built.app))
        serving = asyncio.create_task(server.serve())
        waiting = asyncio.create_task(stopping.wait())
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        built.readiness.stop()
        server.close_after_answers()
        _log.info("stopping", extra={"lame_duck_seconds": settings.lame_duck_seconds})
        await asyncio.wait({serving}, timeout=settings.lame_duck_seconds)
        _log.info("draining", extra={"seconds": settings.drain_seconds})
        server.should_exit = True
        await serving
    _log.info("stopped")


class _Server(uvicorn.Server):
    """Server that leaves signals to us, and whose cut requests are answered before it ends."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Handle no signal: uvicorn would raise it again at its end, and interrupt our shutdown."""
        yield

    def close_after_answers(self) -> None:
        """Close each connection after its next answer, within a second; until then balancers keep none to us."""
        self.config.encoded_headers.append((b"connection", b"close"))  # read once a second

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain; then wait for the answers of requests that uvicorn has just cancelled, which it does not."""
        await super().shutdown(sockets)
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=_CUT_WITHIN_SECONDS)


def _uvicorn_config(settings: GatewaySettings, app: object) -> uvicorn.Config:
    host, _, port = settings.listen.rpartition(":")
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # an ASGI app, which uvicorn types more narrowly than Starlette does
        host=host.strip("[]"),
        port=int(port),
        http="httptools",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # client_addresses.py reads them, and believes trusted proxies only
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=math.ceil(settings.drain_seconds),
    )
