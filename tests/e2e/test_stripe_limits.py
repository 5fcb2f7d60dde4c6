"""In front of Stripe whoever pays goes before whoever looks, and equal looks are one."""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from .conftest import Waiter, until
from .deadlines import UNHURRIED
from .harness.knobs import Knobs
from .harness.plans import Plans, plan_only
from .harness.shop import Shop
from .harness.system import System

PLACES = 4
A_LOOK = "/v1/payment_intents/*"
A_SUBSCRIPTION = "/v1/subscriptions/*"

USUAL = {
    "STRIPE_MAX_CONCURRENT": "40",
    "STRIPE_QUEUE_SECONDS": UNHURRIED["STRIPE_QUEUE_SECONDS"],
    "STRIPE_BUDGET_SECONDS": "12",
    "STRIPE_TIMEOUT_SECONDS": "8",
}
NARROW = dict.fromkeys(USUAL, "60") | {"STRIPE_MAX_CONCURRENT": str(PLACES)}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def narrow_door(system: System) -> AsyncIterator[Shop]:
    """Give the second gateway only a few places at Stripe, and open a shop in front of it."""
    await system.backend.restart("gateway-2", NARROW)
    async with system.shop(gateway=1) as opened:
        yield opened
    await system.backend.restart("gateway-2", USUAL)


async def test_status_polls_leave_room_for_whoever_pays(
    system: System, shop: Shop, narrow_door: Shop, knobs: Knobs
) -> None:
    """Six pages look while Stripe answers no look: they take half of the places, and a buyer begins all the same."""
    open_checkouts = [await shop.checkout(system.cart(mug=1)) for _ in range(6)]
    fault_id = await knobs.fault(kind="hold_before", method="GET", path=A_LOOK, count=None)
    looking = [asyncio.create_task(narrow_door.status(checkout.attempt_id)) for checkout in open_checkouts]
    await until(lambda: _are_held(knobs, fault_id, PLACES // 2), "looks held at Stripe")

    begun = await narrow_door.initiate(system.cart(mug=1))
    held = await knobs.hits(fault_id)
    await knobs.clear_faults()
    replies = await asyncio.gather(*looking)

    assert (begun.status, held) == (200, PLACES // 2)
    assert [reply.ok()["status"] for reply in replies] == ["open"] * 6


async def test_news_of_subscriptions_leaves_room_for_whoever_pays(
    system: System, shop: Shop, plans: Plans, settled: Waiter, narrow_door: Shop, knobs: Knobs
) -> None:
    """Many subscriptions change while Stripe shows none: the looks take half of the places, and a buyer begins."""
    subscribed = [await shop.checkout(plan_only(plans, tea=1)) for _ in range(6)]
    for each in subscribed:
        (await shop.pay(each)).ok()
        await settled(each)
    await knobs.idle()
    rows = [row for each in subscribed for row in await system.books.subscriptions_of(each.attempt_id)]
    fault_id = await knobs.fault(kind="hold_before", method="GET", path=A_SUBSCRIPTION, count=None)
    for row in rows:
        await system.stripe.v1.subscriptions.update_async(row["stripe_subscription_id"], {"cancel_at_period_end": True})
    await until(lambda: _are_held(knobs, fault_id, len(rows) + PLACES // 2), "looks of both gateways held at Stripe")

    begun = await narrow_door.initiate(system.cart(mug=1))
    held = await knobs.hits(fault_id)
    await knobs.clear_faults()
    await knobs.idle()

    assert (begun.status, held) == (200, len(rows) + PLACES // 2)


async def test_equal_polls_at_once_are_one_look(system: System, shop: Shop, narrow_door: Shop, knobs: Knobs) -> None:
    """Ten tabs poll one checkout while Stripe is slow: it is asked once, and all ten are answered."""
    checkout = await shop.checkout(system.cart(mug=1))
    fault_id = await knobs.fault(kind="hold_before", method="GET", path=A_LOOK, count=None)
    looking = [asyncio.create_task(narrow_door.status(checkout.attempt_id)) for _ in range(10)]
    await until(lambda: _are_shared(narrow_door, 9), "nine looks that joined the first")

    asked = await knobs.hits(fault_id)
    await knobs.clear_faults()
    replies = await asyncio.gather(*looking)

    assert asked == 1
    assert [reply.ok()["status"] for reply in replies] == ["open"] * 10


async def _are_held(knobs: Knobs, fault_id: str, count: int) -> bool:
    return await knobs.hits(fault_id) >= count


async def _are_shared(door: Shop, count: int) -> bool:
    async with door.session.get(f"{door.gateway}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return f"holdfast_stripe_reads_shared_total {float(count)}" in lines
