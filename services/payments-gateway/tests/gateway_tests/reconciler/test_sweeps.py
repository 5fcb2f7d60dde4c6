"""The loop of sweeps, on a real event loop without pauses."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY

from payments_gateway.domain.stripe_errors import StripeUnavailable
from payments_gateway.reconciler.sweeps import Sweep, SweepLoop

INTERVAL = timedelta(hours=1)
WORK_LEFT, NOTHING_LEFT = True, False


class Script:
    """Sweep that answers a list of results, and then nothing left."""

    def __init__(self, *results: bool | BaseException) -> None:
        self.results = list(results)
        self.runs = 0
        self.exhausted = asyncio.Event()

    async def run(self) -> bool:
        """Return or raise the next result."""
        self.runs += 1
        result = self.results.pop(0) if self.results else False
        if not self.results:
            self.exhausted.set()
        if isinstance(result, BaseException):
            raise result
        return result


def loop_of(*sweeps: Sweep, drain_seconds: float = 5, pause: float = 0) -> SweepLoop:
    """Return a loop whose pauses are all the same."""
    return SweepLoop(sweeps, jitter=lambda _mean: pause, drain_seconds=drain_seconds)


def sweep(run: Callable[[], Awaitable[bool]], name: str = "test") -> Sweep:
    """Return a sweep with an hour's interval."""
    return Sweep(name, run, INTERVAL)


def metric(name: str, **labels: str) -> float:
    """Return a metric's value, 0 before it is first set."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


def runs_of(name: str, outcome: str) -> float:
    """Return how many runs of a sweep ended so."""
    return metric("holdfast_reconcile_runs_total", sweep=name, outcome=outcome)


@pytest.mark.parametrize("failure", [StripeUnavailable(), RuntimeError("broken"), asyncio.CancelledError()])
async def test_a_failure_neither_ends_the_sweep_nor_delays_others(
    caplog: pytest.LogCaptureFixture, failure: BaseException
) -> None:
    """Both sweeps run on after one failed, or had a call cancelled below it; the failure is logged."""
    failing, healthy = Script(failure), Script(*[NOTHING_LEFT] * 50)
    stopping = asyncio.Event()
    running = asyncio.create_task(loop_of(sweep(failing.run, "failing"), sweep(healthy.run)).run(stopping))

    async with asyncio.timeout(5):
        await healthy.exhausted.wait()
        stopping.set()
        await running

    assert failing.runs >= 3
    assert [record.levelno >= logging.WARNING for record in caplog.records if "sweep" in record.__dict__] == [True]


async def test_work_left_is_done_without_a_pause() -> None:
    """The interval is an hour, and three parts of the work follow one another."""
    script = Script(WORK_LEFT, WORK_LEFT, NOTHING_LEFT)
    stopping = asyncio.Event()
    running = asyncio.create_task(loop_of(sweep(script.run), pause=3600).run(stopping))

    async with asyncio.timeout(5):
        await script.exhausted.wait()
        stopping.set()
        await running

    assert script.runs == 3


async def test_a_stop_lets_a_running_sweep_end() -> None:
    """The part of the work that has begun is finished, and no other begins."""
    began, go_on = asyncio.Event(), asyncio.Event()
    ended = []

    async def run() -> bool:
        began.set()
        await go_on.wait()
        ended.append(True)
        return True

    stopping = asyncio.Event()
    running = asyncio.create_task(loop_of(sweep(run)).run(stopping))

    async with asyncio.timeout(5):
        await began.wait()
        stopping.set()
        go_on.set()
        await running

    assert ended == [True]


async def test_a_stop_cuts_a_sweep_that_does_not_end() -> None:
    """The drain is over at once, and the process must end."""
    began = asyncio.Event()

    async def run() -> bool:
        began.set()
        await asyncio.Event().wait()
        return False

    stopping = asyncio.Event()
    running = asyncio.create_task(loop_of(sweep(run), drain_seconds=0).run(stopping))

    async with asyncio.timeout(5):
        await began.wait()
        stopping.set()
        await running

    assert running.done()


async def test_the_lag_grows_while_a_sweep_fails() -> None:
    """A sweep that fails has left something to do since its last success."""
    script = Script(*[RuntimeError("broken")] * 20)
    before = runs_of("lagging", "failed")
    stopping = asyncio.Event()
    running = asyncio.create_task(loop_of(sweep(script.run, "lagging"), pause=0.001).run(stopping))

    async with asyncio.timeout(5):
        await script.exhausted.wait()
        lag = metric("holdfast_reconcile_lag_seconds", sweep="lagging")
        stopping.set()
        await running

    assert lag >= 0.019
    assert runs_of("lagging", "failed") - before >= 20


@pytest.mark.parametrize(
    ("results", "succeeds"), [((WORK_LEFT, NOTHING_LEFT), True), ((WORK_LEFT, RuntimeError("broken")), False)]
)
async def test_once_runs_until_nothing_is_left(*, results: tuple[bool | Exception, ...], succeeds: bool) -> None:
    """Its result tells if every sweep succeeded."""
    script = Script(*results)

    assert await loop_of(sweep(script.run)).run_once(asyncio.Event()) is succeeds
    assert script.runs == len(results)
