"""What is away is told clearly and in time, and comes back without anybody's help."""

import asyncio
import time

import pytest

from .conftest import Waiter, until
from .harness.shop import Shop
from .harness.system import System

# One call to a service may take 6 s here, its deadline; a request makes a few of them at most.
IN_TIME_SECONDS = 20.0


@pytest.mark.parametrize("frozen", [False, True], ids=["killed", "frozen"])
@pytest.mark.parametrize("away", ["valkey", "checkout-session"])
async def test_without_the_attempt_store_no_checkout_begins_and_then_it_does(
    system: System, shop: Shop, settled: Waiter, away: str, *, frozen: bool
) -> None:
    """Redis or checkout-session away: 503 in time and readiness false; afterwards both recover without a restart."""
    await _take_away(system, away, frozen=frozen)
    try:
        began = time.monotonic()
        refused = await shop.initiate(system.cart(mug=1))
        took = time.monotonic() - began
        await until(lambda: _readiness_is(shop, 503), "readiness false")
    finally:
        await _bring_back(system, away, frozen=frozen)

    await until(lambda: _readiness_is(shop, 200), "readiness true again")
    checkout = await shop.checkout(system.cart(mug=1))
    (await shop.pay(checkout)).ok()
    await settled(checkout)
    assert refused.status == 503
    assert refused.problem == "temporarily_unavailable"
    assert took < IN_TIME_SECONDS


@pytest.mark.parametrize("frozen", [False, True], ids=["killed", "frozen"])
@pytest.mark.parametrize("away", ["postgres", "orders"])
async def test_without_orders_no_completion_and_then_there_is(
    system: System, shop: Shop, settled: Waiter, away: str, *, frozen: bool
) -> None:
    """PostgreSQL or orders away: completion is 503 in time, readiness false; afterwards the order is there, once."""
    checkout = await shop.checkout(system.cart(mug=1))
    await _take_away(system, away, frozen=frozen)
    try:
        (await shop.pay(checkout)).ok()
        began = time.monotonic()
        refused = await shop.come_back(checkout)
        took = time.monotonic() - began
        await until(lambda: _readiness_is(shop, 503), "readiness false")
    finally:
        await _bring_back(system, away, frozen=frozen)

    await until(lambda: _readiness_is(shop, 200), "readiness true again")
    await settled(checkout)
    (order,) = await system.books.orders_of(checkout.attempt_id)
    assert refused.status == 503
    assert took < IN_TIME_SECONDS
    assert order["total_minor"] == checkout.amount


async def test_liveness_asks_nothing_of_others(system: System, shop: Shop) -> None:
    """With every store frozen the gateway is still alive: a restart would not help."""
    for away in ("valkey", "postgres"):
        await system.backend.pause(away)
    try:
        alive = (await shop.request("GET", "/livez")).status
    finally:
        for away in ("valkey", "postgres"):
            await system.backend.resume(away)

    assert alive == 200
    await until(lambda: _readiness_is(shop, 200), "readiness true again")


async def test_a_gateway_told_to_stop_finishes_what_it_began(system: System, knobs: object) -> None:
    """SIGTERM in the middle of a request: the request is answered, and then the process ends in order."""
    async with system.shop(gateway=1) as shop:
        trap = system.faults.checkout_session.checkpoint.hold_next(
            "/checkout.session.v1.CheckoutSessionService/SaveAttempt"
        )
        asking = asyncio.create_task(shop.initiate(system.cart(mug=1)))
        await trap.sprung()
        logged = len(system.backend.log_of("gateway-2"))

        stopping = asyncio.create_task(system.backend.stop("gateway-2"))
        await until(lambda: _logged(system, "gateway-2", "draining", after=logged), "draining")
        trap.release()
        reply = await asking
        await stopping

    log = system.backend.log_of("gateway-2")[logged:]
    await system.backend.start("gateway-2")
    assert reply.status == 200
    assert '"stopped"' in log


async def _take_away(system: System, name: str, *, frozen: bool) -> None:
    await (system.backend.pause(name) if frozen else system.backend.kill(name))


async def _bring_back(system: System, name: str, *, frozen: bool) -> None:
    await (system.backend.resume(name) if frozen else system.backend.start(name))


async def _readiness_is(shop: Shop, status: int) -> bool:
    return (await shop.request("GET", "/readyz")).status == status


async def _logged(system: System, name: str, word: str, *, after: int) -> bool:
    return word in system.backend.log_of(name)[after:]
