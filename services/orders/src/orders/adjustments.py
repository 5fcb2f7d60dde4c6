"""Refunds and disputes: copies of Stripe's objects, each kept by Stripe's id and tied to the intent it takes back from.

Neither needs an order: they may be known before it, and for a payment that was quarantined.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from orders.checkout import Money


class RefundStatus(StrEnum):
    """Where a refund stands, in Stripe's words."""

    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class DisputeStatus(StrEnum):
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


REFUNDED: Final = (RefundStatus.PENDING, RefundStatus.REQUIRES_ACTION, RefundStatus.SUCCEEDED)
"""Made or under way. One that failed or was canceled left the money with the shop."""

DISPUTED: Final = (
    DisputeStatus.NEEDS_RESPONSE,
    DisputeStatus.UNDER_REVIEW,
    DisputeStatus.LOST,
    DisputeStatus.APPEAL_NEEDS_RESPONSE,
    DisputeStatus.APPEAL_UNDER_REVIEW,
)
"""Open or lost: the bank has taken the money. A warning takes none, and a prevented dispute ended as a refund."""


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund as Stripe showed it. `version` is 0 before it is written."""

    id: str
    intent_id: str
    charge_id: str | None
    amount: Money
    status: RefundStatus
    created_at: datetime
    version: int


@dataclass(frozen=True, slots=True)
class Dispute:
    """A dispute as Stripe showed it; `reason` is Stripe's word. `version` is 0 before it is written."""

    id: str
    intent_id: str
    charge_id: str | None
    amount: Money
    status: DisputeStatus
    reason: str | None
    created_at: datetime
    version: int


class RefundNotFound(LookupError):
    """Nothing is known of the refund."""


class DisputeNotFound(LookupError):
    """Nothing is known of the dispute."""


class AdjustmentOvertaken(Exception):
    """The row has another version than the one read before Stripe was asked: what Stripe said then may be old."""


class AdjustmentLedger(Protocol):
    """The port to where refunds and disputes are kept. Every method is a transaction of its own."""

    async def refund(self, refund_id: str) -> Refund | None:
        """Return what is known of a refund."""

    async def put_refund(self, refund: Refund) -> int | None:
        """Write a refund where its version still holds; 0 means that there is no row.

        Return its new version, or None if another writer was faster.
        """

    async def dispute(self, dispute_id: str) -> Dispute | None:
        """Return what is known of a dispute."""

    async def put_dispute(self, dispute: Dispute) -> int | None:
        """Write a dispute under the same guard."""


class Adjustments:
    """The use cases around refunds and disputes."""

    def __init__(self, ledger: AdjustmentLedger) -> None:
        self._ledger = ledger

    async def refund(self, refund_id: str) -> Refund:
        """Return what is known of a refund."""
        refund = await self._ledger.refund(refund_id)
        if refund is None:
            raise RefundNotFound
        return refund

    async def dispute(self, dispute_id: str) -> Dispute:
        """Return what is known of a dispute."""
        dispute = await self._ledger.dispute(dispute_id)
        if dispute is None:
            raise DisputeNotFound
        return dispute

    async def apply_refund(self, refund: Refund) -> Refund:
        """Write a refund as Stripe showed it after the version it names was read. Raises AdjustmentOvertaken."""
        return replace(refund, version=_won(await self._ledger.put_refund(refund)))

    async def apply_dispute(self, dispute: Dispute) -> Dispute:
        """Write a dispute as Stripe showed it after the version it names was read. Raises AdjustmentOvertaken."""
        return replace(dispute, version=_won(await self._ledger.put_dispute(dispute)))


def _won(version: int | None) -> int:
    if version is None:
        raise AdjustmentOvertaken
    return version
