"""An outage is answered in time, loses nothing, and ends without a restart of anything else."""

import asyncio
import time

import pytest

from .conftest import Waiter, until
from .harness.control_api import ControlApi
from .harness.outgoing_calls import OutgoingCall
from .harness.shop import Shop
from .harness.system import System

IN_TIME_SECONDS = 20.0
"""A request makes a few calls to services, each with a deadline of 4 s here."""


@pytest.mark.parametrize("how", ["killed", "frozen"])
@pytest.mark.parametrize("away", ["valkey", "checkout-session", "postgres", "orders"])
async def test_p3_an_outage_delays_a_payment_and_loses_none(
    system: System, shop: Shop, control_api: ControlApi, settled: Waiter, away: str, how: str
) -> None:
    """Browser and webhook get 503; afterwards Stripe's own retry makes the order, once (P4).

    Without checkout-session the gateway is not ready. Without orders it is: checkouts can begin.
    """
    can_begin = away in {"postgres", "orders"}
    await control_api.add_webhook_rule(types=["payment_intent.succeeded"], hold=True)
    checkout = await shop.checkout(system.cart(mug=1))
    (await shop.pay(checkout)).ok()

    await (system.backend.pause(away) if how == "frozen" else system.backend.kill(away))
    try:
        await control_api.release_deliveries()
        began = time.monotonic()
        refused = await shop.complete(checkout)
        took = time.monotonic() - began
        await until(lambda: _readiness_is(shop, 200 if can_begin else 503), "readiness")
        begun = await shop.initiate(system.cart(mug=1))
        await until(lambda: _delivered(control_api, checkout.intent_id), "an answer to the webhook")
        attempts = await control_api.delivery_attempts(object_id=checkout.intent_id)
    finally:
        await (system.backend.resume(away) if how == "frozen" else system.backend.start(away))

    await until(lambda: _readiness_is(shop, 200), "readiness true again")
    await settled(checkout)
    (order,) = await system.orders_db.orders_of(checkout.attempt_id)
    assert (refused.status, refused.problem) == (503, "temporarily_unavailable")
    assert begun.status == (200 if can_begin else 503)
    assert took < IN_TIME_SECONDS
    assert {each["status"] for each in attempts if each["event_type"] == "payment_intent.succeeded"} == {503}
    assert order["total_minor"] == checkout.amount
    assert (await shop.checkout(system.cart(mug=1))).client_secret


async def test_liveness_asks_nothing_of_others(system: System, shop: Shop) -> None:
    """With every store frozen the gateway is alive: a restart would not help."""
    for away in ("valkey", "postgres"):
        await system.backend.pause(away)
    try:
        alive = (await shop.request("GET", "/livez")).status
    finally:
        for away in ("valkey", "postgres"):
            await system.backend.resume(away)

    assert alive == 200
    await until(lambda: _readiness_is(shop, 200), "readiness true again")


async def test_a_stopping_gateway_finishes_its_requests(system: System, control_api: ControlApi) -> None:
    """SIGTERM during a request: the request is answered, and then the process ends in order."""
    async with system.shop(gateway=1) as shop:
        held = system.proxies.break_before(OutgoingCall.SAVE_ATTEMPT)
        request = asyncio.create_task(shop.initiate(system.cart(mug=1)))
        await held.hit()
        logged = len(system.backend.log_of("gateway-2"))

        stopping = asyncio.create_task(system.backend.stop("gateway-2"))
        await until(lambda: _logged(system, "draining", after=logged), "draining")
        held.release()
        reply = await request
        await stopping

    log = system.backend.log_of("gateway-2")[logged:]
    await system.backend.start("gateway-2")
    assert reply.status == 200
    assert '"stopped"' in log


async def test_a_request_that_outlasts_the_drain_is_answered(system: System, control_api: ControlApi) -> None:
    """SIGTERM during a request that does not end in time: 503 with Retry-After, not a broken connection."""
    await system.backend.restart("gateway-2", {"DRAIN_SECONDS": "1"})
    async with system.shop(gateway=1) as shop:
        held = system.proxies.break_before(OutgoingCall.SAVE_ATTEMPT)
        request = asyncio.create_task(shop.initiate(system.cart(mug=1)))
        await held.hit()

        await system.backend.stop("gateway-2")
        reply = await request
        held.drop()

    await system.backend.restart("gateway-2", {"DRAIN_SECONDS": "30"})
    assert (reply.status, reply.problem) == (503, "temporarily_unavailable")
    assert reply.headers["Retry-After"] == "2"


async def _readiness_is(shop: Shop, status: int) -> bool:
    return (await shop.request("GET", "/readyz")).status == status


async def _delivered(control_api: ControlApi, intent_id: str) -> bool:
    return bool(await control_api.delivery_attempts(object_id=intent_id, event_type="payment_intent.succeeded"))


async def _logged(system: System, word: str, *, after: int) -> bool:
    return word in system.backend.log_of("gateway-2")[after:]
