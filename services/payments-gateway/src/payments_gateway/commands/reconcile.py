"""`payments-gateway reconcile`: repeats the reconciler's sweeps until SIGTERM, or runs each once until it is done."""

import argparse
import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvloop

from payments_gateway.bootstrap.reconciler import reconciler
from payments_gateway.settings.reconciler import ReconcilerSettings
from servicekit.cancellation import cancel_until_ended
from servicekit.health import Readiness
from servicekit.metrics import metrics_served
from servicekit.stopping import stop_signal

_log = logging.getLogger(__name__)


def add_reconcile_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.add_argument(
        "--once", action="store_true", help="run every sweep until nothing is left, and exit; with 1 if any failed"
    )


def run_reconcile(settings: ReconcilerSettings, *, once: bool) -> int:
    """Run the command, and return its exit code."""
    return uvloop.run(reconcile(settings, once=once))


async def reconcile(settings: ReconcilerSettings, *, once: bool = False) -> int:
    """Repeat the sweeps until SIGTERM or SIGINT; with once, until nothing is left."""
    stopping = stop_signal()
    async with reconciler(settings) as built:
        if once:
            return 0 if await built.loop.run_once(stopping) else 1
        with metrics_served(settings.reconcile_listen, built.readiness.probes) as port:
            async with _watched(built.readiness, stopping):
                _log.info("listening", extra={"port": port})
                await built.loop.run(stopping)
    _log.info("stopped")
    return 0


@asynccontextmanager
async def _watched(readiness: Readiness, stopping: asyncio.Event) -> AsyncIterator[None]:
    """Keep the readiness up to date while the context lasts; it falls with the signal, before the drain."""

    async def ignore(_ready: bool) -> None:  # noqa: FBT001 — the signature that watch calls
        """Do nothing: the probes read the readiness themselves."""

    async def fall() -> None:
        await stopping.wait()
        readiness.stop()

    falling, watching = asyncio.create_task(fall()), asyncio.create_task(readiness.watch(ignore))
    try:
        yield
    finally:
        falling.cancel()
        await cancel_until_ended(watching, every_seconds=0.2, within_seconds=2.0)
