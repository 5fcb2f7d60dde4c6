"""Payments of open invoices, and the card that later renewals are charged to."""

from dataclasses import replace
from typing import Any, Final

import pytest

from payments_gateway.domain.attempts import Interval
from payments_gateway.domain.intents import IntentNotFound
from payments_gateway.domain.stripe_errors import NotFoundAtStripe, StripeUnavailable, UnsupportedStripeObject
from payments_gateway.domain.subscriptions import Subscription, SubscriptionStatus

from ..samples import MONTHLY
from ..simulated_billing import Billing

DECLINED_LATER: Final = "pm_card_chargeCustomerFail"
"""A card that can be saved and declines every charge."""
A_MONTH_HOURS: Final = 32 * 24
A_WEEK_HOURS: Final = 7 * 24


@pytest.mark.parametrize(
    ("call", "failure"),
    [
        ("billing.retrieve", StripeUnavailable()),
        ("billing.retrieve", NotFoundAtStripe()),
        ("billing.retrieve", UnsupportedStripeObject()),
        ("payments.retrieve", StripeUnavailable()),
        ("payments.retrieve", IntentNotFound()),
    ],
)
async def test_a_payment_that_cannot_be_retrieved_is_not_offered(
    billing: Billing, call: str, failure: Exception
) -> None:
    """The purchase is shown all the same."""
    subscription = await billing.begun(card="pm_card_authenticationRequired")
    billing.gateway.wire.fail(call, failure)

    assert await billing.gateway.open_payments.client_secrets([subscription]) == {}


async def test_a_first_charge_that_the_buyer_completes(billing: Billing) -> None:
    """Its client secret is offered while it is open, even before the event of its payment, and never stored."""
    subscription = await billing.begun(card="pm_card_authenticationRequired")
    secret = await open_secret(billing, subscription)
    await billing.stripe.pay(intent_of(secret), payment_method="pm_card_visa")

    once_paid = await billing.gateway.open_payments.client_secrets([subscription])
    await billing.on_event(subscription)

    after = billing.the_recorded()
    assert once_paid == {}
    assert (after.status, after.invoices[0].status.value) == (SubscriptionStatus.ACTIVE, "paid")
    assert secret not in repr(after)


async def test_a_renewal_is_charged_to_the_card_that_paid_the_first_invoice(billing: Billing) -> None:
    """The first card declined the first charge; the next month the second one pays."""
    subscription = await billing.begun(card=DECLINED_LATER)
    secret = await open_secret(billing, subscription)
    await billing.stripe.pay(intent_of(secret), payment_method="pm_card_mastercard")

    await billing.later(hours=A_MONTH_HOURS)
    await billing.on_event(subscription)

    after, [renewal, _first] = billing.the_recorded(), billing.the_recorded().invoices
    assert (renewal.billing_reason, renewal.status.value) == ("subscription_cycle", "paid")
    assert (after.status, await card_of(billing, subscription)) == (SubscriptionStatus.ACTIVE, "mastercard")


async def test_a_past_due_renewal_is_paid_with_another_card(billing: Billing) -> None:
    """The open invoice's payment is offered until it is paid, and later renewals are charged to that card."""
    subscription = await billing.begun()
    declines = {"like": DECLINED_LATER}
    await billing.stripe.control("POST", f"/payment_methods/{subscription.payment_method_id}/behave", declines)
    await billing.later(hours=A_MONTH_HOURS)
    await billing.on_event(subscription)
    past_due = billing.the_recorded()

    secret = await open_secret(billing, past_due)
    await billing.stripe.pay(intent_of(secret), payment_method="pm_card_mastercard")
    once_paid = await billing.gateway.open_payments.client_secrets([past_due])
    await billing.on_event(subscription)

    assert (past_due.status, once_paid) == (SubscriptionStatus.PAST_DUE, {})
    assert billing.the_recorded().status is SubscriptionStatus.ACTIVE
    assert await card_of(billing, subscription) == "mastercard"


