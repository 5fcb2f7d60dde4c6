"""An outage is answered in time, loses nothing, and ends without a restart of anything else."""

import asyncio
import time
import uuid
from collections.abc import Awaitable

import aiohttp
import pytest

from .conftest import Waiter, until
from .harness.control_api import ControlApi
from .harness.outgoing_calls import OutgoingCall
from .harness.shop import Checkout, Reply, Shop
from .harness.system import System

IN_TIME_SECONDS = 20.0
"""A request makes a few calls to services, each with a deadline of 4 s here."""


@pytest.mark.parametrize("how", ["killed", "frozen"])
@pytest.mark.parametrize("away", ["valkey", "checkout-session", "postgres", "orders"])
async def test_p3_an_outage_delays_a_payment_and_loses_none(
    system: System, shop: Shop, control_api: ControlApi, settled: Waiter, away: str, how: str
) -> None:
    """Browser and webhook get 503; afterwards Stripe's own retry makes the order, once (P4).

    The gateway stays ready, or a balancer would take every one away; without orders checkouts can begin.
    """
    can_begin = away in {"postgres", "orders"}
    await control_api.add_webhook_rule(types=["payment_intent.succeeded"], hold=True)
    checkout = await shop.checkout(system.cart(mug=1))
    (await shop.pay(checkout)).ok()

    await (system.backend.pause(away) if how == "frozen" else system.backend.kill(away))
    try:
        await control_api.release_deliveries()
        began = time.monotonic()
        refused, begun = await asyncio.gather(shop.complete(checkout), shop.initiate(system.cart(mug=1)))
        took = time.monotonic() - began
        ready = await _readiness(shop)
        await until(lambda: _delivered(control_api, checkout.intent_id), "an answer to the webhook")
        attempts = await control_api.delivery_attempts(object_id=checkout.intent_id)
    finally:
        await (system.backend.resume(away) if how == "frozen" else system.backend.start(away))

    await settled(checkout)
    (order,) = await system.orders_db.orders_of(checkout.attempt_id)
    assert (refused.status, refused.problem, ready) == (503, "temporarily_unavailable", 200)
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
    await until(lambda: _can_begin(system, shop), "checkouts again")


async def test_the_services_start_in_any_order(system: System, shop: Shop, control_api: ControlApi) -> None:
    """A gateway that starts first is ready; routes that need a service answer 503 in time, and serve then."""
    checkout = await shop.checkout(system.cart(mug=1))
    for service in ("checkout-session", "orders"):
        await system.backend.stop(service)
    async with system.shop(user_id="user-1", gateway=1) as member:
        await system.backend.restart("gateway-2")  # returns when /readyz answers 200
        began = time.monotonic()
        alone = await _answers(system, member, checkout)
        took = time.monotonic() - began
        for service in ("orders", "checkout-session"):
            await system.backend.start(service)

        await until(lambda: _can_begin(system, member), "checkouts")
        await until(lambda: _orders_answer(member), "orders")
        together = await _answers(system, member, checkout)

    assert set(alone[:2]) == {200}
    assert set(alone[2:]) == {503}
    assert took < IN_TIME_SECONDS
    assert together == [200, 200, 200, 200, 200, 404, 404, 404, 404, 200, 409]


async def _answers(system: System, member: Shop, checkout: Checkout) -> list[int]:
    """Return the status of every route of buyers; order and subscription do not exist, the checkout is unpaid."""
    nobodys = str(uuid.uuid4())
    replies = [
        await member.request("GET", "/api/config"),
        await member.catalogue(),
        await member.initiate(system.cart(mug=1)),
        await member.orders(),
        await member.subscriptions(),
        await member.order(nobodys),
        await member.subscription(nobodys),
        await member.cancel_subscription(nobodys),
        await member.open_portal(nobodys),
        await member.status(checkout.attempt_id),
        await member.complete(checkout),
    ]
    return [reply.status for reply in replies]


async def _can_begin(system: System, shop: Shop) -> bool:
    return (await shop.initiate(system.cart(mug=1))).status == 200


async def _orders_answer(member: Shop) -> bool:
    return (await member.orders()).status == 200


async def test_a_stopping_gateway_serves_as_a_lame_duck(system: System, control_api: ControlApi) -> None:
    """SIGTERM: readiness falls first; new connections are served until the lame duck ends, and kept no longer."""
    await system.backend.restart("gateway-2", {"LAME_DUCK_SECONDS": "3"})
    async with system.shop(gateway=1) as shop:
        stopping = asyncio.create_task(system.backend.stop("gateway-2"))
        await until(lambda: _readiness_is(shop, 503), "readiness lost")
        await until(lambda: _closes_after_answer(shop), "an answer that ends its connection")
        served = await shop.initiate(system.cart(mug=1))
        began_to_drain = '"draining"' in system.backend.log_of("gateway-2").rpartition('"stopping"')[2]
        await stopping

    await system.backend.restart("gateway-2", {"LAME_DUCK_SECONDS": "0"})
    assert (served.status, began_to_drain) == (200, False)


async def _closes_after_answer(shop: Shop) -> bool:
    return (await _from_an_open_socket(shop.catalogue())).headers.get("Connection") == "close"


async def _from_an_open_socket(asking: Awaitable[Reply]) -> Reply:
    try:
        return await asking
    except aiohttp.ClientConnectionError:
        pytest.fail("the socket closed too early")


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
    return await _readiness(shop) == status


async def _readiness(shop: Shop) -> int:
    return (await _from_an_open_socket(shop.request("GET", "/readyz"))).status


async def _delivered(control_api: ControlApi, intent_id: str) -> bool:
    return bool(await control_api.delivery_attempts(object_id=intent_id, event_type="payment_intent.succeeded"))


async def _logged(system: System, word: str, *, after: int) -> bool:
    return word in system.backend.log_of("gateway-2")[after:]
