"""Refunds and disputes: copies of Stripe's objects, each kept by Stripe's id and tied to the intent it takes back from.

Neither needs an order: they may be known before it, and for a payment that was quarantined.
"""

from dataclasses import replace
from typing import Protocol

from orders.domain.refunds import Dispute, Refund


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
