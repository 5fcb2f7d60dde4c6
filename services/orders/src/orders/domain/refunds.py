"""Refunds and disputes as Stripe last showed them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from orders.domain.checkout import Money


class RefundStatus(StrEnum):
    """Status of a refund, in Stripe's words."""

    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    UNKNOWN = "unknown"
    """A word that a newer version wrote."""


class DisputeStatus(StrEnum):
    """Status of a dispute, in Stripe's words."""

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
    UNKNOWN = "unknown"
    """A word that a newer version wrote."""


REFUNDED_STATUSES: Final = (RefundStatus.PENDING, RefundStatus.REQUIRES_ACTION, RefundStatus.SUCCEEDED)
"""Succeeded or under way. The shop keeps the money of a refund that failed or was canceled."""

DISPUTED_STATUSES: Final = (
    DisputeStatus.NEEDS_RESPONSE,
    DisputeStatus.UNDER_REVIEW,
    DisputeStatus.LOST,
    DisputeStatus.APPEAL_NEEDS_RESPONSE,
    DisputeStatus.APPEAL_UNDER_REVIEW,
)
"""Open or lost: the bank has taken the money. A warning takes none, and a prevented dispute ended as a refund."""


@dataclass(frozen=True, slots=True)
class Refund:
    """Refund as Stripe showed it. `version` is that of the stored row; 0 before it is written."""

    id: str
    intent_id: str
    charge_id: str | None
    amount: Money
    status: RefundStatus
    created_at: datetime
    version: int


@dataclass(frozen=True, slots=True)
class Dispute:
    """Dispute as Stripe showed it; `reason` is Stripe's word. `version` is that of the stored row; 0 before."""

    id: str
    intent_id: str
    charge_id: str | None
    amount: Money
    status: DisputeStatus
    reason: str | None
    created_at: datetime
    version: int


@dataclass(frozen=True, slots=True)
class RefundSums:
    """Sums of an intent's refunds that succeeded or are under way, and of its disputes that are open or lost.

    In minor units, by currency. Only the currency of the payment counts against its amount.
    """

    refunded: Mapping[str, int]
    disputed: Mapping[str, int]

    def refunded_in(self, currency: str) -> Money | None:
        """Return what was refunded in a currency; None without any."""
        return _sum_in(self.refunded, currency)

    def disputed_in(self, currency: str) -> Money | None:
        """Return what was disputed in a currency; None without any."""
        return _sum_in(self.disputed, currency)

    def cover(self, received: Money | None) -> bool:
        """Return True if the whole amount was refunded. A setup intent received none, so nothing can be refunded."""
        return received is not None and 0 < received.minor_units <= self.refunded.get(received.currency, 0)


def _sum_in(sums: Mapping[str, int], currency: str) -> Money | None:
    minor_units = sums.get(currency, 0)
    return Money(minor_units, currency) if minor_units else None
