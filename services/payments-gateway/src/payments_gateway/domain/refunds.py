"""Refunds and disputes, and the ports to Stripe, which owns them, and to orders, which mirrors them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeVar

from payments_gateway.domain.money import Money


class RefundStatus(StrEnum):
    """Status of a refund, in Stripe's values."""

    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class DisputeStatus(StrEnum):
    """Status of a dispute, in Stripe's values."""

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


class RefundOwner(StrEnum):
    """Object whose refunds Stripe lists, in Stripe's values."""

    CHARGE = "charge"
    PAYMENT_INTENT = "payment_intent"


@dataclass(frozen=True, slots=True)
class PaymentRef:
    """The PaymentIntent that a refund or a dispute belongs to."""

    intent_id: str
    attempt_id: str | None
    """metadata.checkoutAttemptId; only a hint, because it can be edited at Stripe."""
    livemode: bool


@dataclass(frozen=True, slots=True)
class Refund:
    """Snapshot of a refund at Stripe."""

    id: str
    payment: PaymentRef | None
    """None for a charge without an intent, which is never ours."""
    charge_id: str | None
    amount: Money
    status: RefundStatus
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Dispute:
    """Snapshot of a dispute at Stripe."""

    id: str
    payment: PaymentRef | None
    charge_id: str | None
    amount: Money
    status: DisputeStatus
    reason: str | None
    """Stripe's value, such as fraudulent."""
    created_at: datetime


MirroredT = TypeVar("MirroredT", Refund, Dispute)
MirroredT_co = TypeVar("MirroredT_co", Refund, Dispute, covariant=True)
MirroredT_contra = TypeVar("MirroredT_contra", Refund, Dispute, contravariant=True)


class StripeObjectsPort(Protocol[MirroredT_co]):
    """Refunds or disputes at Stripe. May raise StripeUnavailable."""

    async def retrieve(self, object_id: str) -> MirroredT_co:
        """Return the object's present state. Raises NotFoundAtStripe, UnsupportedStripeObject."""


class RefundLister(Protocol):
    """Lists of refunds at Stripe. May raise StripeUnavailable."""

    async def list_refund_ids(self, owner: RefundOwner, owner_id: str) -> list[str]:
        """Return the ids of all refunds of a charge or a PaymentIntent.

        Raises NotFoundAtStripe, UnsupportedStripeObject.
        """


class PaymentRefunds(Protocol):
    """Copies of the refunds of one payment, brought up to date."""

    async def sync_payment(self, intent_id: str) -> None:
        """Write every refund of a payment of ours. Raises StripeUnavailable, ServiceUnavailable and the like."""


class PaymentNotFound(Exception):
    """orders has not decided the payment."""


class MirrorRepository(Protocol[MirroredT_contra]):
    """orders' copies of refunds or disputes. May raise ServiceUnavailable."""

    async def version_of(self, object_id: str) -> int:
        """Return the version of a copy; 0 if there is none."""

    async def write(
        self, snapshot: MirroredT_contra, *, intent_id: str, expected_version: int, only_if_decided: bool
    ) -> None:
        """Write a copy if its version still holds. Raises VersionConflict, UnsupportedStripeObject.

        Raises PaymentNotFound if it is to be written only for a decided payment.
        """
