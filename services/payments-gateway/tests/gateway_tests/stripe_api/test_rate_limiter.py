import asyncio
from collections import Counter
from typing import Any

import pytest

from payments_gateway.stripe_api.rate_limiter import (
    RequestRates,
    StripeLimiter,
)

from ..limited_requests import (
    BROWSE,
    BUY,
    CREATE,
    FULFIL,
    LIMIT,
    LONG,
    NO_LIMIT,
    RETRIEVE,
    Request,
    end_all,
    in_virtual_time,
    limiter,
    most_in_a_second,
    now,
    offer,
    refused_by_stripe,
    settle,
)


@in_virtual_time
async def test_concurrent_requests_are_limited() -> None:
    """The others wait until one ends."""
    limits = limiter(slots=3)
    requests = [Request(limits, FULFIL) for _ in range(5)]
    await settle()
    at_first = [request.has_slot for request in requests]

    await requests[1].end()
    await settle()

    assert at_first == [True, True, True, False, False]
    assert [request.has_slot for request in requests] == [True, True, True, True, False]
    await end_all(*requests)


@in_virtual_time
async def test_no_second_has_more_requests_than_the_limit() -> None:
    """Offered sixty a second, also after a rest: at least twenty-four start in each, evenly spaced."""
    limits = limiter(operation=LIMIT, max_wait_seconds=3)

    made = await offer(limits, 60, 20, BUY, CREATE)
    await asyncio.sleep(60)
    made += await offer(limits, 60, 20, BUY, CREATE)

    started = [each for each in made if each.has_slot]
    assert most_in_a_second(made) <= LIMIT
    assert len(started) >= 2 * 20 * 24
    assert max(each.waited for each in started) <= 3


@in_virtual_time
async def test_gateways_share_a_limit() -> None:
    """Four with a quarter each, all overloaded, with paid checkouts among the rest: Stripe refuses nothing."""
    gateways = [limiter(operation=LIMIT / 4, max_wait_seconds=3) for _ in range(4)]

    offered = [
        offer(each, a_second, 20, priority, CREATE)
        for each in gateways
        for a_second, priority in ((20, BUY), (2, FULFIL))
    ]
    made = [each for requests in await asyncio.gather(*offered) for each in requests]

    assert refused_by_stripe(made) == 0
    assert sum(each.has_slot for each in made) >= 20 * 24


@in_virtual_time
async def test_late_timers_cost_no_requests() -> None:
    """A busy process wakes up some milliseconds late each time."""
    limits = limiter(operation=LIMIT)
    loop = asyncio.get_running_loop()
    call_later = loop.call_later
    loop.call_later = lambda delay, *args, **kwargs: call_later(delay + 0.01, *args, **kwargs)  # type: ignore[method-assign]

    made = [Request(limits, takes=0) for _ in range(LIMIT * 10)]
    await asyncio.gather(*(each.task for each in made))

    assert now() <= LIMIT * 10 / 24


@in_virtual_time
async def test_each_operation_has_its_own_limit() -> None:
    """A hundred checkouts that wait delay no status page."""
    limits = limiter(operation=LIMIT)
    creating = [Request(limits, BUY, CREATE, takes=0) for _ in range(100)]
    await settle()

    poll = Request(limits, BROWSE, RETRIEVE, takes=0)
    await asyncio.gather(poll.task, *(each.task for each in creating))

    assert poll.waited < 0.001
    assert max(each.waited for each in creating) > 3.9


@in_virtual_time
async def test_all_operations_together_have_the_accounts_limit() -> None:
    """Three of them at once, each below its own."""
    limits = limiter(operation=LIMIT, total=2 * LIMIT)

    made = [Request(limits, BUY, f"POST /v1/{name}", takes=0) for _ in range(50) for name in ("a", "b", "c")]
    await asyncio.gather(*(each.task for each in made))

    assert most_in_a_second(made) <= 2 * LIMIT
    assert now() <= 150 / (2 * 24)


@in_virtual_time
async def test_an_operation_may_have_a_raised_limit() -> None:
    """Stripe raises single limits of an account on request."""
    rates = RequestRates(NO_LIMIT, LIMIT, {CREATE: 4 * LIMIT})
    limits = StripeLimiter(max_concurrent=100, rates=rates, max_wait_seconds=LONG, monotonic=now)

    creating = [Request(limits, BUY, CREATE, takes=0) for _ in range(100)]
    retrieving = [Request(limits, BUY, RETRIEVE, takes=0) for _ in range(100)]
    await asyncio.gather(*(each.task for each in (*creating, *retrieving)))

    assert [round(max(each.waited for each in made)) for made in (creating, retrieving)] == [1, 4]


@pytest.mark.parametrize("limits", [{"operation": LIMIT}, {"total": LIMIT}])
@in_virtual_time
async def test_fulfilment_does_not_wait_behind_others(limits: dict[str, Any]) -> None:
    """Neither in its operation nor in the account's limit, however many wait: it has a reserve, and goes first."""
    limiting = limiter(**limits, max_wait_seconds=3)
    overload = [asyncio.create_task(offer(limiting, 60, 20, each, RETRIEVE)) for each in (BUY, BROWSE)]
    await asyncio.sleep(1)

    fulfilling = await offer(limiting, 2, 18, FULFIL, RETRIEVE)
    burst = [Request(limiting, FULFIL, RETRIEVE, takes=0) for _ in range(10)]
    await asyncio.gather(*(each.task for each in burst))

    assert max(each.waited for each in fulfilling) < 0.001
    assert max(each.waited for each in burst) < 10 / LIMIT
    others = await asyncio.gather(*overload)
    everything = [*fulfilling, *burst, *others[0], *others[1]]
    assert refused_by_stripe(everything) == 0
    assert most_in_a_second(everything) <= LIMIT + 3  # with the reserve


