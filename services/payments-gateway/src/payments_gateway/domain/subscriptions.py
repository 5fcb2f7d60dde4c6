"""Subscriptions as the gateway knows them: what was bought, how it stands at Stripe, and the port to their owner."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final, Protocol

from payments_gateway.domain.attempts import IntentRef, Recurring
from payments_gateway.domain.money import Money

SUBSCRIPTION_ID_KEY: Final = "subscriptionId"
"""The one metadata key of a Stripe subscription of ours."""


class SubscriptionStatus(Enum):
    """Where a subscription stands: Stripe's words, and two for the time before Stripe knows it.

    Source: https://docs.stripe.com/api/subscriptions/object#subscription_object-status
    """

    PENDING = "pending"
    """Bought and recorded, not yet created at Stripe."""
    ACTIVATION_FAILED = "activation_failed"
    """Stripe refused for good to create it: a person has to settle it."""
    INCOMPLETE = "incomplete"
    """The first charge failed or waits for the buyer."""
    INCOMPLETE_EXPIRED = "incomplete_expired"
    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    UNPAID = "unpaid"
    PAUSED = "paused"
    CANCELED = "canceled"


ENDED_STATUSES: Final = frozenset({SubscriptionStatus.CANCELED, SubscriptionStatus.INCOMPLETE_EXPIRED})
"""Statuses that no subscription leaves again."""


@dataclass(frozen=True)
class SubscriptionItem:
    """One line of a subscription. unit_price is for one billing interval."""

    price_id: str
    product_id: str
    name: str
    quantity: int
    unit_price: Money


@dataclass(frozen=True)
class StripeSubscriptionState:
    """A Stripe subscription's state as Stripe showed it at one moment."""

    stripe_subscription_id: str
    status: SubscriptionStatus
    current_period_end: datetime | None
    """The latest end of its items' current periods."""
    trial_end: datetime | None
    cancel_at_period_end: bool
    cancel_at: datetime | None
    canceled_at: datetime | None
    """When its end was asked for."""
    ended_at: datetime | None
    latest_invoice_id: str | None


class InvoiceStatus(Enum):
    """Where an invoice stands, in Stripe's words."""

    DRAFT = "draft"
    OPEN = "open"
    PAID = "paid"
    UNCOLLECTIBLE = "uncollectible"
    VOID = "void"


@dataclass(frozen=True)
class SubscriptionInvoice:
    """One charge of a subscription, as Stripe showed it at one moment."""

    id: str
    status: InvoiceStatus
    billing_reason: str
    """Stripe's word, such as subscription_create or subscription_cycle; empty where it gave none."""
    total: Money
    """Below zero for a credit."""
    amount_paid: Money
    attempt_count: int
    created_at: datetime
    period_start: datetime | None
    period_end: datetime | None
    next_payment_attempt: datetime | None


@dataclass(frozen=True)
class Subscription:
    """What an attempt began for one of its billing intervals, as orders keeps it."""

    id: str
    checkout_attempt_id: str
    intent: IntentRef
    """The intent that set it up."""
    user_id: str | None
    stripe_customer_id: str
    payment_method_id: str
    """The Stripe PaymentMethod it began with."""
    recurring: Recurring
    items: tuple[SubscriptionItem, ...]
    version: int
    """Advances with every write: what is read at Stripe is written only where the version read before still holds."""
    created_at: datetime
    status: SubscriptionStatus
    activation_generation: int = 1
    """Which idempotency key creates it at Stripe."""
    activation_began_at: datetime | None = None
    """When this generation's activation first began."""
    activation_failure: str | None = None
    """Stripe's error code, once the activation has failed."""
    stripe_subscription_id: str | None = None
    """None until it is bound."""
    state: StripeSubscriptionState | None = None
    """None until it is bound."""
    invoices: tuple[SubscriptionInvoice, ...] = ()
    """Newest first; the newest few."""
    erased: bool = False
    """Whether who bought was erased from it: it has no user then, and is no guest's either."""

    @property
    def is_bound(self) -> bool:
        """Whether it is known which Stripe subscription it is."""
        return self.stripe_subscription_id is not None

    @property
    def amount(self) -> Money:
        """What one billing interval costs."""
        currency = self.items[0].unit_price.currency
        return Money(sum(item.unit_price.minor_units * item.quantity for item in self.items), currency)


@dataclass(frozen=True)
class SubscriptionPage:
    """Some of a user's subscriptions, newest first."""

    subscriptions: tuple[Subscription, ...]
    next_page_token: str | None


class SubscriptionNotFound(Exception):
    """There is no such subscription, or it is not the caller's."""


class StripeSubscriptionMismatch(Exception):
    """The subscription is another Stripe subscription's: two were made for it, or the caller mixed them up."""


class SubscriptionsPort(Protocol):
    """The service that owns subscriptions. Every method may raise ServiceUnavailable and SubscriptionNotFound."""

    async def get_subscription(self, subscription_id: str) -> Subscription:
        """Return one subscription, by our id."""

    async def get_subscription_by_stripe_id(self, stripe_subscription_id: str) -> Subscription:
        """Return the subscription that is bound to a Stripe subscription."""

    async def list_subscriptions(self, user_id: str, *, page_size: int, page_token: str | None) -> SubscriptionPage:
        """Return a page of a user's subscriptions. Raises InvalidRequest for a page token that is not ours."""

    async def begin_activation(self, subscription_id: str, *, abandon_generation: int | None = None) -> Subscription:
        """Note that the subscription is about to be created at Stripe; the moment of the first time stays.

        With abandon_generation the generation advances, if it is still that one.
        """

    async def activate(
        self,
        subscription_id: str,
        expected_version: int,
        state: StripeSubscriptionState,
        invoice: SubscriptionInvoice | None,
    ) -> Subscription:
        """Bind the subscription to the Stripe subscription that was made for it.

        Raises VersionConflict, StripeSubscriptionMismatch, UnsupportedStripeObject. A subscription that is bound to the
        same one already is returned as it is.
        """

    async def fail_activation(self, subscription_id: str, expected_version: int, failure: str) -> Subscription:
        """Note that Stripe refused for good, with its error code. Raises VersionConflict."""

    async def apply_state(
        self,
        subscription_id: str,
        expected_version: int,
        state: StripeSubscriptionState,
        invoice: SubscriptionInvoice | None,
    ) -> Subscription:
        """Write a state that was read at Stripe after the version was.

        Raises VersionConflict, StripeSubscriptionMismatch, UnsupportedStripeObject.
        """
