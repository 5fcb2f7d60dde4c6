import asyncio
import time

import pytest
from prometheus_client import REGISTRY

from payments_gateway.stripe_api.rate_limiter import LimiterTimeout, Priority, StripeLimiter

from ..fakes import FakeClock

LONG = 5.0


def limiter(
    *,
    max_concurrent: int = 100,
    requests_per_second: float = 10_000,
    max_wait_seconds: float = LONG,
    clock: FakeClock | None = None,
) -> StripeLimiter:
    """Return a limiter whose limits are high unless given."""
    return StripeLimiter(
        max_concurrent=max_concurrent,
        requests_per_second=requests_per_second,
        max_wait_seconds=max_wait_seconds,
        monotonic=clock.seconds if clock else time.monotonic,
    )


class Request:
    """A request that holds its slot until it is told to end."""

    def __init__(
        self, limiter: StripeLimiter, priority: Priority = Priority.HIGH, *, log: list[str] | None = None
    ) -> None:
        self.granted = asyncio.Event()
        self.ended = asyncio.Event()
        self._log = [] if log is None else log
        self.task = asyncio.create_task(self._run(limiter, priority))

    async def _run(self, limiter: StripeLimiter, priority: Priority) -> None:
        async with limiter.acquire(priority, timeout_seconds=LONG):
            self._log.append(priority.value)
            self.granted.set()
            await self.ended.wait()

    async def end(self) -> None:
        """Release the slot."""
        self.ended.set()
        await self.task


async def settle() -> None:
    """Let everything that can happen now happen."""
    for _ in range(20):
        await asyncio.sleep(0)


async def end_all(*requests: Request) -> None:
    """End requests in whatever order they get their slots."""
    for request in requests:
        request.ended.set()
    await asyncio.gather(*(request.task for request in requests))


async def pass_once(limits: StripeLimiter, timeout_seconds: float = LONG) -> None:
    """Acquire and release a slot."""
    async with limits.acquire(Priority.HIGH, timeout_seconds=timeout_seconds):
        pass


async def test_concurrent_requests_are_limited() -> None:
    """The others wait until one ends."""
    limits = limiter(max_concurrent=3)
    requests = [Request(limits) for _ in range(5)]
    await settle()
    at_first = [request.granted.is_set() for request in requests]

    await requests[1].end()
    await settle()

    assert at_first == [True, True, True, False, False]
    assert [request.granted.is_set() for request in requests] == [True, True, True, True, False]
    await end_all(*requests)


async def test_requests_a_second_are_limited() -> None:
    """Half a second's worth may start at once, the rest at the rate."""
    limits = limiter(requests_per_second=100)
    began = time.monotonic()

    await asyncio.gather(*(pass_once(limits) for _ in range(50 + 20)))

    assert time.monotonic() - began >= 0.19


@pytest.mark.parametrize(("max_wait_seconds", "timeout_seconds"), [(0.05, LONG), (LONG, 0.05)])
async def test_a_wait_is_bounded(max_wait_seconds: float, timeout_seconds: float) -> None:
    """By the limiter and by the caller; a request that gave up takes no slot later."""
    limits = limiter(max_concurrent=1, max_wait_seconds=max_wait_seconds)
    first = Request(limits)
    await settle()
    began = time.monotonic()

    with pytest.raises(LimiterTimeout):
        await pass_once(limits, timeout_seconds)

    assert time.monotonic() - began < LONG
    await first.end()
    await pass_once(limits)


async def test_high_priority_goes_first() -> None:
    """Ten status polls wait when a buyer comes to pay: the buyer is next."""
    order: list[str] = []
    limits = limiter(max_concurrent=1)
    first = Request(limits)
    await settle()
    low = [Request(limits, Priority.LOW, log=order) for _ in range(10)]
    await settle()
    high = Request(limits, Priority.HIGH, log=order)
    await settle()

    await end_all(first, high, *low)

    assert order == ["high"] + ["low"] * 10


async def test_low_priority_is_not_starved() -> None:
    """It gets a slot after seven of high priority."""
    order: list[str] = []
    limits = limiter(max_concurrent=1)
    first = Request(limits)
    await settle()
    waiting = [Request(limits, Priority.HIGH, log=order) for _ in range(20)]
    waiting += [Request(limits, Priority.LOW, log=order) for _ in range(2)]
    await settle()

    await end_all(first, *waiting)

    assert [place for place, priority in enumerate(order) if priority == "low"] == [6, 14]


async def test_low_priority_gets_half_of_the_slots() -> None:
    """Slow reads leave room for buyers who pay."""
    limits = limiter(max_concurrent=4)
    low = [Request(limits, Priority.LOW) for _ in range(4)]
    await settle()
    high = [Request(limits) for _ in range(2)]
    await settle()

    assert [request.granted.is_set() for request in low] == [True, True, False, False]
    assert [request.granted.is_set() for request in high] == [True, True]
    await end_all(*low, *high)


async def test_a_cancelled_request_leaves_its_slot() -> None:
    """Cancelled while it waits, or just as it gets its slot."""
    limits = limiter(max_concurrent=1)
    first = Request(limits)
    await settle()
    waits, granted, last = Request(limits), Request(limits), Request(limits)
    await settle()

    waits.task.cancel()
    await settle()
    await first.end()  # its slot has gone to the next, which does not know yet
    granted.task.cancel()
    await settle()

    assert last.granted.is_set()
    await last.end()
    await asyncio.gather(waits.task, granted.task, return_exceptions=True)


@pytest.mark.parametrize(("retry_after", "pause"), [(20.0, 20.0), (None, 1.0), (3600.0, 30.0)])
async def test_after_a_429_no_request_starts_for_a_while(retry_after: float | None, pause: float) -> None:
    """At least a second, at most half a minute; callers with less time learn how long."""
    clock = FakeClock()
    limits = limiter(clock=clock, max_wait_seconds=0.001)

    limits.slow_down(retry_after)

    with pytest.raises(LimiterTimeout) as timeout:
        await pass_once(limits)
    assert timeout.value.retry_after_seconds == pytest.approx(pause)
    clock.advance(pause + 0.1)
    await pass_once(limits)


async def test_a_short_pause_is_waited_for() -> None:
    """The request starts when it is over."""
    limits = limiter()
    limits.slow_down(0.2)
    began = time.monotonic()

    await pass_once(limits)

    assert time.monotonic() - began >= 0.19


async def test_after_a_429_the_rate_is_reduced_and_recovers() -> None:
    """Halved for each second with a 429, down to a sixteenth; restored by ten seconds without."""
    clock = FakeClock()
    limits = limiter(requests_per_second=160, clock=clock)

    def rate() -> float:
        return REGISTRY.get_sample_value("holdfast_stripe_rate_limit") or 0.0

    for _ in range(5):
        limits.slow_down(0.0)  # five at once are one warning
    await pass_once(limits)
    once = rate()
    for _ in range(20):
        clock.advance(1.0)
        limits.slow_down(0.0)
    clock.advance(0.1)
    await pass_once(limits)
    often = rate()
    clock.advance(10)
    await pass_once(limits)

    assert once == pytest.approx(80)
    assert often < 30
    assert rate() == pytest.approx(160)
