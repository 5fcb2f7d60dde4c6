"""Reconcilers finish what no webhook and no browser reports: Stripe sends nothing here, and nobody comes back."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

import pytest
import pytest_asyncio

from devstack.stack_options import StackOptions

from .conftest import until
from .harness.control_api import ControlApi
from .harness.products import Plans, mixed_cart, plan_cart, put_plans_on_sale
from .harness.shop import Cart, Checkout, Shop
from .harness.system import System, running_system
from .timeouts import USUAL

HASTY_SECONDS: Final = 3
ORPHAN_SECONDS: Final = 4
_RECONCILER: Final = {
    **USUAL,
    "PAY_BY_HOURS": str(HASTY_SECONDS / 3600),
    "RECONCILE_INTERVAL_SECONDS": "0.2",
    "RECONCILE_LEASE_SECONDS": "3",
    "RECONCILE_ORPHAN_HOURS": str(ORPHAN_SECONDS / 3600),
}
_SETTINGS: Final = {
    "gateway": USUAL,
    "gateway-2": {**USUAL, "PAY_BY_HOURS": str(HASTY_SECONDS / 3600)},
    "reconciler": _RECONCILER,
    "reconciler-2": _RECONCILER,
    "checkout-session": {"FIRST_CHECK_SECONDS": "1"},
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def quiet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Run two gateways, the second of which gives buyers three seconds, and two reconcilers."""
    options = StackOptions(gateways=2, reconcilers=2, durable=False, seed=1, settings=_SETTINGS)
    async with running_system(tmp_path_factory.mktemp("quiet"), options=options) as system:
        yield system


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def quiet_plans(quiet: System) -> Plans:
    """Put the plans on sale."""
    return await put_plans_on_sale(quiet)


@pytest_asyncio.fixture(loop_scope="session")
async def stripe_side(quiet: System) -> AsyncIterator[ControlApi]:
    """Control the simulator, which delivers no event."""
    async with ControlApi(quiet.backend.addresses.stripe_api) as opened:
        await opened.add_webhook_rule(count=None, drop=True)
        yield opened
        await opened.clear_webhook_rules()


@pytest_asyncio.fixture(loop_scope="session")
async def buyer(quiet: System, stripe_side: ControlApi) -> AsyncIterator[Shop]:
    """Open a shop whose buyers never come back."""
    async with quiet.shop() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def hasty_buyer(quiet: System, stripe_side: ControlApi) -> AsyncIterator[Shop]:
    """Open a shop at the gateway that gives buyers three seconds."""
    async with quiet.shop(gateway=1) as opened:
        yield opened


async def test_p3_without_webhooks_and_browsers_every_order_arrives(
    quiet: System, quiet_plans: Plans, buyer: Shop
) -> None:
    """One-time purchases, subscriptions and both: each is recorded once, by two reconcilers at once."""
    checkouts = await paid(buyer, carts(quiet, quiet_plans) * 4)

    await until_recorded(quiet, checkouts, seconds=30)

    payments = [await quiet.orders_db.payments_of(each.attempt_id) for each in checkouts]
    subscriptions = [await quiet.orders_db.subscriptions_of(each.attempt_id) for each in checkouts]
    assert [[row["outcome"] for row in rows] for rows in payments] == [["purchase"]] * len(checkouts)
    assert [len(rows) for rows in subscriptions] == [0, 1, 1] * 4
    assert {row["status"] for rows in subscriptions for row in rows} <= {"active", "trialing"}


async def test_p3_orders_arrive_after_reconcilers_were_killed(quiet: System, buyer: Shop) -> None:
    """Both are killed while they work; what they had claimed comes due again for the one that starts."""
    checkouts = await paid(buyer, [quiet.cart(mug=1)] * 12)
    await until(lambda: any_recorded(quiet, checkouts), "the first order")
    await asyncio.gather(*(quiet.backend.kill(name) for name in ("reconciler", "reconciler-2")))

    try:
        await quiet.backend.start("reconciler")
        await until_recorded(quiet, checkouts, seconds=30)
    finally:
        await quiet.backend.start("reconciler-2")

    assert [len(await quiet.orders_db.payments_of(each.attempt_id)) for each in checkouts] == [1] * len(checkouts)


