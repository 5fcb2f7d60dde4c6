"""A bound subscription that is cancelled with its period, which may have an end already."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from payments_gateway.domain.attempts import Interval, LineItem
from payments_gateway.domain.errors import PaymentProcessing
from payments_gateway.domain.subscriptions import Subscription
from payments_gateway.subscriptions.cancel import CancelMode

from ..samples import MONTHLY
from ..simulated_billing import Billing

OWNER = "user-1"
WEEKLY = replace(MONTHLY, interval=Interval.WEEK)


async def begun(billing: Billing, *plans: LineItem, **paid: Any) -> tuple[Subscription, datetime]:
    """Let a user begin a subscription; return it with the end of its period."""
    intent = await billing.paid(*plans, **paid)
    stored = billing.gateway.attempts.stored()[0]
    billing.gateway.attempts.put(replace(stored, context=replace(stored.context, user_id=OWNER)))
    [subscription] = (await billing.fulfil(intent)).subscriptions
    assert subscription.state is not None
    assert subscription.state.current_period_end is not None
    return subscription, subscription.state.current_period_end


async def ends_at_stripe(billing: Billing, subscription: Subscription, at: datetime | None) -> None:
    """Set or take back an end in the Dashboard."""
    await billing.stripe.api.v1.subscriptions.update_async(
        str(subscription.stripe_subscription_id), {"cancel_at": int(at.timestamp()) if at else ""}
    )


@pytest.mark.parametrize(("days", "ends_after"), [(-9, -9), (0, 0), (9, 0)])
async def test_an_end_of_the_shops_own_is_never_postponed(billing: Billing, days: int, ends_after: int) -> None:
    """The end with the period takes the place of a later one only."""
    subscription, period_end = await begun(billing)
    await ends_at_stripe(billing, subscription, period_end + timedelta(days=days))
    await billing.on_event(subscription)

    cancelled = await billing.gateway.cancels.cancel(subscription.id, OWNER, CancelMode.AT_PERIOD_END)

    assert cancelled.state is not None
    assert cancelled.state.cancel_at == period_end + timedelta(days=ends_after)


async def test_an_end_that_was_taken_back_at_stripe_is_set(billing: Billing) -> None:
    """The event of that has not arrived, so the row still shows it."""
    subscription, period_end = await begun(billing)
    await ends_at_stripe(billing, subscription, period_end)
    await billing.on_event(subscription)
    await ends_at_stripe(billing, subscription, None)

    cancelled = await billing.gateway.cancels.cancel(subscription.id, OWNER, CancelMode.AT_PERIOD_END)

    assert cancelled.state is not None
    assert cancelled.state.cancel_at == period_end


async def test_one_whose_older_invoice_is_at_the_bank_does_not_end_now(billing: Billing) -> None:
    """The latest is that of a plan changed while the renewal's debit is processing, and left nothing to pay."""
    subscription, _ = await begun(billing, await billing.plan(WEEKLY), card="pm_usBankAccount")
    stripe_id = str(subscription.stripe_subscription_id)
    await billing.later(hours=1)
    await billing.later(hours=7 * 24 + 0.02)
    [item] = (await billing.stripe.api.v1.subscription_items.list_async({"subscription": stripe_id})).data
    cheaper = await billing.plan(WEEKLY, unit_amount=500)
    changed: Any = {"items": [{"id": item.id, "price": cheaper.price_id}], "proration_behavior": "always_invoice"}
    await billing.stripe.api.v1.subscriptions.update_async(stripe_id, changed)
    await billing.on_event(subscription)

    with pytest.raises(PaymentProcessing):
        await billing.gateway.cancels.cancel(subscription.id, OWNER, CancelMode.NOW)

    assert await billing.at_stripe() == {stripe_id: "active"}
