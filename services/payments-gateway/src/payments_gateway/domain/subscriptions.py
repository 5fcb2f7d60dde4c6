"""Bought subscriptions with their state at Stripe, and the port to orders, which stores them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from payments_gateway.domain.attempts import Interval, Recurring
from payments_gateway.domain.money import Money

PAYMENT_METHOD_MISSING: Final = "payment_method_missing"
"""Failure of an activation that is never tried: the payment named no payment method."""
SUBSCRIPTION_ID_KEY: Final = "subscriptionId"
"""The one metadata key of Holdfast's Stripe subscriptions."""


class SubscriptionStatus(StrEnum):
    """Status of a subscription: Stripe's values, and two for subscriptions that are not created at Stripe.

    Source: https://docs.stripe.com/api/subscriptions/object#subscription_object-status
    """

    PENDING = "pending"
    """Recorded, not yet created at Stripe."""
    ACTIVATION_FAILED = "activation_failed"
    """Stripe refused for good to create it, or there is no payment method; a person has to resolve it."""
    INCOMPLETE = "incomplete"
    """The first charge was declined or needs the buyer."""
    INCOMPLETE_EXPIRED = "incomplete_expired"
    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    UNPAID = "unpaid"
    PAUSED = "paused"
    CANCELED = "canceled"
    UNKNOWN = "unknown"
    """Added by Stripe, or by a newer version of orders."""


ENDED_STATUSES: Final = frozenset({SubscriptionStatus.CANCELED, SubscriptionStatus.INCOMPLETE_EXPIRED})
"""Final statuses."""


@dataclass(frozen=True, slots=True)
class SubscriptionItem:
    """One line of a subscription."""

    price_id: str
    product_id: str
    name: str
    quantity: int
    unit_price: Money
    """Price of one unit for one billing interval."""


@dataclass(frozen=True, slots=True)
class BilledItem:
    """One item of a Stripe subscription, as Stripe bills it now or is going to."""

    stripe_item_id: str | None
    """None until the subscription is created at Stripe."""
    price_id: str
    product_id: str
    name: str
    """Empty if Stripe has deleted the product."""
    quantity: int | None
    """None for a price that is billed by usage."""
    unit_amount: int | None
    """Price of one unit for one billing interval, in minor units. None where Stripe has no fixed, whole one."""
    currency: str
    interval: Interval | None
    """None where Stripe's price names none."""
    interval_count: int | None
    current_period_end: datetime | None


@dataclass(frozen=True, slots=True)
class PauseCollection:
    """A pause of the payments."""

    behavior: str
    """Stripe's value for what becomes of the invoices: keep_as_draft, mark_uncollectible or void."""
    resumes_at: datetime | None
    """None if it has to be ended by a person."""


@dataclass(frozen=True, slots=True)
class Discount:
    """A discount, with the coupon that it came from: a percentage or an amount off an invoice."""

    stripe_discount_id: str
    coupon_id: str | None
    name: str
    """The coupon's name as buyers see it; empty if it has none."""
    percent_off: float | None
    amount_off: Money | None
    ends_at: datetime | None
    """None if it does not end by itself."""
    stripe_item_id: str | None
    """The item that it is for; None if it is for the whole subscription."""
    duration: str | None
    """Stripe's value for how long it counts: once, repeating or forever; None if the coupon is not known.

    The end is None both for one invoice and for all: https://docs.stripe.com/api/discounts/object#discount_object-end
    """


