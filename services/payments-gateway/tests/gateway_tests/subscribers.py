"""Buyers of subscriptions, at a gateway over fakes."""

import json
from dataclasses import replace
from typing import Any

import stripe

from payments_gateway.domain.attempts import IntentKind, IntentRef, Interval, LineItem, Recurring
from payments_gateway.domain.intents import IntentStatus, StripeIntent
from payments_gateway.domain.money import Money
from payments_gateway.domain.purchases import Purchase
from payments_gateway.domain.subscriptions import Subscription, SubscriptionStatus

from .assembly import Gateway
from .billing_samples import CLUB_CONTEXT
from .samples import INTENT_CREATED_AT, attempt, attempt_id_of

ALMANAC = LineItem("price_almanac", "prod_almanac", "Almanac", 1, Money(9000, "usd"), Recurring(Interval.YEAR, 1, 0))
"""A yearly line."""


def set_up(gateway: Gateway, *lines: LineItem, user_id: str | None = None, number: int = 1) -> StripeIntent:
    """Let a buyer set a payment method up for subscriptions; the attempt is stored."""
    attempt_id = attempt_id_of(f"subscription {number}")
    ref = IntentRef(f"seti_{number}", IntentKind.SETUP)
    gateway.attempts.put(
        replace(
            attempt(ref, attempt_id=attempt_id),
            context=replace(CLUB_CONTEXT, user_id=user_id, items=lines or CLUB_CONTEXT.items),
        )
    )
    return StripeIntent(
        ref=ref,
        status=IntentStatus.SUCCEEDED,
        attempt_id=attempt_id,
        received=None,
        livemode=False,
        client_secret=f"{ref.id}_secret_hush",
        created_at=INTENT_CREATED_AT,
        payment_method_id="pm_1",
    )


def setup_event(intent: StripeIntent, **changes: Any) -> bytes:
    """Return the body of Stripe's event for a setup intent that succeeded; changes replace fields of the event."""
    shown = {
        "object": "setup_intent",
        "created": int(INTENT_CREATED_AT.timestamp()),
        "id": intent.ref.id,
        "status": "succeeded",
        "metadata": {"checkoutAttemptId": intent.attempt_id},
        "livemode": False,
        "client_secret": intent.client_secret,
    }
    if intent.payment_method_id is not None:
        shown["payment_method"] = intent.payment_method_id
    event = {
        "id": "evt_1",
        "object": "event",
        "api_version": stripe.api_version,
        "type": "setup_intent.succeeded",
        "created": 1_900_000_000,
        "data": {"object": shown},
    }
    return json.dumps({**event, **changes}).encode()


async def subscribed(gateway: Gateway, *lines: LineItem, user_id: str | None = None, number: int = 1) -> Subscription:
    """Let a buyer subscribe; return the first subscription."""
    paid = set_up(gateway, *lines, user_id=user_id, number=number)
    decision = await gateway.fulfil(paid)
    assert isinstance(decision, Purchase)
    return decision.subscriptions[0]


async def unpaid(
    gateway: Gateway,
    user_id: str | None = None,
    status: SubscriptionStatus = SubscriptionStatus.INCOMPLETE,
    payment: IntentStatus = IntentStatus.REQUIRES_PAYMENT_METHOD,
) -> Subscription:
    """Let a buyer subscribe whose latest invoice is open, by default the first, and its payment waits for the buyer."""
    subscription = await subscribed(gateway, user_id=user_id)
    gateway.fake_billing.leave_open("sub_1", status, payment)
    return await gateway.sync.apply_snapshot(subscription, gateway.fake_billing.created["sub_1"], gateway.billing)
