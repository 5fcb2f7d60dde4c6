"""Subscriptions: what an attempt began for each of its billing intervals, and what Stripe showed of it since."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from orders.domain.checkout import Address, BillingInterval, CheckoutContext, Contact, LineItem, Money, Recurring
from orders.domain.payments import Intent, Payment

MOST_INVOICES = 24
"""How many of a subscription's invoices are read with it."""


class SubscriptionStatus(StrEnum):
    """Where a subscription stands: Stripe's words, and two for the time before Stripe knows it."""

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


class InvoiceStatus(StrEnum):
    """Where an invoice stands, in Stripe's words."""

    DRAFT = "draft"
    OPEN = "open"
    PAID = "paid"
    UNCOLLECTIBLE = "uncollectible"
    VOID = "void"


class SubscriptionNotFound(LookupError):
    """There is no such subscription."""


class VersionMismatch(Exception):
    """The row was written since its version was read: whatever was read at Stripe may be older than what it says."""


class StripeSubscriptionMismatch(Exception):
    """The row is bound to another Stripe subscription, or that one to another row. Must never happen."""


@dataclass(frozen=True, slots=True)
class StripeState:
    """A Stripe subscription as Stripe showed it at one moment."""

    stripe_subscription_id: str
    status: SubscriptionStatus
    current_period_end: datetime | None
    trial_end: datetime | None
    cancel_at_period_end: bool
    cancel_at: datetime | None
    canceled_at: datetime | None
    ended_at: datetime | None
    latest_invoice_id: str | None


@dataclass(frozen=True, slots=True)
class SubscriptionInvoice:
    """One charge of a subscription, as Stripe showed it at one moment. A credit makes the total negative."""

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
class Sighting:
    """What was read at Stripe after the row had `expected_version`. The invoice is the one read with the state."""

    expected_version: int
    state: StripeState
    invoice: SubscriptionInvoice | None


@dataclass(frozen=True, slots=True)
class Activation:
    """How far the creation at Stripe has come.

    `generation` tells which idempotency key creates it, `began_at` when that was first tried; `failure` is Stripe's
    code where Stripe refused for good.
    """

    generation: int = 1
    began_at: datetime | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Subscription:
    """What an attempt began for one of its billing intervals. `state` is None until it is bound.

    An erased subscription says no more who bought: no user, no contact, no address.
    """

    id: UUID
    checkout_attempt_id: str
    intent: Intent
    user_id: str | None
    stripe_customer_id: str
    payment_method_id: str
    contact: Contact | None
    shipping_address: Address | None
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

    @property
    def stripe_subscription_id(self) -> str | None:
        """Which Stripe subscription it is bound to."""
        return self.state.stripe_subscription_id if self.state else None

    def is_bound_to(self, state: StripeState) -> bool:
        """Whether the state is one of its own Stripe subscription."""
        return self.stripe_subscription_id == state.stripe_subscription_id


def begin_subscriptions(
    payment: Payment, context: CheckoutContext, *, new_id: Callable[[], UUID], at: datetime
) -> tuple[Subscription, ...]:
    """Return the subscriptions that an attempt's content begins: one for each billing interval, in the cart's order."""
    periods: dict[tuple[BillingInterval, int], list[LineItem]] = {}
    for item in context.items:
        if item.recurring is not None:
            periods.setdefault(item.recurring.period, []).append(item)
    return tuple(_begin(payment, context, lines, subscription_id=new_id(), at=at) for lines in periods.values())


def _begin(
    payment: Payment, context: CheckoutContext, lines: list[LineItem], *, subscription_id: UUID, at: datetime
) -> Subscription:
    recurring = lines[0].recurring
    if recurring is None or payment.payment_method_id is None or context.stripe_customer_id is None:
        raise ValueError("a subscription needs a recurring price, a customer and a payment method")
    return Subscription(
        id=subscription_id,
        checkout_attempt_id=payment.attempt_id,
        intent=payment.intent,
        user_id=context.user_id,
        stripe_customer_id=context.stripe_customer_id,
        payment_method_id=payment.payment_method_id,
        contact=context.contact,
        shipping_address=context.shipping_address,
        recurring=recurring,
        currency=context.total.currency,
        items=tuple(lines),
        version=1,
        created_at=at,
        activation=Activation(),
        status=SubscriptionStatus.PENDING,
    )
