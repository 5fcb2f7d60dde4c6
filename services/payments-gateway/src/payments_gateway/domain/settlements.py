"""Steps of operators about quarantined payments, orders and subscriptions, and the port to orders."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from payments_gateway.domain.attempts import CheckoutContext, IntentRef
from payments_gateway.domain.money import Money
from payments_gateway.domain.purchases import Order, Purchase, QuarantineReason
from payments_gateway.domain.refunds import Refund
from payments_gateway.domain.subscriptions import Subscription


class Settlement(StrEnum):
    """Way in which an operator settles a quarantined payment."""

    ORDER = "order"
    REFUNDED = "refunded"
    WRITTEN_OFF = "written_off"
    UNKNOWN = "unknown"
    """Added by a newer version of orders."""


class KeptContent(StrEnum):
    """Content of the attempt that is kept with a quarantined payment."""

    NONE = "none"
    READABLE = "readable"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class OperatorStep:
    """Step that an operator takes. It is recorded once, however often it is sent."""

    operator: str
    reason: str
    """The operator's words; they name no buyer."""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass(frozen=True, slots=True)
class OperatorAction:
    """Record of a step. `before` and `after` are JSON objects."""

    at: datetime
    operator: str
    action: str
    reason: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class PaymentState:
    """Payment as it stands: a purchase, or quarantined for a reason. Without personal data."""

    intent: IntentRef
    attempt_id: str
    purchase: Purchase | None = None
    received: Money | None = None
    """None for a purchase, and for a SetupIntent, which receives nothing."""
    customer_id: str | None = None
    reason: QuarantineReason | None = None
    quarantined_at: datetime | None = None
    resolved_at: datetime | None = None
    settlement: Settlement | None = None
    refund_begun_at: datetime | None = None
    content: KeptContent = KeptContent.NONE
    """Not told in lists."""

    @property
    def stands_as(self) -> Settlement | None:
        """Settlement that it stands for; None while an operator may still settle it."""
        if self.purchase is not None:
            return Settlement.ORDER
        if self.settlement is not None or self.resolved_at is None:
            return self.settlement
        # A refund resolved it; or a person wrote into the table, which no refund undoes.
        return Settlement.REFUNDED if self.reason is QuarantineReason.REFUNDED else Settlement.WRITTEN_OFF


@dataclass(frozen=True, slots=True)
class PaymentPage:
    """Page of quarantined payments, newest first."""

    payments: tuple[PaymentState, ...]
    next_page_token: str | None


@dataclass(frozen=True, slots=True)
class ShownPayment:
    """Payment with its kept content, and the steps about it, oldest first."""

    state: PaymentState
    context: CheckoutContext | None
    """Readable content. Its personal data are empty unless they were asked for."""
    actions: tuple[OperatorAction, ...]


@dataclass(frozen=True, slots=True)
class SettledPayment:
    """Payment after a settlement. `already_settled` is True if this call did not change it."""

    state: PaymentState
    already_settled: bool


@dataclass(frozen=True, slots=True)
class OrderRefund:
    """Refund of an order. `refund_id` and `outcome` are None until Stripe has answered."""

    order_id: str
    amount: Money
    idempotency_key: str
    refund_id: str | None = None
    outcome: str | None = None
    """Status of the refund, or Stripe's error code."""


@dataclass(frozen=True, slots=True)
class ShownOrder:
    """Order without personal data, its intent, and the steps about it."""

    order: Order
    intent_id: str
    actions: tuple[OperatorAction, ...]


class StepRefused(Exception):
    """A step that orders or Stripe refuses. The message is for the operator: ids, amounts and error codes only (P7)."""


class NotRefunded(StepRefused):
    """The refunds do not cover what was received."""


class RefundRefused(StepRefused):
    """Stripe refuses a refund for good. The message is its error code."""


class SettlementsPort(Protocol):
    """orders, which settles payments and records steps. Every method may raise ServiceUnavailable."""

    async def list_quarantined(self, *, with_resolved: bool, page_token: str | None) -> PaymentPage:
        """Return a page of quarantined payments."""

    async def show(self, intent_id: str, personal: OperatorStep | None) -> ShownPayment:
        """Return a payment; with a step also its personal data. Raises StepRefused."""

    async def settle(
        self, step: OperatorStep, intent_id: str, settlement: Settlement, cart: CheckoutContext | None
    ) -> SettledPayment:
        """Settle a payment, or return what stands. Raises StepRefused, InvalidRequest."""

    async def begin_refund(self, step: OperatorStep, intent_id: str) -> PaymentState:
        """Bar every other settlement before Stripe is asked for a refund. Raises StepRefused."""

    async def abandon_refund(self, step: OperatorStep, intent_id: str) -> PaymentState:
        """Give up a refund that Stripe refused. Raises StepRefused."""

    async def find_order(self, key: str) -> ShownOrder:
        """Return an order by its number or id. Raises StepRefused, InvalidRequest."""

    async def record_order_refund(self, step: OperatorStep, refund: OrderRefund) -> None:
        """Record a step of a refund. Raises StepRefused."""

    async def retry_subscription(
        self, step: OperatorStep, subscription_id: str, payment_method_id: str | None
    ) -> Subscription:
        """Let a failed activation begin again. Raises StepRefused, SubscriptionNotFound, VersionConflict."""

    async def give_up_subscription(
        self, step: OperatorStep, subscription_id: str, expected_version: int
    ) -> Subscription:
        """Cancel a subscription whose activation failed. Raises the same."""


class RefundCreator(Protocol):
    """Creation of refunds at Stripe. May raise StripeUnavailable, IdempotencyKeyExhausted."""

    async def create(self, intent_id: str, amount: Money | None, *, idempotency_key: str) -> Refund:
        """Refund an amount of a payment; None for the rest. Raises RefundRefused."""