async def test_an_overdue_invoice_is_offered_while_the_next_one_is_a_draft(billing: Billing) -> None:
    """For an hour after a renewal, or longer, the latest invoice is not the one that makes it past_due."""
    weekly = replace(MONTHLY, interval=Interval.WEEK)
    [subscription] = (await billing.fulfil(await billing.paid(await billing.plan(weekly)))).subscriptions
    declines = {"like": DECLINED_LATER}
    await billing.stripe.control("POST", f"/payment_methods/{subscription.payment_method_id}/behave", declines)
    await billing.later(hours=A_WEEK_HOURS + 2)
    await billing.on_event(subscription)
    overdue = await open_secret(billing, billing.the_recorded())
    await billing.later(hours=A_WEEK_HOURS - 1.5)
    await billing.on_event(subscription)
    drafted = billing.the_recorded()

    secret = await open_secret(billing, drafted)
    await billing.stripe.pay(intent_of(secret), payment_method="pm_card_visa")
    await billing.on_event(subscription)

    assert [each.status.value for each in drafted.invoices][:2] == ["draft", "open"]
    assert (secret, billing.the_recorded().status) == (overdue, SubscriptionStatus.ACTIVE)


async def test_an_overdue_invoice_is_offered_behind_a_paid_one(billing: Billing) -> None:
    """The latest invoice is that of a plan changed within the renewal's hour, which the change left nothing to pay."""
    weekly = replace(MONTHLY, interval=Interval.WEEK)
    [subscription] = (await billing.fulfil(await billing.paid(await billing.plan(weekly)))).subscriptions
    stripe_id = str(subscription.stripe_subscription_id)
    declines = {"like": DECLINED_LATER}
    await billing.stripe.control("POST", f"/payment_methods/{subscription.payment_method_id}/behave", declines)
    await billing.later(hours=A_WEEK_HOURS + 0.5)
    [item] = (await billing.stripe.api.v1.subscription_items.list_async({"subscription": stripe_id})).data
    cheaper = await billing.plan(weekly, unit_amount=500)
    changed: Any = {"items": [{"id": item.id, "price": cheaper.price_id}], "proration_behavior": "always_invoice"}
    await billing.stripe.api.v1.subscriptions.update_async(stripe_id, changed)
    await billing.later(hours=1)
    await billing.on_event(subscription)
    overdue = billing.the_recorded()

    secret = await open_secret(billing, overdue)
    await billing.stripe.pay(intent_of(secret), payment_method="pm_card_visa")
    await billing.on_event(subscription)

    assert overdue.invoices[0].status.value == "paid"
    assert billing.the_recorded().status is SubscriptionStatus.ACTIVE


async def test_a_debit_that_is_processing_is_not_offered_again(billing: Billing) -> None:
    """The subscription is incomplete and its invoice open for days: nobody is asked to pay twice."""
    subscription = await billing.begun(card="pm_usBankAccount")

    offered = await billing.gateway.open_payments.client_secrets([subscription])

    payment = await billing.gateway.open_payments.find(str(subscription.stripe_subscription_id))
    assert (subscription.status, subscription.invoices[0].status.value) == (SubscriptionStatus.INCOMPLETE, "open")
    assert (offered, payment is not None and payment.is_under_way) == ({}, True)


async def open_secret(billing: Billing, subscription: Subscription) -> str:
    """Return the client secret that the buyer is offered."""
    return (await billing.gateway.open_payments.client_secrets([subscription]))[subscription.id]


def intent_of(client_secret: str) -> str:
    """Return the intent that a secret pays."""
    return client_secret.partition("_secret_")[0]


async def card_of(billing: Billing, subscription: Subscription) -> str:
    """Return the brand of the card that renewals are charged to."""
    params: Any = {"expand": ["default_payment_method"]}
    shown = await billing.stripe.api.v1.subscriptions.retrieve_async(str(subscription.stripe_subscription_id), params)
    method: Any = shown.default_payment_method
    return str(method.card.brand)
