"""Loop of sweeps: each has its own interval, and no failure of one ends the process or delays another."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from payments_gateway.domain.stripe_errors import StripeUnavailable
from servicekit.cancellation import cancel_until_ended, raise_if_cancelled
from servicekit.json_logging import accept_request_id, unbind_attempt
from servicekit.unavailable import ServiceUnavailable

_log = logging.getLogger(__name__)

RUNS: Final = Counter("holdfast_reconcile_runs", "Runs of a sweep, by outcome.", ["sweep", "outcome"])
RUN_SECONDS: Final = Histogram("holdfast_reconcile_run_seconds", "Seconds of a sweep's run.", ["sweep"])
LAG_SECONDS: Final = Gauge(
    "holdfast_reconcile_lag_seconds",
    "Seconds since a sweep last left nothing to do; it grows while it fails.",
    ["sweep"],
)
BACKLOG: Final = Gauge("holdfast_reconcile_backlog", "Objects that a sweep knows to wait for it.", ["sweep"])

_CANCEL_EVERY_SECONDS: Final = 0.2
_CANCEL_WITHIN_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Sweep:
    """Repeated search for one kind of unfinished work."""

    name: str
    """Metric label and log field."""
    run: Callable[[], Awaitable[bool]]
    """One bounded part of the work. Returns True if more is left: then the next part follows at once. It may be
    cancelled at any line, and run beside that of another process."""
    interval: timedelta
    """Mean pause after a run that left nothing, or that failed."""


class SweepLoop:
    """Runs sweeps, each in its own task. `jitter` returns a random number of seconds around a mean."""

    def __init__(self, sweeps: Sequence[Sweep], *, jitter: Callable[[float], float], drain_seconds: float) -> None:
        self._sweeps = tuple(sweeps)
        self._jitter = jitter
        self._drain_seconds = drain_seconds

    async def run(self, stopping: asyncio.Event) -> None:
        """Repeat every sweep until the event is set; then give running ones drain_seconds, and cancel the rest."""
        tasks = [asyncio.create_task(self._repeat(sweep, stopping)) for sweep in self._sweeps]
        await stopping.wait()
        _log.info("draining", extra={"seconds": self._drain_seconds})
        _, running = await asyncio.wait(tasks, timeout=self._drain_seconds)
        for task in running:
            await cancel_until_ended(task, every_seconds=_CANCEL_EVERY_SECONDS, within_seconds=_CANCEL_WITHIN_SECONDS)

    async def run_once(self, stopping: asyncio.Event) -> bool:
        """Run every sweep until it leaves nothing, or the event is set; return True if all succeeded."""
        succeeded = await asyncio.gather(*(self._exhaust(sweep, stopping) for sweep in self._sweeps))
        return all(succeeded)

    async def _repeat(self, sweep: Sweep, stopping: asyncio.Event) -> None:
        idle_at = time.monotonic()
        LAG_SECONDS.labels(sweep.name).set_function(lambda: time.monotonic() - idle_at)
        while not stopping.is_set():
            began = time.monotonic()
            work_left = await _run(sweep)
            if work_left:
                continue
            if work_left is not None:
                idle_at = began
            await _wait(stopping, self._jitter(sweep.interval.total_seconds()))

    async def _exhaust(self, sweep: Sweep, stopping: asyncio.Event) -> bool:
        work_left: bool | None = True
        while work_left and not stopping.is_set():
            work_left = await _run(sweep)
        return work_left is False


async def _run(sweep: Sweep) -> bool | None:
    """Run a sweep; return True if work is left, None if it failed."""
    accept_request_id(None)
    unbind_attempt()
    try:
        with RUN_SECONDS.labels(sweep.name).time():
            work_left = await sweep.run()
        raise_if_cancelled()
    except (ServiceUnavailable, StripeUnavailable) as unavailable:
        _log.warning("sweep stopped early", extra={"sweep": sweep.name, "reason": str(unavailable)})
        outcome, result = "unavailable", None
    except (Exception, asyncio.CancelledError):  # noqa: BLE001 — the one place where the unknown is tried again
        raise_if_cancelled()  # else only something that the sweep awaited was cancelled, which must not end the sweep
        _log.exception("sweep failed", extra={"sweep": sweep.name})
        outcome, result = "failed", None
    else:
        outcome, result = ("work_left" if work_left else "done"), work_left
    RUNS.labels(sweep.name, outcome).inc()
    return result


async def _wait(stopping: asyncio.Event, seconds: float) -> None:
    waiting = asyncio.create_task(stopping.wait())
    await asyncio.wait({waiting}, timeout=seconds)
    waiting.cancel()
