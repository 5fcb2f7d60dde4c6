"""Bodies of subscriptions, and of bought items."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import Field

from payments_gateway.api.fields import Body, RequestBody
from payments_gateway.domain.attempts import LineItem
from payments_gateway.domain.subscriptions import (
    BilledItem,
    Discount,
    PauseCollection,
    Subscription,
    SubscriptionItem,
    SubscriptionPage,
    common_interval,
    sum_of,
)

IntervalName = Literal["day", "week", "month", "year", "unknown"]


class BoughtItemBody(Body):
    """One line of an order, or of a subscription as it was bought."""

    price_id: str
    product_id: str
    name: str
    quantity: int
    unit_amount: int = Field(description="Minor units.")


class OpenPaymentBody(Body):
    """Secret with which the buyer can pay the open invoice of a subscription."""

    client_secret: str = Field(description="For Stripe.js on this page only; never store it.")


class BilledItemBody(Body):
    """One item of a subscription as Stripe bills it now; before Stripe has created it, as it was bought."""

    id: str | None = Field(default=None, description="Stripe's id; absent until Stripe has created the subscription.")
    price_id: str
    product_id: str
    name: str = Field(description="Empty if Stripe has deleted the product.")
    quantity: int | None = Field(default=None, description="Absent for a price that is billed by usage.")
    unit_amount: int | None = Field(
        default=None,
        description="Minor units, for each charge. Absent where Stripe has no fixed, whole amount for one unit: tiers, "
        "packages, fractions of a minor unit.",
    )
    currency: str
    interval: IntervalName | None = Field(default=None, description="Absent where Stripe's price names none.")
    interval_count: int | None = Field(default=None, description="Number of intervals between two charges.")
    current_period_end: datetime | None = None


class PauseCollectionBody(Body):
    """A pause of the payments. The subscription goes on, and its status stays."""

    behavior: str = Field(
        description="Stripe's value for what becomes of the invoices: keep_as_draft, mark_uncollectible or void."
    )
    resumes_at: datetime | None = Field(default=None, description="Absent if it has to be ended by a person.")


class DiscountBody(Body):
    """A discount on the charges for its duration: a percentage or an amount, or neither if Stripe does not tell."""

    id: str
    coupon_id: str | None = None
    name: str | None = Field(default=None, description="The coupon's name for buyers; absent if it has none.")
    percent_off: float | None = Field(default=None, description="Greater than 0, at most 100.")
    amount_off: int | None = Field(default=None, description="Minor units.")
    currency: str | None = Field(default=None, description="That of the amount.")
    ends_at: datetime | None = Field(default=None, description="Absent if it ends at no date: see duration.")
    duration: str | None = Field(
        default=None, description="Stripe's value: once (for one charge), repeating (until endsAt) or forever."
    )
    item_id: str | None = Field(default=None, description="The item that it is for; absent if it is for all.")


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
        "or a payment method is missing, unknown if Stripe's status came after this version."
    )
    activation_failure: str | None = Field(
        default=None,
        description="With status activation_failed: payment_method_missing if the payment named no payment method, "
        "else Stripe's error code.",
    )
    checkout_attempt_id: str
    items: list[BilledItemBody] = Field(description="What Stripe bills now.")
    bought_items: list[BoughtItemBody] = Field(description="What was bought. A changed plan bills something else.")
    currency: str
    amount: int | None = Field(
        default=None,
        description="Minor units, for each charge, before discounts and taxes. Absent where that cannot be said: an "
        "item has no fixed amount, or the items are billed at different intervals.",
    )
    interval: IntervalName | None = Field(default=None, description="Absent where the items have different ones.")
    interval_count: int | None = Field(
        default=None, description="Number of intervals between two charges. Absent where the items have different ones."
    )
    discounts: list[DiscountBody]
    trial_end: datetime | None = None
    current_period_end: datetime | None = Field(
        default=None,
        description="The latest of the items'. Where they share one, it is the time of the next charge, unless the "
        "subscription ends or is paused; else each item has its own.",
    )
    cancel_at_period_end: bool = Field(
        description="True if it ends with the current period: where the items have different ones, with the first."
    )
    cancel_at: datetime | None = Field(
        default=None,
        description="Time at which it is going to end. Set without cancel_at_period_end too, by Stripe's customer "
        "portal for example.",
    )
    ends_with_period: bool = Field(
        description="True if it ends with a current period, whoever asked for that and how. The mode undo reverts it."
    )
    canceled_at: datetime | None = Field(default=None, description="Time at which its end was requested.")
    pause_collection: PauseCollectionBody | None = Field(default=None, description="Absent while it is charged.")
    collection_method: str | None = Field(
        default=None, description="Stripe's value: charge_automatically, or send_invoice, which charges nothing itself."
    )
    default_payment_method_id: str | None = Field(
        default=None, description="Stripe's id of what renewals charge; absent if it is the customer's default."
    )
    ended_at: datetime | None = None
    created_at: datetime
    payment: OpenPaymentBody | None = Field(
        default=None,
        description="While the buyer can pay the open invoice and Stripe is available, with status incomplete, "
        "past_due, unpaid, or paused after a failed payment; absent while a payment of it is processing.",
    )


class SubscriptionPageBody(Body):
    """A page of the user's subscriptions, newest first."""

    subscriptions: Sequence[SubscriptionBody]
    next_cursor: str | None = Field(default=None, description="cursor of the next page; absent on the last page.")


