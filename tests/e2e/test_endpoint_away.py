"""Stripe's webhook endpoint is away for longer than Stripe repeats its events: the reconciler finds what it missed."""

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import pytest_asyncio

from devstack.stack_options import StackOptions

from .conftest import until
from .harness.control_api import ControlApi
from .harness.products import (
    Plans,
    invoices_at_stripe,
    mixed_cart,
    plan_cart,
    put_plans_on_sale,
    recorded_invoices,
    recorded_state,
    stripe_invoices,
    stripe_state,
    subscriptions_at_stripe,
)
from .harness.shop import Cart, Checkout, Shop
from .harness.stores import Row
from .harness.system import System, running_system
from .timeouts import USUAL

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
OUTAGE: Final = 3 * DAY + 6 * HOUR
ENDPOINT: Final = "gateway"
RECONCILER: Final = "reconciler"
_SETTINGS: Final = {
    "gateway": USUAL,
    "gateway-2": USUAL,
    RECONCILER: {
        **USUAL,
        "RECONCILE_INTERVAL_SECONDS": "0.2",
        "RECONCILE_EVENTS_SECONDS": "0.5",
        "RECONCILE_LEASE_SECONDS": "3",
    },
    # No attempt comes due: payments are found by their events alone.
    "checkout-session": {"FIRST_CHECK_SECONDS": "3600"},
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Run the gateway that is Stripe's endpoint, another one for buyers, and a reconciler."""
    options = StackOptions(gateways=2, reconcilers=1, durable=False, seed=1, settings=_SETTINGS)
    async with running_system(tmp_path_factory.mktemp("away"), options=options) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def plans(system: System) -> Plans:
    """Put the plans on sale."""
    return await put_plans_on_sale(system)


@pytest_asyncio.fixture(loop_scope="session")
async def stripe_side(system: System) -> AsyncIterator[ControlApi]:
    """Control the simulator, and its clock."""
    async with ControlApi(system.backend.addresses.stripe_api) as opened:
        yield opened


@pytest.mark.long
@pytest.mark.timeout(120)
async def test_three_days_without_the_endpoint_lose_nothing(
    system: System, plans: Plans, stripe_side: ControlApi
) -> None:
    """Payments, refunds, disputes, a renewal and an end all arrive, and the events are handled once."""
    async with system.shop(user_id="user-1", gateway=1) as shop:
        bought = await buy(system, shop, stripe_side, system.cart(mug=1))
        kept, ended = [
            await subscribe(system, shop, stripe_side, plan_cart(plans, **{plan: 1})) for plan in ("tea", "cake")
        ]
        await advance_to(stripe_side, await period_end(system, kept) - DAY)
        await stripe_side.until_idle()
        for name in (RECONCILER, ENDPOINT):
            await system.backend.kill(name)

        paid = [
            await pay(shop, cart) for cart in (system.cart(mug=2), mixed_cart(system, plans, {"mug": 1}, {"tea": 1}))
        ]
        await system.stripe.v1.refunds.create_async({"payment_intent": bought.intent_id, "amount": 100})
        await stripe_side.open_dispute(bought.intent_id, amount=70)
        await system.stripe.v1.subscriptions.cancel_async(ended["stripe_subscription_id"])
        await stripe_side.advance_clock(seconds=OUTAGE)
        missed = [await system.orders_db.payment(each.intent_id) for each in paid]

        await system.backend.start(RECONCILER)
        await until(lambda: all_arrived(system, bought, paid, [kept, ended]), "everything that was missed", seconds=60)

        order = (await shop.status(bought.attempt_id)).ok()["purchase"]["order"]
        await system.backend.start(ENDPOINT)

    assert missed == [None, None]
    assert (order["refundedAmount"], order["disputedAmount"]) == (100, 70)
    assert [len(await system.orders_db.payments_of(each.attempt_id)) for each in paid] == [1, 1]
    assert len(await system.orders_db.invoices_of(kept["id"])) == 2
    assert await system.orders_db.rows("SELECT id FROM event_retries") == []


async def pay(shop: Shop, cart: Cart) -> Checkout:
    """Pay a cart; the buyer does not come back."""
    checkout = await shop.checkout(cart)
    (await shop.pay(checkout)).ok()
    return checkout


async def buy(system: System, shop: Shop, stripe_side: ControlApi, cart: Cart) -> Checkout:
    """Buy a cart while the endpoint works."""
    checkout = await pay(shop, cart)
    await stripe_side.until_idle()
    assert await system.orders_db.payment(checkout.intent_id) is not None
    return checkout


async def subscribe(system: System, shop: Shop, stripe_side: ControlApi, cart: Cart) -> Row:
    """Subscribe while the endpoint works; return the row."""
    checkout = await buy(system, shop, stripe_side, cart)
    [row] = await system.orders_db.subscriptions_of(checkout.attempt_id)
    return row


async def period_end(system: System, row: Row) -> float:
    """Return the end of a subscription's period."""
    return float((await at_stripe(system, row))["items"]["data"][0]["current_period_end"])


async def advance_to(stripe_side: ControlApi, moment: float) -> None:
    """Advance Stripe's clock to a moment."""
    await stripe_side.advance_clock(seconds=moment - await stripe_side.advance_clock())


async def at_stripe(system: System, row: Row) -> dict[str, Any]:
    """Return a row's Stripe subscription."""
    of_customer = await subscriptions_at_stripe(system, row["stripe_customer_id"])
    return next(each for each in of_customer if each["id"] == row["stripe_subscription_id"])


async def all_arrived(system: System, bought: Checkout, paid: list[Checkout], subscriptions: list[Row]) -> bool:
    """Return true once orders, copies and subscriptions are as Stripe shows them."""
    copies = [
        await system.orders_db.rows(f"SELECT * FROM {table} WHERE intent_id = $1", bought.intent_id)  # noqa: S608 - two names
        for table in ("refunds", "disputes")
    ]
    decided = [await system.orders_db.payment(each.intent_id) for each in paid]
    return all(map(len, copies)) and all(decided) and all([await is_as_at_stripe(system, row) for row in subscriptions])


async def is_as_at_stripe(system: System, known: Row) -> bool:
    """Return true if a subscription and its invoices are recorded as Stripe shows them."""
    row = await system.orders_db.subscription(known["stripe_subscription_id"])
    assert row is not None
    invoices = await system.orders_db.invoices_of(row["id"])
    at_stripe_now = await invoices_at_stripe(system, row["stripe_subscription_id"])
    shown = await at_stripe(system, row)
    return recorded_state(row) == stripe_state(shown) and recorded_invoices(invoices) == stripe_invoices(at_stripe_now)
