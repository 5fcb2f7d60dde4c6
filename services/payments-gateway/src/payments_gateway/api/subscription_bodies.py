"""Bodies of subscriptions, and of bought items."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import Field

from payments_gateway.api.fields import Body, RequestBody
from payments_gateway.domain.attempts import LineItem
from payments_gateway.domain.subscriptions import Subscription, SubscriptionItem, SubscriptionPage


class BoughtItemBody(Body):
    """One line of an order or of a subscription."""

    price_id: str
    product_id: str
    name: str
    quantity: int
    unit_amount: int = Field(description="Minor units.")


class FirstPaymentBody(Body):
    """Secret with which the buyer can complete the first charge of a subscription."""

    client_secret: str = Field(description="For Stripe.js on this page only; never store it.")


class SubscriptionBody(Body):
    """A subscription without personal data: every holder of the attempt id may read it (P7)."""

    id: str
    status: Literal[
        "pending",
        "activation_failed",
        "incomplete",
        "incomplete_expired",
        "trialing",
        "active",
        "past_due",
        "unpaid",
        "paused",
        "canceled",
        "unknown",
    ] = Field(
        description="Stripe's status; pending until Stripe has created it, activation_failed where Stripe refuses to "
        "or a payment method is missing, unknown while the gateway is older than orders."
    )
    activation_failure: str | None = Field(
        default=None,
        description="With status activation_failed: payment_method_missing if the payment named no payment method, "
        "else Stripe's error code.",
    )
    checkout_attempt_id: str
    items: list[BoughtItemBody]
    currency: str
    amount: int = Field(description="Minor units, for each charge.")
    interval: Literal["day", "week", "month", "year", "unknown"]
    interval_count: int = Field(description="Number of intervals between two charges.")
    trial_end: datetime | None = None
    current_period_end: datetime | None = Field(default=None, description="Time of the next charge, unless it ends.")
    cancel_at_period_end: bool = Field(description="True if it ends with the current period.")
    ended_at: datetime | None = None
    created_at: datetime
    payment: FirstPaymentBody | None = Field(
        default=None,
        description="With status incomplete, while the buyer can complete the first charge and Stripe is available.",
    )


class SubscriptionPageBody(Body):
    """A page of the user's subscriptions, newest first."""

    subscriptions: Sequence[SubscriptionBody]
    next_cursor: str | None = Field(default=None, description="cursor of the next page; absent on the last page.")


class CancelSubscriptionBody(RequestBody):
    """Mode of ending a subscription."""

    mode: Literal["at_period_end", "now", "undo"] = Field(
        default="at_period_end",
        description="undo reverts at_period_end while the period lasts. A subscription that is pending or whose "
        "activation failed has no period yet: it ends at once, for good.",
    )


def subscription_to_body(subscription: Subscription, client_secret: str | None = None) -> SubscriptionBody:
    """Show a subscription, with the client secret of its first charge while that is open."""
    state = subscription.state
    return SubscriptionBody(
        id=subscription.id,
        status=subscription.status.value,
        activation_failure=subscription.activation_failure,
        checkout_attempt_id=subscription.checkout_attempt_id,
        items=[item_to_body(item) for item in subscription.items],
        currency=subscription.amount.currency,
        amount=subscription.amount.minor_units,
        interval=subscription.recurring.interval.value,
        interval_count=subscription.recurring.interval_count,
        trial_end=state.trial_end if state else None,
        current_period_end=state.current_period_end if state else None,
        cancel_at_period_end=state is not None and state.cancel_at_period_end,
        ended_at=state.ended_at if state else subscription.cancel_requested_at,
        created_at=subscription.created_at,
        payment=FirstPaymentBody(client_secret=client_secret) if client_secret else None,
    )


def subscription_page_to_body(page: SubscriptionPage) -> SubscriptionPageBody:
    """Show a page of subscriptions to their owner."""
    return SubscriptionPageBody(
        subscriptions=[subscription_to_body(each) for each in page.subscriptions], next_cursor=page.next_page_token
    )


def item_to_body(item: LineItem | SubscriptionItem) -> BoughtItemBody:
    """Show a bought line."""
    return BoughtItemBody(
        price_id=item.price_id,
        product_id=item.product_id,
        name=item.name,
        quantity=item.quantity,
        unit_amount=item.unit_price.minor_units,
    )
