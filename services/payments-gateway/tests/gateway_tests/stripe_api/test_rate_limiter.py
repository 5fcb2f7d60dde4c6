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
    longest_wait_seconds: float = LONG,
    clock: FakeClock | None = None,
) -> StripeLimiter:
    """Make a limiter that is in nobody's way but where a test says so."""
    return StripeLimiter(
        max_concurrent=max_concurrent,
        requests_per_second=requests_per_second,
        longest_wait_seconds=longest_wait_seconds,
        monotonic=clock.seconds if clock else time.monotonic,
    )


class Visitor:
    """A call that stays until it is told to go."""

    def __init__(
        self, gate: StripeLimiter, priority: Priority = Priority.HIGH, *, log: list[str] | None = None
    ) -> None:
        self.inside = asyncio.Event()
        self.go = asyncio.Event()
        self._log = [] if log is None else log
        self.task = asyncio.create_task(self._visit(gate, priority))

    async def _visit(self, gate: StripeLimiter, priority: Priority) -> None:
        async with gate.turn(priority, within_seconds=LONG):
            self._log.append(priority.value)
            self.inside.set()
            await self.go.wait()

    async def leave(self) -> None:
        """End the call."""
        self.go.set()
        await self.task


async def settle() -> None:
    """Let everything that can happen now happen."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_no_more_than_allowed_are_under_way_at_once() -> None:
    """The others wait until one leaves."""
    gate = limiter(max_concurrent=3)
    visitors = [Visitor(gate) for _ in range(5)]
    await settle()
    at_first = [visitor.inside.is_set() for visitor in visitors]

    await visitors[1].leave()
    await settle()

    assert at_first == [True, True, True, False, False]
    assert [visitor.inside.is_set() for visitor in visitors] == [True, True, True, True, False]
    for visitor in visitors:
        visitor.go.set()
    await asyncio.gather(*(visitor.task for visitor in visitors))


async def test_no_more_than_allowed_begin_in_a_second() -> None:
    """Half a second's worth may come at once; after that they come as the clock ticks."""
    gate = limiter(requests_per_second=100)
    began = time.monotonic()

    async def call() -> None:
        async with gate.turn(Priority.HIGH, within_seconds=LONG):
            pass

    await asyncio.gather(*(call() for _ in range(50 + 20)))

    assert time.monotonic() - began >= 0.19


async def test_a_wait_has_an_end() -> None:
    """Whoever finds no place in time is turned away, and takes none later."""
    gate = limiter(max_concurrent=1, longest_wait_seconds=0.05)
    first = Visitor(gate)
    await settle()

    with pytest.raises(LimiterTimeout):
        async with gate.turn(Priority.HIGH, within_seconds=LONG):
            pass
    await first.leave()

    async with gate.turn(Priority.HIGH, within_seconds=LONG):
        pass


async def test_a_wait_ends_with_the_callers_time() -> None:
    """However long the limiter itself would let them wait."""
    gate = limiter(max_concurrent=1)
    first = Visitor(gate)
    await settle()
    began = time.monotonic()

    with pytest.raises(LimiterTimeout):
        async with gate.turn(Priority.HIGH, within_seconds=0.05):
            pass

    assert time.monotonic() - began < LONG
    await first.leave()


async def test_who_pays_goes_before_who_looks() -> None:
    """Ten status polls wait when a buyer comes to pay: the buyer is next."""
    order: list[str] = []
    gate = limiter(max_concurrent=1)
    first = Visitor(gate)
    await settle()
    patient = [Visitor(gate, Priority.LOW, log=order) for _ in range(10)]
    await settle()
    urgent = Visitor(gate, Priority.HIGH, log=order)
    await settle()

    for visitor in [first, urgent, *patient]:
        visitor.go.set()
    await asyncio.gather(first.task, urgent.task, *(visitor.task for visitor in patient))

    assert order == ["high"] + ["low"] * 10


