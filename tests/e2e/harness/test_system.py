import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from devstack.stack_options import StackOptions

from .operators import Tally
from .shop import Checkout, Shop
from .system import System, running_system

pytestmark = pytest.mark.asyncio(loop_scope="module")

CREATE_INTENT = "POST /v1/payment_intents"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Run two gateways behind proxies."""
    folder = tmp_path_factory.mktemp("holdfast")
    options = StackOptions(gateways=2, webhook_for_each_gateway=True, durable=False)
    async with running_system(folder, options=options, with_proxies=True) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def shop(system: System) -> AsyncIterator[Shop]:
    """Open a shop for a signed-in user."""
    async with system.shop(user_id="user-1") as opened:
        yield opened


async def fulfilled(system: System, checkout: Checkout, *, seconds: float = 20.0) -> None:
    """Wait until an order is recorded and its attempt is gone."""
    deadline = time.monotonic() + seconds
    while not await system.books.orders_of(checkout.attempt_id) or await system.attempts.has_content(
        checkout.attempt_id
    ):
        assert time.monotonic() < deadline, system.backend.log_of("gateway")
        await asyncio.sleep(0.05)


async def test_a_purchase_is_seen_by_everybody(system: System, shop: Shop) -> None:
    """Shop, operator, merchant and proxies all see the same purchase."""
    before = await system.books.tally()
    checkout = await shop.checkout(system.cart(mug=2))
    stored = await system.attempts.has_content(checkout.attempt_id), await system.attempts.due_at(checkout.attempt_id)

    (await shop.pay(checkout)).ok()
    await fulfilled(system, checkout)

    intent = await system.stripe.v1.payment_intents.retrieve_async(checkout.intent_id)
    (order,), (item,) = (
        await system.books.orders_of(checkout.attempt_id),
        await system.books.items_of(checkout.attempt_id),
    )
    assert stored[0]
    assert stored[1]
    assert (order["total_minor"], item["quantity"], order["user_id"]) == (intent.amount_received, 2, "user-1")
    assert await system.books.tally() == Tally(before.orders + 1, before.purchases + 1, before.quarantined)
    assert await system.attempts.is_closed(checkout.attempt_id)
    assert (await shop.status(checkout.attempt_id)).ok()["status"] == "completed"
    assert CREATE_INTENT in system.faults.roads
    assert {road for road in system.faults.roads if road.startswith("/")} >= {
        "/checkout.session.v1.CheckoutSessionService/SaveAttempt",
        "/checkout.orders.v1.OrdersService/RecordPurchase",
    }


async def test_a_gateway_can_be_killed_while_its_call_is_held(system: System, shop: Shop) -> None:
    """The shop's connection breaks, and the killed gateway comes back at its address."""
    trap = system.faults.stripe_api.checkpoint.hold_next(CREATE_INTENT)
    asking = asyncio.create_task(shop.initiate(system.cart(tote=1)))
    await trap.sprung()

    await system.backend.kill("gateway")

    with pytest.raises(aiohttp.ClientError):
        await asking
    trap.drop()
    await system.backend.start("gateway")
    assert (await shop.checkout(system.cart(tote=1))).amount == 2900


async def test_a_service_can_be_paused(system: System, shop: Shop) -> None:
    """A paused service lets its callers wait until their deadline."""
    await system.backend.pause("checkout-session")

    reply = await shop.initiate(system.cart(mug=1))

    await system.backend.resume("checkout-session")
    assert reply.status == 503


async def test_a_service_restarts_with_other_settings(system: System) -> None:
    """What a test changes in a service's environment counts from its next start."""
    await system.backend.restart("gateway-2", {"CORS_ORIGINS": "https://other.example"})

    async with system.shop(gateway=1) as other_shop:
        reply = await other_shop.request("GET", "/api/config", headers={"Origin": "https://other.example"})

    assert reply.headers["Access-Control-Allow-Origin"] == "https://other.example"
