"""Subscriptions: one for each billing interval of an attempt, with their state at Stripe."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID, uuid5

from orders.domain.checkout import BillingInterval, CheckoutContext, LineItem, Money, Recurring
from orders.domain.payments import Intent, Payment

MAX_INVOICES: Final = 24
"""Number of invoices that are read with a subscription, newest first."""
PAYMENT_METHOD_MISSING: Final = "payment_method_missing"
"""Failure of an activation that is never tried: the payment named no payment method."""
_IDS: Final = UUID("6f1c2a52-41c7-4f0e-9a3b-0d5c8e7b9f14")
"""Namespace of the ids, which are derived from the attempt and the billing interval."""
_KEY_FORGOTTEN_AFTER: Final = timedelta(hours=13)
"""Age of an intent from which a subscription of it is searched at Stripe before it is created: an earlier record of the
purchase may be lost, and with it the begin of an activation whose idempotency key Stripe may have forgotten."""


class SubscriptionStatus(StrEnum):
    """Status of a subscription: Stripe's words, and two for the time before it exists at Stripe."""

    PENDING = "pending"
    ACTIVATION_FAILED = "activation_failed"
    INCOMPLETE = "incomplete"
    INCOMPLETE_EXPIRED = "incomplete_expired"
    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    UNPAID = "unpaid"
    PAUSED = "paused"
    CANCELED = "canceled"
    UNKNOWN = "unknown"
    """At Stripe, with a word that came after this version. The contract's unspecified value."""


ENDED_STATUSES: Final = frozenset({SubscriptionStatus.CANCELED, SubscriptionStatus.INCOMPLETE_EXPIRED})
"""Final statuses. Stripe gives the second to an incomplete subscription that is cancelled."""


class InvoiceStatus(StrEnum):
    """Status of an invoice, in Stripe's words."""

    DRAFT = "draft"
    OPEN = "open"
    PAID = "paid"
    UNCOLLECTIBLE = "uncollectible"
    VOID = "void"
    UNKNOWN = "unknown"
    """A word that a newer version wrote."""


@dataclass(frozen=True, slots=True)
class UnfinishedSubscription:
    """Subscription that is still to be created at Stripe, or to be cancelled there if it was created."""

    id: UUID
    created_at: datetime


class SubscriptionNotFound(LookupError):
    """There is no such subscription."""


class StripeSubscriptionMismatch(Exception):
    """The row is bound to another Stripe subscription, or that one to another row. Must never happen."""


class SubscriptionActivated(Exception):
    """The subscription exists at Stripe, and has to be changed there."""


class SubscriptionCancelled(Exception):
    """The subscription was cancelled before it was created at Stripe: it never will be."""


@dataclass(frozen=True, slots=True)
class BilledItem:
    """Item that Stripe bills now.

    `quantity` is None for a price that is billed by usage, `unit_amount_minor` where Stripe has no fixed, whole amount
    for one unit, and the interval where Stripe's price names none. `name` is empty if Stripe has deleted the product.
    """

    stripe_item_id: str
    price_id: str
    product_id: str
    name: str
    quantity: int | None
    unit_amount_minor: int | None
    currency: str
    interval: BillingInterval | None
    interval_count: int | None
    current_period_end: datetime | None


@dataclass(frozen=True, slots=True)
class PauseCollection:
    """Pause of the payments. `behavior` is Stripe's word for what becomes of the invoices."""

    behavior: str
    resumes_at: datetime | None


@dataclass(frozen=True, slots=True)
class Discount:
    """Discount with the coupon that it came from: a percentage or an amount off an invoice.

    `stripe_item_id` is None if it is for the whole subscription, and `name` is empty if the coupon has none. `duration`
    is Stripe's word for how long it counts, since `ends_at` is None for one invoice as for all.
    """

    stripe_discount_id: str
    coupon_id: str | None
    name: str
    percent_off: float | None
    amount_off: Money | None
    ends_at: datetime | None
    stripe_item_id: str | None
    duration: str | None


@dataclass(frozen=True, slots=True)
class StripeState:
    """Stripe subscription as Stripe showed it at one moment."""

    stripe_subscription_id: str
    status: SubscriptionStatus
    current_period_end: datetime | None
    trial_end: datetime | None
    cancel_at_period_end: bool
    cancel_at: datetime | None
    canceled_at: datetime | None
    ended_at: datetime | None
    latest_invoice_id: str | None
    items: tuple[BilledItem, ...]
    pause_collection: PauseCollection | None
    discounts: tuple[Discount, ...]
    default_payment_method_id: str | None
    collection_method: str | None