async def test_who_looks_is_not_starved() -> None:
    """After seven urgent calls a patient one that waits has its turn."""
    order: list[str] = []
    gate = limiter(max_concurrent=1)
    first = Visitor(gate)
    await settle()
    waiting = [Visitor(gate, Priority.HIGH, log=order) for _ in range(20)]
    waiting += [Visitor(gate, Priority.LOW, log=order) for _ in range(2)]
    await settle()

    for visitor in [first, *waiting]:
        visitor.go.set()
    await asyncio.gather(first.task, *(visitor.task for visitor in waiting))

    assert [place for place, priority in enumerate(order) if priority == "low"] == [6, 14]


async def test_who_looks_takes_half_of_the_places_at_most() -> None:
    """Slow looks leave room for whoever pays."""
    gate = limiter(max_concurrent=4)
    patient = [Visitor(gate, Priority.LOW) for _ in range(4)]
    await settle()
    urgent = [Visitor(gate) for _ in range(2)]
    await settle()

    assert [visitor.inside.is_set() for visitor in patient] == [True, True, False, False]
    assert [visitor.inside.is_set() for visitor in urgent] == [True, True]
    for visitor in [*patient, *urgent]:
        visitor.go.set()
    await asyncio.gather(*(visitor.task for visitor in [*patient, *urgent]))


async def test_whoever_gives_up_leaves_no_gap() -> None:
    """A call that is cancelled while it waits, or just as its turn comes, takes no place from the others."""
    gate = limiter(max_concurrent=1)
    first = Visitor(gate)
    await settle()
    waits, granted, last = Visitor(gate), Visitor(gate), Visitor(gate)
    await settle()

    waits.task.cancel()
    await settle()
    first.go.set()
    await first.task  # its place has gone to the next, who does not know yet
    granted.task.cancel()
    await settle()

    assert last.inside.is_set()
    await last.leave()
    await asyncio.gather(waits.task, granted.task, return_exceptions=True)


async def test_after_a_429_nobody_passes_for_a_while() -> None:
    """Whoever's time is shorter than the pause is turned away at once, and told how long it lasts."""
    clock = FakeClock()
    gate = limiter(clock=clock)

    gate.slow_down(20.0)

    with pytest.raises(LimiterTimeout) as turned_away:
        async with gate.turn(Priority.HIGH, within_seconds=LONG):
            pass
    assert turned_away.value.retry_after_seconds == pytest.approx(20)
    clock.advance(20.1)
    async with gate.turn(Priority.HIGH, within_seconds=LONG):
        pass


async def test_a_short_pause_is_waited_for() -> None:
    """The call goes on by itself when it is over."""
    gate = limiter()
    gate.slow_down(0.2)
    began = time.monotonic()

    async with gate.turn(Priority.HIGH, within_seconds=LONG):
        waited = time.monotonic() - began

    assert waited >= 0.19


@pytest.mark.parametrize(("said", "pause"), [(None, 1.0), (3600.0, 30.0)])
async def test_a_pause_has_its_bounds(said: float | None, pause: float) -> None:
    """A 429 that names no time is still heeded, and none closes the shop for an hour."""
    clock = FakeClock()
    gate = limiter(clock=clock, longest_wait_seconds=0.001)

    gate.slow_down(said)

    with pytest.raises(LimiterTimeout) as turned_away:
        async with gate.turn(Priority.HIGH, within_seconds=LONG):
            pass
    assert turned_away.value.retry_after_seconds == pytest.approx(pause)


async def test_after_a_429_fewer_pass_and_slowly_all_again() -> None:
    """The rate is halved for each second with a 429 in it, down to a sixteenth; ten quiet seconds restore it."""
    clock = FakeClock()
    gate = limiter(requests_per_second=160, clock=clock)

    def rate() -> float:
        return REGISTRY.get_sample_value("holdfast_stripe_rate_limit") or 0.0

    async def pass_once() -> None:
        async with gate.turn(Priority.HIGH, within_seconds=LONG):
            pass

    for _ in range(5):
        gate.slow_down(0.0)  # five at once are one warning
    await pass_once()
    once = rate()
    for _ in range(20):
        clock.advance(1.0)
        gate.slow_down(0.0)
    clock.advance(0.1)
    await pass_once()
    often = rate()
    clock.advance(10)
    await pass_once()

    assert once == pytest.approx(80)
    assert often < 30
    assert rate() == pytest.approx(160)
