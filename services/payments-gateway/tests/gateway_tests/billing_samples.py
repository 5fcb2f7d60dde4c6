"""A bought subscription, and Stripe's JSON of it."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from payments_gateway.domain.attempts import Interval, LineItem, Recurring
from payments_gateway.domain.money import Money
from payments_gateway.domain.subscriptions import Subscription, SubscriptionItem, SubscriptionStatus

from .samples import ATTEMPT_ID, CONTEXT

CLUB: Final = LineItem("price_club", "prod_club", "Club", 2, Money(900, "usd"), Recurring(Interval.MONTH, 1, 0))
CLUB_CONTEXT: Final = replace(
    CONTEXT,
    shipping_address=None,
    shipping_option=None,
    items=(CLUB,),
    total=Money(0, "usd"),
    stripe_customer_id="cus_1",
)
"""A guest's checkout of one subscription."""

SUBSCRIPTION: Final = Subscription(
    id="00000000-0000-4000-8000-000000000001",
    checkout_attempt_id=ATTEMPT_ID,
    user_id=None,
    stripe_customer_id="cus_1",
    payment_method_id="pm_1",
    recurring=Recurring(Interval.MONTH, 3, 14),
    items=(
        SubscriptionItem("price_club", "prod_club", "Club", 2, Money(900, "usd")),
        SubscriptionItem("price_care", "prod_care", "Care", 1, Money(350, "usd")),
    ),
    version=2,
    created_at=datetime(2030, 1, 1, tzinfo=UTC),
    status=SubscriptionStatus.PENDING,
    activation_generation=3,
)


def invoice_json(**changes: Any) -> dict[str, Any]:
    """Return an invoice as Stripe sends it."""
    shown = {
        "id": "in_1",
        "object": "invoice",
        "status": "open",
        "billing_reason": "subscription_create",
        "currency": "usd",
        "total": 2150,
        "amount_paid": 0,
        "attempt_count": 1,
        "created": 1_893_456_000,
        "period_start": 1_893_456_000,
        "period_end": 1_893_456_000,
        "next_payment_attempt": None,
        "parent": {"subscription_details": {"subscription": "sub_1", "metadata": {"subscriptionId": SUBSCRIPTION.id}}},
    }
    return {**shown, **changes}


def price_json(price_id: str = "price_club", product: Any = None, **changes: Any) -> dict[str, Any]:
    """Return a monthly price as Stripe sends it, with its product expanded if one is given as an object."""
    shown = {
        "id": price_id,
        "object": "price",
        "currency": "usd",
        "product": product or {"id": "prod_club", "object": "product", "name": "Club"},
        "recurring": {"interval": "month", "interval_count": 3, "usage_type": "licensed"},
        "transform_quantity": None,
        "unit_amount": 900,
    }
    return {**shown, **changes}


def item_json(item_id: str = "si_1", **changes: Any) -> dict[str, Any]:
    """Return an item of a subscription as Stripe sends it."""
    shown = {
        "id": item_id,
        "object": "subscription_item",
        "current_period_end": 1_893_459_600,
        "discounts": [],
        "price": price_json(),
        "quantity": 2,
    }
    return {**shown, **changes}


def subscription_json(subscription_id: str = "sub_1", **changes: Any) -> dict[str, Any]:
    """Return a subscription as Stripe sends it."""
    shown = {
        "id": subscription_id,
        "object": "subscription",
        "status": "incomplete",
        "livemode": False,
        "metadata": {"subscriptionId": SUBSCRIPTION.id},
        "items": {
            "object": "list",
            "data": [
                item_json("si_1", current_period_end=1_893_456_000),
                item_json("si_2", price=price_json("price_care", product="prod_care"), quantity=1),
            ],
            "has_more": False,
        },
        "currency": "usd",
        "collection_method": "charge_automatically",
        "default_payment_method": "pm_1",
        "discounts": [],
        "pause_collection": None,
        "trial_end": None,
        "cancel_at_period_end": False,
        "cancel_at": None,
        "canceled_at": None,
        "ended_at": None,
        "latest_invoice": invoice_json(),
    }
    return {**shown, **changes}
