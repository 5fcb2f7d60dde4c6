"""Refunds and disputes on PostgreSQL. The condition on the version decides races of writers of one row."""

from typing import Any

from sqlalchemy import Executable, Row, bindparam, select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from orders.domain.checkout import Money
from orders.domain.refunds import Dispute, Refund, RefundSums
from orders.postgres.statements import DISPUTES, REFUNDS, SELECT_SUMS

_SELECT_REFUND = select(*REFUNDS.columns).where(REFUNDS.c.stripe_refund_id == bindparam("key_id"))
_SELECT_DISPUTE = select(*DISPUTES.columns).where(DISPUTES.c.stripe_dispute_id == bindparam("key_id"))

_INSERT_REFUND = postgres_insert(REFUNDS).on_conflict_do_nothing().returning(REFUNDS.c.version)
_INSERT_DISPUTE = postgres_insert(DISPUTES).on_conflict_do_nothing().returning(DISPUTES.c.version)

# Of two writers that read the same version, the second one waits for the first and then finds another version.
_UPDATE_REFUND = (
    update(REFUNDS)
    .where(REFUNDS.c.stripe_refund_id == bindparam("key_id"), REFUNDS.c.version == bindparam("expected_version"))
    .returning(REFUNDS.c.version)
)
_UPDATE_DISPUTE = (
    update(DISPUTES)
    .where(DISPUTES.c.stripe_dispute_id == bindparam("key_id"), DISPUTES.c.version == bindparam("expected_version"))
    .returning(DISPUTES.c.version)
)


class PostgresRefundRepository:
    """Implements RefundRepository."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find_refund(self, refund_id: str) -> Refund | None:
        """Read one row."""
        row = await self._first(_SELECT_REFUND, {"key_id": refund_id})
        return None if row is None else _refund_from_row(row)

    async def put_refund(self, refund: Refund) -> int | None:
        """Insert the row, or update it if it has the version."""
        return await self._put(_INSERT_REFUND, _UPDATE_REFUND, refund, _refund_to_row(refund))

    async def find_dispute(self, dispute_id: str) -> Dispute | None:
        """Read one row."""
        row = await self._first(_SELECT_DISPUTE, {"key_id": dispute_id})
        return None if row is None else _dispute_from_row(row)

    async def put_dispute(self, dispute: Dispute) -> int | None:
        """Insert the row, or update it if it has the version."""
        return await self._put(_INSERT_DISPUTE, _UPDATE_DISPUTE, dispute, _dispute_to_row(dispute))

    async def sums_of(self, intent_id: str) -> RefundSums:
        """Use one statement."""
        row = (await self._connection.execute(SELECT_SUMS, {"intent_id": intent_id})).one()
        return RefundSums(row.refunded or {}, row.disputed or {})

    async def _put(
        self, insert: Executable, change: Executable, written: Refund | Dispute, row: dict[str, Any]
    ) -> int | None:
        if written.version:
            key = {"key_id": written.id, "expected_version": written.version}
            found = await self._first(change, {**row, **key})
        else:
            found = await self._first(insert, row)
        return None if found is None else int(found.version)

    async def _first(self, statement: Executable, values: dict[str, Any]) -> Row[Any] | None:
        return (await self._connection.execute(statement, values)).first()


def _refund_to_row(refund: Refund) -> dict[str, Any]:
    return {"stripe_refund_id": refund.id, **_common_to_row(refund)}


def _dispute_to_row(dispute: Dispute) -> dict[str, Any]:
    return {"stripe_dispute_id": dispute.id, "reason": dispute.reason, **_common_to_row(dispute)}


def _common_to_row(written: Refund | Dispute) -> dict[str, Any]:
    return {
        "intent_id": written.intent_id,
        "charge_id": written.charge_id,
        "amount_minor": written.amount.minor_units,
        "currency": written.amount.currency,
        "status": written.status,
        "created_at": written.created_at,
        "version": written.version + 1,
    }


def _refund_from_row(row: Row[Any]) -> Refund:
    return Refund(
        id=row.stripe_refund_id,
        intent_id=row.intent_id,
        charge_id=row.charge_id,
        amount=Money(row.amount_minor, row.currency),
        status=row.status,
        created_at=row.created_at,
        version=row.version,
    )


def _dispute_from_row(row: Row[Any]) -> Dispute:
    return Dispute(
        id=row.stripe_dispute_id,
        intent_id=row.intent_id,
        charge_id=row.charge_id,
        amount=Money(row.amount_minor, row.currency),
        status=row.status,
        reason=row.reason,
        created_at=row.created_at,
        version=row.version,
    )