class CancelSubscriptionBody(RequestBody):
    """Mode of ending a subscription."""

    mode: Literal["at_period_end", "now", "undo"] = Field(
        default="at_period_end",
        description="at_period_end postpones no earlier end. undo reverts at_period_end while the period lasts, also "
        "if it was asked for in Stripe's customer portal. A subscription that is pending, incomplete or whose "
        "activation failed has no period yet: it ends at once, for good.",
    )


class OpenPortalBody(RequestBody):
    """No fields: the page that the portal leads back to is the shop's setting."""


class PortalSessionBody(Body):
    """A session of Stripe's customer portal."""

    url: str = Field(
        description="Send the browser there at once: it is valid for minutes, and whoever has it acts as the customer. "
        "Never store it."
    )


def subscription_to_body(subscription: Subscription, client_secret: str | None = None) -> SubscriptionBody:
    """Show a subscription, with the client secret of its open payment, if there is one."""
    state, items = subscription.state, subscription.billed_items
    amount = sum_of(items)
    interval, interval_count = common_interval(items) or (None, None)
    return SubscriptionBody(
        id=subscription.id,
        status=subscription.status.value,
        activation_failure=subscription.activation_failure,
        checkout_attempt_id=subscription.checkout_attempt_id,
        items=[billed_item_to_body(item) for item in items],
        bought_items=[item_to_body(item) for item in subscription.items],
        currency=items[0].currency,
        amount=amount.minor_units if amount else None,
        interval=interval.value if interval else None,
        interval_count=interval_count,
        discounts=[_discount_to_body(each) for each in state.discounts] if state else [],
        trial_end=state.trial_end if state else None,
        current_period_end=state.current_period_end if state else None,
        cancel_at_period_end=state is not None and state.cancel_at_period_end,
        cancel_at=state.cancel_at if state else None,
        ends_with_period=state is not None and state.ends_with_a_period,
        canceled_at=state.canceled_at if state else subscription.cancel_requested_at,
        pause_collection=_pause_to_body(state.pause_collection) if state and state.pause_collection else None,
        collection_method=state.collection_method if state else None,
        default_payment_method_id=state.default_payment_method_id if state else None,
        ended_at=state.ended_at if state else subscription.cancel_requested_at,
        created_at=subscription.created_at,
        payment=OpenPaymentBody(client_secret=client_secret) if client_secret else None,
    )


def subscription_page_to_body(page: SubscriptionPage) -> SubscriptionPageBody:
    """Show a page of subscriptions to their owner."""
    return SubscriptionPageBody(
        subscriptions=[subscription_to_body(each) for each in page.subscriptions], next_cursor=page.next_page_token
    )


def billed_item_to_body(item: BilledItem) -> BilledItemBody:
    """Show an item as Stripe bills it."""
    return BilledItemBody(
        id=item.stripe_item_id,
        price_id=item.price_id,
        product_id=item.product_id,
        name=item.name,
        quantity=item.quantity,
        unit_amount=item.unit_amount,
        currency=item.currency,
        interval=item.interval.value if item.interval else None,
        interval_count=item.interval_count,
        current_period_end=item.current_period_end,
    )


def _pause_to_body(pause: PauseCollection) -> PauseCollectionBody:
    return PauseCollectionBody(behavior=pause.behavior, resumes_at=pause.resumes_at)


def _discount_to_body(discount: Discount) -> DiscountBody:
    amount = discount.amount_off
    return DiscountBody(
        id=discount.stripe_discount_id,
        coupon_id=discount.coupon_id,
        name=discount.name or None,
        percent_off=discount.percent_off,
        amount_off=amount.minor_units if amount else None,
        currency=amount.currency if amount else None,
        ends_at=discount.ends_at,
        duration=discount.duration,
        item_id=discount.stripe_item_id,
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
