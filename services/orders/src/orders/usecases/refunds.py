"""Copies of Stripe's refunds and disputes, by Stripe's id, tied to the intent that they take money back from.

They may arrive before the order, and for a payment that was quarantined.
"""

from dataclasses import replace
from typing import Protocol

from orders.domain.refunds import Dispute, Refund
from orders.usecases.unit_of_work import VersionConflict


class RefundNotFound(LookupError):
    """The refund was never written."""


class DisputeNotFound(LookupError):
    """The dispute was never written."""


class RefundRepository(Protocol):
    """Port to the stored refunds and disputes. Every method is a transaction of its own."""

    async def find_refund(self, refund_id: str) -> Refund | None:
        """Return a refund."""

    async def put_refund(self, refund: Refund) -> int | None:
        """Write a refund if the row still has its version; 0 means that there is no row.

        Return the new version, or None if another writer was faster.
        """

    async def find_dispute(self, dispute_id: str) -> Dispute | None:
        """Return a dispute."""

    async def put_dispute(self, dispute: Dispute) -> int | None:
        """Write a dispute under the same condition."""


class RefundService:
    """Reads and writes refunds and disputes."""

    def __init__(self, repository: RefundRepository) -> None:
        self._repository = repository

    async def get_refund(self, refund_id: str) -> Refund:
        """Return a refund. Raises RefundNotFound."""
        refund = await self._repository.find_refund(refund_id)
        if refund is None:
            raise RefundNotFound
        return refund

    async def get_dispute(self, dispute_id: str) -> Dispute:
        """Return a dispute. Raises DisputeNotFound."""
        dispute = await self._repository.find_dispute(dispute_id)
        if dispute is None:
            raise DisputeNotFound
        return dispute

    async def apply_refund(self, refund: Refund) -> Refund:
        """Write a refund as Stripe showed it after its version was read. Raises VersionConflict."""
        return replace(refund, version=_required(await self._repository.put_refund(refund)))

    async def apply_dispute(self, dispute: Dispute) -> Dispute:
        """Write a dispute as Stripe showed it after its version was read. Raises VersionConflict."""
        return replace(dispute, version=_required(await self._repository.put_dispute(dispute)))


def _required(version: int | None) -> int:
    if version is None:
        raise VersionConflict
    return version
