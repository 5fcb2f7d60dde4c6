"""What was bought, as the gateway knows it, and the port to the service that owns it."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol

from payments_gateway.domain.attempts import Address, CheckoutContext, Contact, IntentRef, LineItem, ShippingOption
from payments_gateway.domain.callers import Caller
from payments_gateway.domain.money import Money
from payments_gateway.domain.subscriptions import Subscription


class ReportChannel(Enum):
    """By which channel the news of a succeeded intent arrived."""

    WEBHOOK = "webhook"
    BROWSER_RETURN = "browser_return"


@dataclass(frozen=True)
class PaymentReport:
    """How a payment was reported. Kept for the operator; decides nothing."""

    channel: ReportChannel
    stripe_event_id: str | None = None


@dataclass(frozen=True)
class Payment:
    """A succeeded intent of ours."""

    intent: IntentRef
    attempt_id: str
    received: Money | None
    """None for a SetupIntent."""
    livemode: bool
    payment_method_id: str | None = None
    """The Stripe PaymentMethod that paid or was set up."""


class QuarantineReason(Enum):
    """Why a payment is set aside for a person."""

    ATTEMPT_MISSING = "attempt_missing"
    AMOUNT_MISMATCH = "amount_mismatch"
    INTENT_MISMATCH = "intent_mismatch"
    DUPLICATE_PAYMENT = "duplicate_payment"
    UNRECORDABLE = "unrecordable"


class OrderStatus(Enum):
    """Where an order stands."""

    PAID = "paid"


@dataclass(frozen=True)
class Order:
    """An order as it was recorded."""

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
    """Whether who bought was erased from it: user, contact and address are empty then."""
    refunded: Money | None = None
    """What was refunded or is about to be; None when nothing was."""
    disputed: Money | None = None
    """What is disputed, or was and is lost; None when nothing is."""


@dataclass(frozen=True)
class OrderPage:
    """Some of a user's orders, newest first."""

    orders: tuple[Order, ...]
    next_page_token: str | None


@dataclass(frozen=True)
class Purchase:
    """What an attempt became."""

    attempt_id: str
    intent: IntentRef
    order: Order | None
    """None when nothing was bought but subscriptions."""
    subscriptions: tuple[Subscription, ...] = ()
    """One for each billing interval, in the order of the cart."""

    @property
    def user_id(self) -> str | None:
        """Whose purchase it is; None for a guest's and for an erased one."""
        return next((bought.user_id for bought in (self.order, *self.subscriptions) if bought is not None), None)

    @property
    def erased(self) -> bool:
        """Whether who bought was erased from it."""
        return any(bought is not None and bought.erased for bought in (self.order, *self.subscriptions))

    def is_visible_to(self, caller: Caller) -> bool:
        """Whether this caller may be told of it. Nobody may once it is erased: whose it was is not known any more."""
        return not self.erased and caller.owns(self.user_id)


@dataclass(frozen=True)
class QuarantinedPayment:
    """A payment set aside."""

    reason: QuarantineReason
    content_kept: bool
    """Whether the attempt's content is stored with it, or was until it was erased."""


PaymentDecision = Purchase | QuarantinedPayment
"""What a succeeded intent became: exactly one of the two (P3)."""


class OrderNotFound(Exception):
    """There is no such order, or it is not the caller's."""


class PurchaseRefused(Exception):
    """The content can never be recorded as a purchase."""


class QuarantineRefused(Exception):
    """orders would not even set the payment aside: the two disagree about what a payment is."""


class OrdersPort(Protocol):
    """The service that owns what was bought. Every method may raise ServiceUnavailable."""

    async def record_purchase(
        self, payment: Payment, context: CheckoutContext, report: PaymentReport
    ) -> PaymentDecision:
        """Record what the payment bought, or answer what was decided before. Raises PurchaseRefused."""

    async def quarantine(
        self, payment: Payment, reason: QuarantineReason, context: CheckoutContext | None, report: PaymentReport
    ) -> PaymentDecision:
        """Set the payment aside, or answer what was decided before."""

    async def find_purchase(self, attempt_id: str) -> Purchase | None:
        """Return what the attempt became."""

    async def get_order(self, order_id: str) -> Order:
        """Return one order. Raises OrderNotFound."""

    async def list_orders(self, user_id: str, *, page_size: int, page_token: str | None) -> OrderPage:
        """Return a page of a user's orders. Raises InvalidRequest for a page token that is not ours."""