async def test_p2_an_unpaid_checkout_is_ended_after_its_pay_by(quiet: System, hasty_buyer: Shop) -> None:
    """Nobody meets it again: its intent is cancelled at Stripe and its content deleted."""
    checkout = await hasty_buyer.checkout(quiet.cart(mug=1))

    await until(lambda: is_forgotten(quiet, checkout), "end of the checkout")

    assert await intent_status(quiet, checkout) == "canceled"
    assert (await hasty_buyer.status(checkout.attempt_id)).ok()["status"] == "expired"


async def test_p3_a_debit_at_the_bank_outlives_its_pay_by(
    quiet: System, hasty_buyer: Shop, stripe_side: ControlApi
) -> None:
    """The checkout waits for the bank, and becomes an order once the debit has arrived."""
    checkout = await hasty_buyer.checkout(quiet.cart(mug=1))
    await stripe_side.pay(checkout.intent_id, payment_method="pm_usBankAccount")
    another = await hasty_buyer.checkout(quiet.cart(mug=1))
    await until(lambda: is_forgotten(quiet, another), "end of a younger checkout")
    waiting = await quiet.attempt_store.has_content(checkout.attempt_id)

    await stripe_side.settle_debit(checkout.intent_id)
    await until_recorded(quiet, [checkout], seconds=30)

    assert waiting
    assert len(await quiet.orders_db.orders_of(checkout.attempt_id)) == 1


async def test_an_intent_whose_attempt_was_lost_is_cancelled(quiet: System, hasty_buyer: Shop) -> None:
    """Redis comes back empty: the open intent is cancelled past its pay-by, and one of other software is not."""
    checkout = await hasty_buyer.checkout(quiet.cart(mug=1))
    foreign = await quiet.stripe.v1.payment_intents.create_async(
        {"amount": 500, "currency": "usd", "metadata": {"checkoutAttemptId": "00000000-0000-4000-8000-000000000000"}}
    )
    await quiet.attempt_store.lose_everything()

    async def is_cancelled() -> bool:
        return await intent_status(quiet, checkout) == "canceled"

    await until(is_cancelled, "cancel of the orphan", seconds=30)

    shown = await quiet.stripe.v1.payment_intents.retrieve_async(foreign.id)
    assert shown.status == "requires_payment_method"


def carts(system: System, plans: Plans) -> list[Cart]:
    """Return a cart of each kind."""
    return [system.cart(mug=1), plan_cart(plans, tea=1), mixed_cart(system, plans, {"mug": 1}, {"tea": 1})]


async def paid(shop: Shop, wanted: Sequence[Cart]) -> list[Checkout]:
    """Begin and pay checkouts."""
    checkouts = [await shop.checkout(cart) for cart in wanted]
    for checkout in checkouts:
        (await shop.pay(checkout)).ok()
    return checkouts


async def until_recorded(system: System, checkouts: Sequence[Checkout], *, seconds: float) -> None:
    """Wait until every payment is decided, its attempt's content is gone and its subscriptions have begun."""

    async def holds() -> bool:
        return all([await is_recorded(system, each) for each in checkouts])

    await until(holds, "all orders", seconds=seconds)


async def is_recorded(system: System, checkout: Checkout) -> bool:
    """Return true if a payment is decided and nothing is left to do."""
    subscriptions = await system.orders_db.subscriptions_of(checkout.attempt_id)
    if await system.orders_db.payment(checkout.intent_id) is None or any(
        row["status"] == "pending" for row in subscriptions
    ):
        return False
    return await is_forgotten(system, checkout)


async def any_recorded(system: System, checkouts: Sequence[Checkout]) -> bool:
    """Return true once one payment is decided."""
    return any([await system.orders_db.payment(each.intent_id) for each in checkouts])


async def is_forgotten(system: System, checkout: Checkout) -> bool:
    """Return true if the attempt's content is gone."""
    return not await system.attempt_store.has_content(checkout.attempt_id)


async def intent_status(system: System, checkout: Checkout) -> str:
    """Return the status of a checkout's PaymentIntent."""
    return (await system.stripe.v1.payment_intents.retrieve_async(checkout.intent_id)).status
