"""A year of renewals on Stripe's clock."""

import uuid
from collections.abc import Mapping
from typing import Any, Final

import pytest

from .conftest import Waiter
from .harness.control_api import ControlApi
from .harness.products import (
    Plans,
    invoices_at_stripe,
    plan_cart,
    recorded_invoices,
    recorded_state,
    stripe_invoices,
    stripe_state,
    subscriptions_at_stripe,
)
from .harness.shop import Shop
from .harness.stores import Row
from .harness.system import System

PLAN_OF: Final = {"kept": "tea", "failing": "cake", "cancelled": "tea"}
MONTHS: Final = 12
FAILS_IN: Final = 3
CANCELLED_IN: Final = 5
HOUR: Final = 3600.0
DAY: Final = 24 * HOUR


@pytest.mark.long
@pytest.mark.timeout(180)
async def test_a_year_of_renewals(system: System, control_api: ControlApi, plans: Plans, settled: Waiter) -> None:
    """One subscription renews, one fails once and recovers, one ends with its period; rows follow and make no order."""
    await end_all_subscriptions(system)  # those of other tests must not renew
    await control_api.until_idle()
    async with system.shop(user_id=f"user-{uuid.uuid4()}") as shop:
        rows = {name: await buy(system, shop, plans, settled, plan) for name, plan in PLAN_OF.items()}
        before = await system.orders_db.counts()
        year: list[Mapping[str, str]] = []

        for month in range(1, MONTHS + 1):
            if month == FAILS_IN:
                await control_api.let_behave_like(
                    rows["failing"]["stripe_payment_method_id"], "pm_card_chargeCustomerFail"
                )
            if month == CANCELLED_IN:
                (await shop.cancel_subscription(rows["cancelled"]["id"])).ok()
            await renew(system, control_api, rows["kept"])
            year.append(await statuses_that_agree(system, rows))
            if month == FAILS_IN:
                await control_api.let_behave_like(rows["failing"]["stripe_payment_method_id"], "pm_card_visa")
                await control_api.advance_clock(seconds=3 * DAY + HOUR)
                await control_api.until_idle()
                year.append(await statuses_that_agree(system, rows))
        listed = (await shop.subscriptions()).ok()["subscriptions"]

    invoices = {name: len(await system.orders_db.invoices_of(row["id"])) for name, row in rows.items()}
    assert [statuses["kept"] for statuses in year] == ["active"] * (MONTHS + 1)
    assert [statuses["failing"] for statuses in year] == ["active"] * 2 + ["past_due"] + ["active"] * (MONTHS - 2)
    assert [statuses["cancelled"] for statuses in year] == ["active"] * 5 + ["canceled"] * (MONTHS - 4)
    assert invoices == {"kept": 1 + MONTHS, "failing": 1 + MONTHS, "cancelled": CANCELLED_IN}
    assert await system.orders_db.counts() == before
    assert {each["id"]: each["status"] for each in listed} == {
        rows[name]["id"]: status for name, status in year[-1].items()
    }


async def end_all_subscriptions(system: System) -> None:
    """Cancel every subscription at Stripe."""
    for subscription in await subscriptions_at_stripe(system):
        if subscription["status"] not in ("canceled", "incomplete_expired"):
            await system.stripe.v1.subscriptions.cancel_async(subscription["id"])


async def buy(system: System, shop: Shop, plans: Plans, settled: Waiter, plan: str) -> Row:
    """Buy a plan and return its row."""
    checkout = await shop.checkout(plan_cart(plans, **{plan: 1}))
    (await shop.pay(checkout)).ok()
    await settled(checkout)
    (row,) = await system.orders_db.subscriptions_of(checkout.attempt_id)
    return row


async def renew(system: System, control_api: ControlApi, row: Row) -> None:
    """Advance Stripe's clock to two hours after the end of a subscription's period, and deliver every event.

    Stripe finalizes and charges the renewal's invoice an hour after its event was delivered.
    """
    now = await control_api.advance_clock()
    period_end = (await at_stripe(system, row))["items"]["data"][0]["current_period_end"]
    await control_api.advance_clock(seconds=period_end - now + 2 * HOUR)
    await control_api.until_idle()


async def statuses_that_agree(system: System, rows: Mapping[str, Row]) -> Mapping[str, str]:
    """Assert that rows and invoices agree with Stripe; return the statuses."""
    statuses = {}
    for name, known in rows.items():
        row = await system.orders_db.subscription(known["stripe_subscription_id"])
        assert row is not None
        assert recorded_state(row) == stripe_state(await at_stripe(system, known))
        assert recorded_invoices(await system.orders_db.invoices_of(row["id"])) == (
            stripe_invoices(await invoices_at_stripe(system, row["stripe_subscription_id"]))
        )
        statuses[name] = row["status"]
    return statuses


async def at_stripe(system: System, row: Row) -> dict[str, Any]:
    """Return a row's Stripe subscription."""
    of_customer = await subscriptions_at_stripe(system, row["stripe_customer_id"])
    return next(each for each in of_customer if each["id"] == row["stripe_subscription_id"])
