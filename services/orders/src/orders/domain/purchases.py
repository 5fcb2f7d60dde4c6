"""Decision on a succeeded intent: a purchase or a quarantined payment, never both, never neither (P3)."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from orders.domain.checkout import AttemptContent, UnreadableContent
from orders.domain.orders import Order
from orders.domain.payments import Intent, Payment, PaymentReport
from orders.domain.subscriptions import Subscription


class Outcome(StrEnum):
    """Kind of a payment decision."""

    PURCHASE = "purchase"
    QUARANTINED = "quarantined"


class QuarantineReason(StrEnum):
    """Reason why a payment is quarantined."""

    ATTEMPT_MISSING = "attempt_missing"
    AMOUNT_MISMATCH = "amount_mismatch"
    INTENT_MISMATCH = "intent_mismatch"
    DUPLICATE_PAYMENT = "duplicate_payment"
    UNRECORDABLE = "unrecordable"
    ATTEMPT_UNREADABLE = "attempt_unreadable"
    REFUNDED = "refunded"


@dataclass(frozen=True, slots=True)
class Purchase:
    """Everything that an attempt bought, and the intent that paid. `order` is None for subscriptions alone."""

    attempt_id: str
    intent: Intent
    order: Order | None
    subscriptions: tuple[Subscription, ...] = ()
    """One for each billing interval, in the order of the cart."""


@dataclass(frozen=True, slots=True)
class QuarantinedPayment:
    """Payment that a person has to resolve.

    `content` is None when the attempt was missing, when the content was erased, and when it is `unreadable`.
    """

    payment: Payment
    reason: QuarantineReason
    content: AttemptContent | None
    report: PaymentReport
    quarantined_at: datetime
    erased_at: datetime | None = None
    unreadable: UnreadableContent | None = None

    @property
    def has_content(self) -> bool:
        """True if content is stored, readable or not."""
        return self.content is not None or self.unreadable is not None


Decision = Purchase | QuarantinedPayment


@dataclass(frozen=True, slots=True)
class DecisionResult:
    """Decision that is in force. `already_recorded` is True if it was recorded before the call."""

    decision: Decision
    already_recorded: bool