@dataclass(frozen=True, slots=True)
class StripeSubscriptionState:
    """The part of a Stripe subscription that orders stores."""

    stripe_subscription_id: str
    status: SubscriptionStatus
    current_period_end: datetime | None
    """The latest end of its items' current periods."""
    trial_end: datetime | None
    cancel_at_period_end: bool
    cancel_at: datetime | None
    canceled_at: datetime | None
    """Time at which the cancellation was requested."""
    ended_at: datetime | None
    latest_invoice_id: str | None
    items: tuple[BilledItem, ...]
    """The present items, in Stripe's order."""
    pause_collection: PauseCollection | None
    """None while payments are collected."""
    discounts: tuple[Discount, ...]
    """Those of the subscription, then those of its items."""
    default_payment_method_id: str | None
    """The PaymentMethod that renewals charge; None if it is the customer's default."""
    collection_method: str | None
    """Stripe's value: charge_automatically or send_invoice."""

    @property
    def ends_with_a_period(self) -> bool:
        """True if it ends with the current period of an item.

        Stripe's customer portal sets only the date; anybody can tell it from one that the shop chose.
        Source: https://docs.stripe.com/billing/subscriptions/billing-mode/compare
        """
        ends = {item.current_period_end for item in self.items}
        return self.cancel_at_period_end or (self.cancel_at is not None and self.cancel_at in ends)

    @property
    def ends_within_the_period(self) -> bool:
        """True if it ends no later than `cancel_at_period_end` would end it: with the first period of an item.

        Source: https://docs.stripe.com/changelog/basil/2025-07-30/cancel-at-enums
        """
        ends = [item.current_period_end for item in self.items if item.current_period_end is not None]
        return self.cancel_at is not None and bool(ends) and self.cancel_at <= min(ends)


class InvoiceStatus(StrEnum):
    """Status of an invoice, in Stripe's values."""

    DRAFT = "draft"
    OPEN = "open"
    PAID = "paid"
    UNCOLLECTIBLE = "uncollectible"
    VOID = "void"
    UNKNOWN = "unknown"
    """Added by a newer version of orders."""


@dataclass(frozen=True, slots=True)
class SubscriptionInvoice:
    """Snapshot of a subscription's invoice at Stripe."""

    id: str
    status: InvoiceStatus
    billing_reason: str
    """Stripe's value, such as subscription_create or subscription_cycle; empty if there is none."""
    total: Money
    """Negative for a credit."""
    amount_paid: Money
    attempt_count: int
    created_at: datetime
    period_start: datetime | None
    period_end: datetime | None
    next_payment_attempt: datetime | None


@dataclass(frozen=True, slots=True)
class Subscription:
    """A bought subscription: the lines of an attempt that share a billing interval."""

    id: str
    checkout_attempt_id: str
    user_id: str | None
    stripe_customer_id: str
    payment_method_id: str | None
    """The PaymentMethod that it is created with; None if the payment named none."""
    recurring: Recurring
    items: tuple[SubscriptionItem, ...]
    version: int
    """Advances with every write. A state read at Stripe is written only if the version read before it still holds."""
    created_at: datetime
    status: SubscriptionStatus
    activation_generation: int = 1
    """Number in the idempotency key that creates it at Stripe."""
    activation_began_at: datetime | None = None
    """Time at which this generation first began."""
    activation_failure: str | None = None
    """With ACTIVATION_FAILED: Stripe's error code, or PAYMENT_METHOD_MISSING."""
    activation_failed_at: datetime | None = None
    """Time of the last definite refusal, also after a person let the activation begin again."""
    cancel_requested_at: datetime | None = None
    """Time at which it was cancelled, if that was before it was bound."""
    stripe_subscription_id: str | None = None
    """None until it is bound."""
    state: StripeSubscriptionState | None = None
    """None until it is bound."""
    invoices: tuple[SubscriptionInvoice, ...] = ()
    """The newest few, newest first."""
    erased: bool = False
    """True if its personal data were erased: it has no user then, and is no guest's either."""

    @property
    def may_need_activation(self) -> bool:
        """True if it is pending, was cancelled while it was being created, or is unbound with an unknown status."""
        if self.cancel_requested_at is not None:
            return not self.is_bound and self.activation_began_at is not None
        if self.status is SubscriptionStatus.UNKNOWN:
            return not self.is_bound
        return self.status is SubscriptionStatus.PENDING

    @property
    def is_bound(self) -> bool:
        """True once it is bound to a Stripe subscription."""
        return self.stripe_subscription_id is not None

    @property
    def billed_items(self) -> tuple[BilledItem, ...]:
        """The items that Stripe bills now; until they are known, those that were bought."""
        return (self.state.items if self.state else ()) or tuple(map(self._as_billed, self.items))

    def _as_billed(self, item: SubscriptionItem) -> BilledItem:
        return BilledItem(
            stripe_item_id=None,
            price_id=item.price_id,
            product_id=item.product_id,
            name=item.name,
            quantity=item.quantity,
            unit_amount=item.unit_price.minor_units,
            currency=item.unit_price.currency,
            interval=self.recurring.interval,
            interval_count=self.recurring.interval_count,
            current_period_end=None,
        )


