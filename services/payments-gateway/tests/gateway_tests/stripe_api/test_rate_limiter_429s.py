import asyncio

import pytest
from prometheus_client import REGISTRY

from payments_gateway.stripe_api.rate_limiter import (
    ALL_OPERATIONS,
    LimiterRefusal,
    Priority,
)

from ..limited_requests import (
    BUY,
    CREATE,
    RETRIEVE,
    Request,
    in_virtual_time,
    limiter,
)


@pytest.mark.parametrize(("retry_after", "pause"), [(20.0, 20.0), (None, 1.0), (3600.0, 30.0)])
@in_virtual_time
async def test_after_a_429_nothing_of_its_operation_starts_for_a_while(retry_after: float | None, pause: float) -> None:
    """At least a second, at most half a minute; callers with less time learn how long."""
    limits = limiter(max_wait_seconds=0.5)

    limits.slow_down(CREATE, retry_after)

    with pytest.raises(LimiterRefusal) as refusal:
        await Request(limits).task
    assert refusal.value.retry_after_seconds == pytest.approx(pause, abs=0.01)
    await Request(limits, BUY, RETRIEVE, takes=0).task
    await asyncio.sleep(pause + 0.01)
    await Request(limits, takes=0).task


@in_virtual_time
async def test_a_longer_pause_is_not_cut_short() -> None:
    """By a 429 of a request that was under way, which names no time."""
    limits = limiter()
    limits.slow_down(CREATE, 20.0)
    await asyncio.sleep(2)

    limits.slow_down(CREATE, None)

    assert limits.expected_wait(CREATE, BUY) == pytest.approx(18, abs=0.01)


@in_virtual_time
async def test_after_a_429_of_the_account_nothing_starts_for_a_while() -> None:
    """Of no operation and no priority."""
    limits = limiter()
    limits.slow_down(ALL_OPERATIONS, 2.0)

    made = [Request(limits, each, RETRIEVE, takes=0) for each in Priority]
    await asyncio.gather(*(each.task for each in made))

    assert min(each.waited for each in made) >= 2.0


@in_virtual_time
async def test_after_a_429_the_rate_is_reduced_and_recovers() -> None:
    """Halved for each second with a 429, down to a sixteenth; restored by ten seconds without."""
    limits = limiter(operation=160 / 0.98)
    await Request(limits, takes=0).task

    def rate() -> float:
        return REGISTRY.get_sample_value("holdfast_stripe_rate_limit", {"operation": CREATE}) or 0.0

    for _ in range(5):
        limits.slow_down(CREATE, 0.0)  # five at once are one warning
    once = rate()
    for _ in range(20):
        await asyncio.sleep(1)
        limits.slow_down(CREATE, 0.0)
    often = rate()
    await asyncio.sleep(10)

    assert once == pytest.approx(80)
    assert often < 30
    assert rate() == pytest.approx(160)
