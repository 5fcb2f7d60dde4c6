"""Decision on a succeeded intent: a purchase or a quarantined payment, never both, never neither (P3)."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, Self

from orders.domain.checkout import AttemptContent, EncryptedContent, UnreadableContent
from orders.domain.orders import Order
from orders.domain.payments import Intent, Payment, PaymentReport
from orders.domain.settlements import Settlement
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
    UNKNOWN = "unknown"
    """A word that a newer version wrote."""


AWAITING_REASONS: Final = (QuarantineReason.ATTEMPT_MISSING, QuarantineReason.ATTEMPT_UNREADABLE)
"""Reasons of payments that become the purchase once their attempt can be read."""


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
    """Payment that became no purchase. A person has to resolve it, unless it is resolved.

    `content` is None when the attempt was missing, when the content was erased, and when it is `unreadable` here.
    """

    payment: Payment
    reason: QuarantineReason
    content: AttemptContent | EncryptedContent | None
    report: PaymentReport
    quarantined_at: datetime
    erased_at: datetime | None = None
    unreadable: UnreadableContent | None = None
    reason_before_refund: QuarantineReason | None = None
    """Reason that comes back if the refund fails; REFUNDED if the payment would have become the purchase.

    None unless a refund resolved it.
    """
    resolved_at: datetime | None = None
    settlement: Settlement | None = None
    """Way in which an operator settled it; None if none did."""
    refund_begun_at: datetime | None = None
    """Time when an operator began to refund it. Until the refund is there or given up it becomes no purchase."""

    def refunded(self, at: datetime) -> Self:
        """Return the same payment, refunded in full, which resolves it."""
        return replace(self, reason=QuarantineReason.REFUNDED, reason_before_refund=self.reason, resolved_at=at)

    def adds_to(self, stored: "QuarantinedPayment") -> bool:
        """Return True if this request has content, or a reason, that the stored payment lacks."""
        if isinstance(stored.content, AttemptContent) or stored.unreadable is not None:
            return False
        if isinstance(stored.content, EncryptedContent):
            return isinstance(self.content, AttemptContent)
        return self.content is not None or self.reason is QuarantineReason.DUPLICATE_PAYMENT


Decision = Purchase | QuarantinedPayment


@dataclass(frozen=True, slots=True)
class DecisionResult:
    """Decision that is in force. `already_recorded` is True if it was recorded before the call."""

    decision: Decision
    already_recorded: bool