def common_interval(items: Sequence[BilledItem]) -> tuple[Interval, int] | None:
    """Return the billing interval that all items share; None if they do not."""
    intervals = {(item.interval, item.interval_count) for item in items}
    interval, count = intervals.pop() if len(intervals) == 1 else (None, None)
    return None if interval is None or count is None else (interval, count)


def sum_of(items: Sequence[BilledItem]) -> Money | None:
    """Return what one billing interval costs, before discounts and taxes.

    None where that cannot be said: an item has no fixed price or quantity, or they are billed at different times.
    """
    if common_interval(items) is None:
        return None
    total = 0
    for item in items:
        if item.unit_amount is None or item.quantity is None:
            return None
        total += item.unit_amount * item.quantity
    return Money(total, items[0].currency)


@dataclass(frozen=True, slots=True)
class SubscriptionPage:
    """A page of a user's subscriptions, newest first."""

    subscriptions: tuple[Subscription, ...]
    next_page_token: str | None


class SubscriptionNotFound(Exception):
    """The subscription is missing or not the caller's."""


class StripeSubscriptionMismatch(Exception):
    """The subscription is bound to another Stripe subscription, or the Stripe subscription to another one of ours."""


class SubscriptionActivated(Exception):
    """The subscription exists at Stripe, and has to be cancelled there."""


@dataclass(frozen=True, slots=True)
class UnfinishedPage:
    """Page of unfinished subscriptions, oldest first."""

    subscription_ids: Sequence[str]
    next_page_token: str | None


class UnfinishedSubscriptionsPort(Protocol):
    """orders' subscriptions that are still to be activated, or to be cancelled at Stripe."""

    async def list_unfinished(
        self, created_before: datetime, *, page_size: int, page_token: str | None
    ) -> UnfinishedPage:
        """Return a page of them, without younger ones. Raises ServiceUnavailable."""


class SubscriptionsPort(Protocol):
    """orders, which owns subscriptions. Every method may raise ServiceUnavailable and SubscriptionNotFound."""

    async def get_subscription(self, subscription_id: str) -> Subscription:
        """Return a subscription by Holdfast's id."""

    async def get_subscription_by_stripe_id(self, stripe_subscription_id: str) -> Subscription:
        """Return the subscription that is bound to a Stripe subscription."""

    async def list_subscriptions(self, user_id: str, *, page_size: int, page_token: str | None) -> SubscriptionPage:
        """Return a page of a user's subscriptions. Raises InvalidRequest for a foreign page token."""

    async def begin_activation(self, subscription_id: str, *, abandon_generation: int | None = None) -> Subscription:
        """Record that the subscription is about to be created at Stripe; a generation's first start time stays.

        With abandon_generation, advance the generation if it is still that one. A cancelled subscription begins no
        generation and must not be created.
        """

    async def activate(
        self,
        subscription_id: str,
        expected_version: int,
        state: StripeSubscriptionState,
        invoice: SubscriptionInvoice | None,
    ) -> Subscription:
        """Bind the subscription to the Stripe subscription that was created for it.

        Raises VersionConflict, StripeSubscriptionMismatch, UnsupportedStripeObject. A subscription that is
        bound to the same one already is returned as it is. A cancelled one is bound only to one that has ended.
        """

    async def cancel_pending(self, subscription_id: str, expected_version: int) -> Subscription:
        """Cancel a subscription that is not bound; a cancelled one is returned as it is.

        Raises VersionConflict, SubscriptionActivated.
        """

    async def fail_activation(self, subscription_id: str, expected_version: int, failure: str) -> Subscription:
        """Record a definite refusal, with Stripe's error code. Raises VersionConflict.

        A subscription that is bound, cancelled or failed already is returned as it is.
        """

    async def apply_state(
        self,
        subscription_id: str,
        expected_version: int,
        state: StripeSubscriptionState,
        invoice: SubscriptionInvoice | None,
    ) -> Subscription:
        """Write a state that was read at Stripe after the version.

        Raises VersionConflict, StripeSubscriptionMismatch, UnsupportedStripeObject.
        """
