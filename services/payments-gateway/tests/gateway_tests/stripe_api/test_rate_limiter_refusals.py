import asyncio

import pytest

from payments_gateway.stripe_api.rate_limiter import (
    LimiterRefusal,
    LimiterTimeout,
    Priority,
)

from ..limited_requests import (
    BROWSE,
    BUY,
    CREATE,
    FULFIL,
    LIMIT,
    LONG,
    RETRIEVE,
    SUBSCRIBE,
    Request,
    end_all,
    in_virtual_time,
    limiter,
    now,
    offer,
    settle,
)


@pytest.mark.parametrize(("max_wait_seconds", "seconds"), [(1.0, LONG), (LONG, 4 / 3)])
@in_virtual_time
async def test_a_wait_for_a_slot_is_bounded(max_wait_seconds: float, seconds: float) -> None:
    """By the limiter and by three quarters of the caller's time; a request that gave up takes no slot later."""
    limits = limiter(slots=1, max_wait_seconds=max_wait_seconds)
    first = Request(limits)
    await settle()

    with pytest.raises(LimiterTimeout):
        await Request(limits, seconds=seconds).task

    assert now() == pytest.approx(1, abs=0.01)
    next_one = Request(limits)
    await first.end()
    await settle()
    assert next_one.has_slot
    await next_one.end()


@in_virtual_time
async def test_fulfilment_waits_as_long_as_it_has_time() -> None:
    """A webhook that is refused comes again in minutes or hours only."""
    limits = limiter(max_wait_seconds=3)
    limits.slow_down(SUBSCRIBE, 8.0)

    refused = Request(limits, BUY, SUBSCRIBE, seconds=12)
    paid = Request(limits, FULFIL, SUBSCRIBE, takes=0, seconds=12)
    await paid.task

    with pytest.raises(LimiterRefusal):
        await refused.task
    assert paid.waited == pytest.approx(8, abs=0.2)


@in_virtual_time
async def test_a_paid_checkout_whose_turn_comes_has_time_left() -> None:
    """However many webhooks come at once: a request that is sent without time for its answer takes a token in vain."""
    limits = limiter(operation=LIMIT)

    made = [Request(limits, FULFIL, RETRIEVE, takes=0, seconds=12) for _ in range(400)]
    await asyncio.gather(*(each.task for each in made), return_exceptions=True)

    started = [each.waited for each in made if each.has_slot]
    assert len(started) >= 9 * 24
    assert max(started) <= 9


@in_virtual_time
async def test_a_turn_that_comes_earlier_is_not_missed() -> None:
    """A paid checkout waits for the end of a pause; the turn of another comes before, and nothing ends meanwhile."""
    limits = limiter(operation=LIMIT)
    limits.slow_down(SUBSCRIBE, 8.0)
    subscribing = Request(limits, FULFIL, SUBSCRIBE)
    await settle()

    creating = [Request(limits) for _ in range(5)]
    await asyncio.sleep(1)

    assert all(each.waited < 5 / LIMIT for each in creating)
    await end_all(subscribing, *creating)


@in_virtual_time
async def test_after_429s_whoever_waits_is_told_when_the_rate_has_recovered() -> None:
    """A paid checkout waits behind seventy others, whatever the rate is now; a buyer is told when they are gone."""
    limits = limiter(operation=LIMIT, max_wait_seconds=3)
    for _ in range(6):
        limits.slow_down(SUBSCRIBE, None)
        await asyncio.sleep(1)
    waiting = [Request(limits, FULFIL, SUBSCRIBE, takes=0, seconds=12) for _ in range(70)]
    await settle()

    with pytest.raises(LimiterRefusal) as refused:
        await Request(limits, BUY, SUBSCRIBE).task
    last = Request(limits, FULFIL, SUBSCRIBE, takes=0, seconds=12)
    await asyncio.gather(last.task, *(each.task for each in waiting))

    assert refused.value.retry_after_seconds == pytest.approx(last.waited, abs=0.2)


@pytest.mark.parametrize(("total", "paused_seconds"), [(4 * LIMIT, None), (LIMIT, 5.0)])
@in_virtual_time
async def test_waiters_of_one_operation_get_no_other_refused(total: float, paused_seconds: float | None) -> None:
    """After an outage two hundred webhooks wait for their limit, or for the end of its pause; a buyer needs another."""
    limits = limiter(total=total, operation=LIMIT, max_wait_seconds=3)
    if paused_seconds:
        limits.slow_down(RETRIEVE, paused_seconds)
    retrieving = [Request(limits, FULFIL, RETRIEVE, takes=0) for _ in range(200)]
    await asyncio.sleep(1)

    creating = Request(limits, BUY, CREATE, takes=0)
    await creating.task

    assert creating.waited < 0.1
    await asyncio.gather(*(each.task for each in retrieving))


@pytest.mark.parametrize("waiting", [FULFIL, BUY])
@in_virtual_time
async def test_pauses_of_other_operations_get_nobody_refused_whose_turn_is_now(waiting: Priority) -> None:
    """Requests that wait for their end will use the account's whole limit then; until then it is free."""
    limits = limiter(total=LIMIT, operation=LIMIT, max_wait_seconds=3)
    paused = [SUBSCRIBE, RETRIEVE, "GET /v1/refunds", "GET /v1/disputes/{id}", "GET /v1/subscriptions/{id}"]
    await asyncio.sleep(1)
    for operation in paused:
        limits.slow_down(operation, None)
    made = [Request(limits, waiting, operation, takes=0) for operation in paused for _ in range(60)]
    await settle()

    creating = Request(limits, BUY, CREATE, takes=0)
    await creating.task

    assert creating.waited < 0.001
    await asyncio.gather(*(each.task for each in made), return_exceptions=True)


@in_virtual_time
async def test_a_wait_that_cannot_end_in_time_is_refused_at_once() -> None:
    """With the time in which the queue will be worked off; those that wait already get their turn in time."""
    limits = limiter(operation=LIMIT, max_wait_seconds=3)
    made = [Request(limits, takes=0) for _ in range(100)]
    await settle()

    outcomes = await asyncio.gather(*(each.task for each in made), return_exceptions=True)

    refusals = [outcome for outcome in outcomes if outcome is not None]
    told = {outcome.retry_after_seconds for outcome in refusals if isinstance(outcome, LimiterRefusal)}
    assert len(refusals) == pytest.approx(100 - 1.5 * LIMIT, abs=3)
    assert all(1.5 <= (seconds or 0) <= 1.6 for seconds in told)
    assert max(each.waited for each in made if each.has_slot) <= 1.6


@in_virtual_time
async def test_nobody_gives_up_just_before_the_turn() -> None:
    """Those that pass a request that waits are accounted for when it is let in."""
    limits = limiter(operation=LIMIT, max_wait_seconds=3)
    others = [
        asyncio.create_task(offer(limits, a_second, 20, each, CREATE)) for a_second, each in ((8, FULFIL), (4, BROWSE))
    ]

    made = await offer(limits, 60, 20, BUY, CREATE)

    outcomes = await asyncio.gather(*(each.task for each in made), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {type(None), LimiterRefusal}
    await asyncio.gather(*others)
