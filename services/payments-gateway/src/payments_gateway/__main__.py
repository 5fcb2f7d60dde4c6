"""The payments-gateway command: `payments-gateway serve` (the default) serves HTTP and stops in order on SIGTERM.

`payments-gateway reconcile` finishes what webhooks and buyers left undone.
"""

import asyncio
import logging
import math
import socket
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import uvicorn
import uvloop

from payments_gateway.bootstrap.gateway import gateway
from payments_gateway.commands.reconcile import add_reconcile_arguments, run_reconcile
from payments_gateway.commands.webhook_endpoint import add_webhook_endpoint_arguments, run_webhook_endpoint
from payments_gateway.settings.backends import BackendSettings
from payments_gateway.settings.gateway import GatewaySettings
from payments_gateway.settings.reconciler import ReconcilerSettings
from servicekit.grpc_server import stop_signal
from servicekit.json_logging import configure_logging
from servicekit.settings import parser_for, read_settings, warn_of_plaintext

_log = logging.getLogger(__name__)

S = TypeVar("S", bound=BackendSettings)

_VERBOSE_LOGGERS = ("stripe", "uvicorn")
"""Below WARNING they log every request, Stripe's with query strings and bodies (P7)."""
_CUT_WITHIN_SECONDS = 1.0
"""Time for a cancelled request to be answered."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command, by default the gateway until a signal stops it."""
    parser = parser_for(GatewaySettings)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("serve", help="serve HTTP until SIGTERM (the default)")
    webhook_endpoint = commands.add_parser("webhook-endpoint", help="the webhook endpoint at Stripe")
    add_webhook_endpoint_arguments(webhook_endpoint)
    reconcile = commands.add_parser("reconcile", help="finish what webhooks and buyers left undone, until SIGTERM")
    add_reconcile_arguments(reconcile)
    arguments = parser.parse_args(argv)
    if arguments.command == "webhook-endpoint":
        sys.exit(run_webhook_endpoint(arguments))
    if arguments.command == "reconcile":
        reconciling = _read(ReconcilerSettings, "reconciler", print_only=arguments.print_settings)
        sys.exit(run_reconcile(reconciling, once=arguments.once))
    uvloop.run(serve(_read(GatewaySettings, "payments-gateway", print_only=arguments.print_settings)))


def _read(settings_class: type[S], service: str, *, print_only: bool) -> S:
    """Read the settings of a process, and begin to log as it."""
    settings = read_settings(settings_class, print_only=print_only)
    configure_logging(service, settings.log_level)
    warn_of_plaintext(settings)
    for name in _VERBOSE_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    return settings


async def serve(settings: GatewaySettings) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests in flight."""
    stopping = stop_signal()
    async with gateway(settings) as app:
        server = _Server(_uvicorn_config(settings, app))
        serving = asyncio.create_task(server.serve())
        waiting = asyncio.create_task(stopping.wait())
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
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
        timeout_graceful_shutdown=math.ceil(settings.drain_seconds),
    )


if __name__ == "__main__":
    main()
