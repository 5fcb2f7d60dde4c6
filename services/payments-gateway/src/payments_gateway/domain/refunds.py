"""Refunds and disputes as the gateway knows them, and the ports to Stripe, which owns them, and to orders' copies."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol, TypeVar

from payments_gateway.domain.money import Money


class RefundStatus(Enum):
    """Where a refund stands, in Stripe's words."""

    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class DisputeStatus(Enum):
    """Where a dispute stands, in Stripe's words."""

    WARNING_NEEDS_RESPONSE = "warning_needs_response"
    WARNING_UNDER_REVIEW = "warning_under_review"
    WARNING_CLOSED = "warning_closed"
    NEEDS_RESPONSE = "needs_response"
    UNDER_REVIEW = "under_review"
    WON = "won"
    LOST = "lost"
    PREVENTED = "prevented"
    APPEAL_NEEDS_RESPONSE = "appeal_needs_response"
    APPEAL_UNDER_REVIEW = "appeal_under_review"


@dataclass(frozen=True)
class PaymentRef:
    """The PaymentIntent that took the money which is given back."""

    intent_id: str
    attempt_id: str | None
    """metadata.checkoutAttemptId; None when the intent is not ours."""
    livemode: bool


@dataclass(frozen=True)
class Refund:
    """A refund as Stripe showed it at one moment."""

    id: str
    payment_ref: PaymentRef | None
    """None for a charge that was made without an intent: never ours."""
    charge_id: str | None
    amount: Money
    status: RefundStatus
    created_at: datetime


@dataclass(frozen=True)
class Dispute:
    """A dispute as Stripe showed it at one moment."""

    id: str
    payment_ref: PaymentRef | None
    charge_id: str | None
    amount: Money
    status: DisputeStatus
    reason: str | None
    """Stripe's word, such as fraudulent."""
    created_at: datetime


Seen = TypeVar("Seen", Refund, Dispute)
Shown = TypeVar("Shown", Refund, Dispute, covariant=True)  # noqa: PLC0105 — named for what it is, as Seen is
Kept = TypeVar("Kept", Refund, Dispute, contravariant=True)  # noqa: PLC0105 — the same


class StripeObjects(Protocol[Shown]):
    """Refunds, or disputes, at Stripe. May raise StripeUnavailable."""

    async def retrieve(self, object_id: str) -> Shown:
        """Return the object as it stands now. Raises NotFoundAtStripe, UnsupportedStripeObject."""


class MirrorRepository(Protocol[Kept]):
    """The copies that orders keeps of refunds, or of disputes. May raise ServiceUnavailable."""

    async def version_of(self, object_id: str) -> int:
        """Return the version of a copy; 0 where there is none."""

    async def write(self, shown: Kept, *, intent_id: str, expected_version: int) -> None:
        """Write a copy where its version still holds. Raises VersionConflict, UnsupportedStripeObject."""


class ChargeRefundsPort(Protocol):
    """What was refunded of a charge. May raise StripeUnavailable."""

    async def list_refund_ids(self, charge_id: str) -> list[str]:
        """Return the ids of all refunds of a charge. Raises NotFoundAtStripe, UnsupportedStripeObject."""
