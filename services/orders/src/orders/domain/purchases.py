"""What a succeeded intent became: a purchase or a quarantined payment, never both, never neither (P3)."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from orders.domain.checkout import AttemptContent, UnreadableContent
from orders.domain.orders import Order
from orders.domain.payments import Intent, Payment, PaymentReport
from orders.domain.subscriptions import Subscription


class Outcome(StrEnum):
    """The two things a succeeded intent can become."""

    PURCHASE = "purchase"
    QUARANTINED = "quarantined"


class QuarantineReason(StrEnum):
    """Why a payment is set aside."""

    ATTEMPT_MISSING = "attempt_missing"
    AMOUNT_MISMATCH = "amount_mismatch"
    INTENT_MISMATCH = "intent_mismatch"
    DUPLICATE_PAYMENT = "duplicate_payment"
    UNRECORDABLE = "unrecordable"


@dataclass(frozen=True, slots=True)
class Purchase:
    """What an attempt became, and the intent that paid it. `order` is None where only subscriptions were bought."""

    attempt_id: str
    intent: Intent
    order: Order | None
    subscriptions: tuple[Subscription, ...] = ()
    """One for each billing interval, in the order of the cart."""


@dataclass(frozen=True, slots=True)
class QuarantinedPayment:
    """A payment set aside for a person to settle. `content` is None when the attempt was missing, or was erased."""

    payment: Payment
    reason: QuarantineReason
    content: AttemptContent | None
    report: PaymentReport
    quarantined_at: datetime
    resolved_at: datetime | None = None
    erased_at: datetime | None = None
    unreadable: UnreadableContent | None = None
    """Set in place of `content` when there is some, but nobody here can read it."""

    @property
    def keeps_content(self) -> bool:
        """Whether content is stored, readable or not."""
        return self.content is not None or self.unreadable is not None


Decision = Purchase | QuarantinedPayment


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decision, and whether it stood before the call that asked for it."""

    decision: Decision
    already_recorded: bool