@dataclass(frozen=True, slots=True)
class SubscriptionInvoice:
    """Charge of a subscription, as Stripe showed it at one moment. A credit makes the total negative."""

    stripe_invoice_id: str
    status: InvoiceStatus
    billing_reason: str | None
    total: Money
    amount_paid: Money
    attempt_count: int
    created_at: datetime
    period_start: datetime | None
    period_end: datetime | None
    next_payment_attempt: datetime | None


@dataclass(frozen=True, slots=True)
class StripeSnapshot:
    """State that was read at Stripe after the row had `expected_version`, and the invoice read with it, if any."""

    expected_version: int
    state: StripeState
    invoice: SubscriptionInvoice | None


@dataclass(frozen=True, slots=True)
class Activation:
    """Progress of the creation at Stripe.

    `generation` selects the idempotency key, `began_at` is the first try with that key, `failure` is Stripe's error
    code after a definite refusal, or PAYMENT_METHOD_MISSING, and `failed_at` is the last refusal, which stays.
    """

    generation: int = 1
    began_at: datetime | None = None
    failure: str | None = None
    failed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Subscription:
    """Recurring lines of an attempt that share a billing interval. `state` is None until it is bound.

    An erased subscription has no user. Contact and address of the buyer are stored with it, for the delivery, but not
    read back. `cancel_requested_at` is set if it was cancelled before it was bound.
    """

    id: UUID
    checkout_attempt_id: str
    intent: Intent
    user_id: str | None
    stripe_customer_id: str
    payment_method_id: str | None
    recurring: Recurring
    currency: str
    items: tuple[LineItem, ...]
    version: int
    created_at: datetime
    activation: Activation
    status: SubscriptionStatus
    state: StripeState | None = None
    invoices: tuple[SubscriptionInvoice, ...] = ()
    erased_at: datetime | None = None
    cancel_requested_at: datetime | None = None

    @property
    def stripe_subscription_id(self) -> str | None:
        """Id of the Stripe subscription that it is bound to."""
        return self.state.stripe_subscription_id if self.state else None

    def is_bound_to(self, state: StripeState) -> bool:
        """Return True if the state is that of its own Stripe subscription."""
        return self.stripe_subscription_id == state.stripe_subscription_id


def subscriptions_from_payment(payment: Payment, context: CheckoutContext, *, at: datetime) -> tuple[Subscription, ...]:
    """Build the subscriptions of an attempt: one for each billing interval, in the order of the cart.

    They are pending; without a payment method their activation has failed already, and the order stands by itself.
    A purchase that is recorded again, after a restore of the database to an earlier time, gets the same ids: they are
    in the idempotency keys and the metadata of what it already has at Stripe (ADR 49).
    """
    periods: dict[tuple[BillingInterval, int], list[LineItem]] = {}
    for item in context.items:
        if item.recurring is not None:
            periods.setdefault(item.recurring.period, []).append(item)
    return tuple(_new(payment, context, lines, at=at) for lines in periods.values())


def _new(payment: Payment, context: CheckoutContext, lines: list[LineItem], *, at: datetime) -> Subscription:
    recurring = lines[0].recurring
    if recurring is None or context.stripe_customer_id is None:
        raise ValueError("a subscription needs a recurring price and a customer")
    failure = None if payment.payment_method_id else PAYMENT_METHOD_MISSING
    may_have_begun = failure is None and at - payment.intent_created_at > _KEY_FORGOTTEN_AFTER
    return Subscription(
        id=uuid5(_IDS, f"{payment.attempt_id}:{recurring.interval}:{recurring.interval_count}"),
        checkout_attempt_id=payment.attempt_id,
        intent=payment.intent,
        user_id=context.user_id,
        stripe_customer_id=context.stripe_customer_id,
        payment_method_id=payment.payment_method_id,
        recurring=recurring,
        currency=context.total.currency,
        items=tuple(lines),
        version=1,
        created_at=at,
        activation=Activation(
            began_at=payment.intent_created_at if may_have_begun else None,
            failure=failure,
            failed_at=at if failure else None,
        ),
        status=SubscriptionStatus.ACTIVATION_FAILED if failure else SubscriptionStatus.PENDING,
    )
