"""Purchases and quarantined payments, and the port to orders, which records them."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from payments_gateway.domain.attempts import (
    Address,
    CheckoutContext,
    Contact,
    IntentRef,
    LineItem,
    ShippingOption,
    UnreadableAttempt,
)
from payments_gateway.domain.callers import Caller
from payments_gateway.domain.money import Money
from payments_gateway.domain.subscriptions import Subscription, SubscriptionStatus


class ReportChannel(StrEnum):
    """Channel by which a succeeded intent was reported."""

    WEBHOOK = "webhook"
    BROWSER_RETURN = "browser_return"
    RECONCILER = "reconciler"


@dataclass(frozen=True, slots=True)
class PaymentReport:
    """Origin of a report of a payment, recorded for operators."""

    channel: ReportChannel
    stripe_event_id: str | None = None
    event_created_at: datetime | None = None
    """Time of Stripe's event, or one before it where there is none; not recorded. It decides how long an unreadable
    attempt is waited for, and which reports are so late that refunds may have come before them."""


@dataclass(frozen=True, slots=True)
class Payment:
    """A succeeded intent of ours."""

    intent: IntentRef
    attempt_id: str
    received: Money | None
    """None for a SetupIntent."""
    livemode: bool
    intent_created_at: datetime
    """Time of the intent's creation at Stripe, by which its lists filter."""
    payment_method_id: str | None = None
    """The PaymentMethod that paid or was set up."""
    customer_id: str | None = None
    """The Customer that pays for the recurring lines, so that an erasure can name it; None without recurring lines."""


class QuarantineReason(StrEnum):
    """Reason for which a payment is quarantined."""

    ATTEMPT_MISSING = "attempt_missing"
    AMOUNT_MISMATCH = "amount_mismatch"
    INTENT_MISMATCH = "intent_mismatch"
    DUPLICATE_PAYMENT = "duplicate_payment"
    UNRECORDABLE = "unrecordable"
    ATTEMPT_UNREADABLE = "attempt_unreadable"
    REFUNDED = "refunded"
    UNKNOWN = "unknown"
    """Added by a newer version of orders."""


class OrderStatus(StrEnum):
    """Status of an order."""

    PAID = "paid"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    DISPUTED = "disputed"
    UNKNOWN = "unknown"
    """Added by a newer version of orders."""


@dataclass(frozen=True, slots=True)
class Order:
    """A recorded order."""

    id: str
    number: str
    checkout_attempt_id: str
    user_id: str | None
    status: OrderStatus
    total: Money
    contact: Contact
    shipping_address: Address | None
    shipping_option: ShippingOption | None
    items: tuple[LineItem, ...]
    created_at: datetime
    erased: bool = False
    """True if its personal data were erased: user, contact and address are empty then."""
    refunded: Money | None = None
    """Sum of refunds that are made or pending; None if there are none."""
    disputed: Money | None = None
    """Sum of disputes that are open or lost; None if there are none."""
    adjustment: Money | None = None
    """Received less the cart, where an operator made the order of a quarantined payment; None without a difference."""


@dataclass(frozen=True, slots=True)
class OrderPage:
    """A page of a user's orders, newest first."""

    orders: tuple[Order, ...]
    next_page_token: str | None


@dataclass(frozen=True, slots=True)
class Purchase:
    """Order, subscriptions or both that an attempt's payment bought."""

    intent_id: str
    order: Order | None
    """None if only subscriptions were bought."""
    subscriptions: tuple[Subscription, ...] = ()
    """One for each billing interval, in the order of the cart."""
    already_recorded: bool = field(default=False, compare=False)
    """True if an earlier report was answered with this decision."""

    @property
    def user_id(self) -> str | None:
        """Owner; None for a guest and for an erased purchase."""
        return next((bought.user_id for bought in (self.order, *self.subscriptions) if bought is not None), None)

    @property
    def erased(self) -> bool:
        """True if its personal data were erased."""
        return any(bought is not None and bought.erased for bought in (self.order, *self.subscriptions))

    @property
    def needs_attention(self) -> bool:
        """True if a subscription failed to begin: a person lets it begin again, or ends it and gives money back."""
        return any(each.status is SubscriptionStatus.ACTIVATION_FAILED for each in self.subscriptions)

    def is_visible_to(self, caller: Caller) -> bool:
        """Return True if the caller may see it. Nobody sees an erased one: its owner is not known any more (ADR 14)."""
        return not self.erased and caller.owns(self.user_id)


@dataclass(frozen=True, slots=True)
class QuarantinedPayment:
    """A payment that a person has to resolve."""

    reason: QuarantineReason
    content_kept: bool
    """True if the attempt's content is stored with it, or was until it was erased."""
    attempt_id: str = field(default="", compare=False)
    """Attempt that it was quarantined for, whose content it is. A later report may name another."""
    already_recorded: bool = field(default=False, compare=False)
    """True if an earlier report was answered with this decision."""


PaymentDecision = Purchase | QuarantinedPayment
"""Decision about a succeeded intent: exactly one of the two (P3)."""


class OrderNotFound(Exception):
    """The order is missing or not the caller's."""


class PurchaseRefused(Exception):
    """orders refuses for good to record the content as a purchase."""


class QuarantineRefused(Exception):
    """orders refuses even to quarantine the payment: its rules and the gateway's differ."""


class OrdersPort(Protocol):
    """orders, which owns purchases. Every method may raise ServiceUnavailable."""

    async def record_purchase(
        self, payment: Payment, context: CheckoutContext, report: PaymentReport
    ) -> PaymentDecision:
        """Record a purchase, or return the earlier decision. Raises PurchaseRefused."""

    async def quarantine(
        self,
        payment: Payment,
        reason: QuarantineReason,
        content: CheckoutContext | UnreadableAttempt | None,
        report: PaymentReport,
    ) -> PaymentDecision:
        """Quarantine the payment, or return the earlier decision. Raises QuarantineRefused.

        orders decides `duplicate_payment` instead of `attempt_missing` where another intent has the purchase.
        """

    async def find_purchase(self, attempt_id: str) -> Purchase | None:
        """Return the attempt's purchase; None if it has none."""

    async def get_order(self, order_id: str) -> Order:
        """Return one order. Raises OrderNotFound."""

    async def list_orders(self, user_id: str, *, page_size: int, page_token: str | None) -> OrderPage:
        """Return a page of a user's orders. Raises InvalidRequest for a foreign page token."""