@in_virtual_time
async def test_fulfilment_has_slots_of_its_own() -> None:
    """Slow requests of others leave it a tenth, and browsing leaves half to buyers."""
    limits = limiter(slots=10)
    made: list[Request] = []
    for priority in (BROWSE, BUY, FULFIL):
        made += [Request(limits, priority) for _ in range(10)]
        await settle()

    started = Counter(each.priority for each in made if each.has_slot)

    assert started == {BROWSE: 5, BUY: 4, FULFIL: 1}
    await end_all(*made)


@in_virtual_time
async def test_whoever_buys_goes_before_whoever_browses() -> None:
    """Ten status polls wait when a buyer comes, and then a paid checkout: those two are next."""
    limits = limiter(slots=1)
    first = Request(limits)
    await settle()
    waiting = [Request(limits, BROWSE, takes=1) for _ in range(10)]
    waiting += [Request(limits, each, takes=1) for each in (BUY, FULFIL)]
    await settle()

    await end_all(first, *waiting)

    order = [each.priority for each in sorted(waiting, key=lambda each: each.started_at)]
    assert order == [FULFIL, BUY] + [BROWSE] * 10


@pytest.mark.parametrize(
    ("limits", "browsed"),
    [({"slots": 2}, CREATE), ({"operation": 10.0}, CREATE), ({"total": 10.0}, CREATE), ({"total": 10.0}, RETRIEVE)],
)
@in_virtual_time
async def test_browsing_is_not_starved(limits: dict[str, Any], browsed: str) -> None:
    """It is before a buyer after seven of them, of whichever operation."""
    limiting = limiter(**limits)
    first = [Request(limiting, FULFIL, takes=1) for _ in range(3)]
    await settle()
    waiting = [Request(limiting, BUY, takes=1) for _ in range(20)]
    waiting += [Request(limiting, BROWSE, browsed, takes=1) for _ in range(2)]

    await end_all(*first, *waiting)

    order = sorted(waiting, key=lambda each: each.started_at)
    assert [place for place, each in enumerate(order) if each.priority is BROWSE] == [7, 15]


@in_virtual_time
async def test_browsing_of_one_operation_is_not_starved_by_browsing_of_another() -> None:
    """Buyers saturate an operation that some status pages need; others read subscriptions."""
    limits = limiter(total=4 * LIMIT, operation=LIMIT, max_wait_seconds=3)
    others = [
        asyncio.create_task(offer(limits, 40, 20, BUY, RETRIEVE)),
        asyncio.create_task(offer(limits, 10, 20, BROWSE, "GET /v1/subscriptions/{id}")),
    ]

    polls = await offer(limits, 1, 20, BROWSE, RETRIEVE)

    assert all(each.has_slot for each in polls)
    await asyncio.gather(*others)


@in_virtual_time
async def test_a_cancelled_request_leaves_its_slot() -> None:
    """Cancelled while it waits, or just as it gets its slot."""
    limits = limiter(slots=1)
    first = Request(limits)
    await settle()
    waits, granted, last = Request(limits), Request(limits), Request(limits)
    await settle()

    waits.task.cancel()
    await settle()
    first.ended.set()
    await first.task  # its slot has gone to the next, which does not know yet
    granted.task.cancel()
    await settle()

    assert last.has_slot
    await last.end()
    await asyncio.gather(waits.task, granted.task, return_exceptions=True)


@in_virtual_time
async def test_abandoned_waits_delay_nobody() -> None:
    """Fifty buyers close their browsers: whoever comes then is the next, and is told no long wait."""
    limits = limiter(operation=LIMIT)
    gone = [Request(limits) for _ in range(50)]
    await settle()
    for each in gone:
        each.task.cancel()
    await settle()

    later = Request(limits, takes=0, seconds=1)
    await later.task

    assert later.waited < 2 / LIMIT


@in_virtual_time
async def test_one_timer_wakes_all_that_wait() -> None:
    """However many they are."""
    limits = limiter(operation=LIMIT)
    loop = asyncio.get_running_loop()
    timers, call_later = [], loop.call_later

    def counting(delay: float, callback: Any, *args: Any) -> asyncio.TimerHandle:
        if getattr(callback, "__self__", None) is limits:
            timers.append(delay)
        return call_later(delay, callback, *args)

    loop.call_later = counting  # type: ignore[method-assign, assignment]
    made = [Request(limits, takes=0) for _ in range(100)]
    await settle()
    at_once = len(timers)
    await asyncio.gather(*(each.task for each in made))

    assert at_once == 1
    assert len(timers) <= 110


@in_virtual_time
async def test_a_clock_that_is_set_back_neither_opens_nor_closes_the_limit() -> None:
    """By half a minute."""
    clock, loop = {"ahead": 30.0}, asyncio.get_running_loop()
    limits = StripeLimiter(
        max_concurrent=100,
        rates=RequestRates(NO_LIMIT, LIMIT),
        max_wait_seconds=3,
        monotonic=lambda: loop.time() + clock["ahead"],
    )
    offered = asyncio.create_task(offer(limits, 60, 20, BUY, CREATE))
    await asyncio.sleep(10)

    clock["ahead"] = 0.0
    made = await offered

    assert most_in_a_second(made) <= LIMIT
    assert sum(each.started_at > 10 for each in made if each.has_slot) >= 10 * 23
