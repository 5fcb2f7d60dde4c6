"""Refunds and disputes on PostgreSQL: one statement each, and the version in its condition decides every race."""

from typing import Any

from sqlalchemy import Executable, Row, bindparam, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or
from sqlalchemy.ext.asyncio import AsyncEngine

from orders.domain.checkout import Money
from orders.domain.refunds import Dispute, Refund
from orders.postgres.connection import named_failures
from orders.postgres.statements import DISPUTES, REFUNDS

_FIND_REFUND = select(*REFUNDS.columns).where(REFUNDS.c.stripe_refund_id == bindparam("wanted_id"))
_FIND_DISPUTE = select(*DISPUTES.columns).where(DISPUTES.c.stripe_dispute_id == bindparam("wanted_id"))

_ADD_REFUND = insert_or(REFUNDS).on_conflict_do_nothing().returning(REFUNDS.c.version)
_ADD_DISPUTE = insert_or(DISPUTES).on_conflict_do_nothing().returning(DISPUTES.c.version)

# Of two writers that read the same version, the second waits for the first and then finds another one here.
_CHANGE_REFUND = (
    update(REFUNDS)
    .where(REFUNDS.c.stripe_refund_id == bindparam("wanted_id"), REFUNDS.c.version == bindparam("expected_version"))
    .returning(REFUNDS.c.version)
)
_CHANGE_DISPUTE = (
    update(DISPUTES)
    .where(DISPUTES.c.stripe_dispute_id == bindparam("wanted_id"), DISPUTES.c.version == bindparam("expected_version"))
    .returning(DISPUTES.c.version)
)


class PostgresAdjustments:
    """Implements AdjustmentLedger."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def refund(self, refund_id: str) -> Refund | None:
        """Read one row."""
        row = await self._first(_FIND_REFUND, {"wanted_id": refund_id})
        return None if row is None else _refund_of(row)

    async def put_refund(self, refund: Refund) -> int | None:
        """Insert it, or update it where its version holds."""
        return await self._put(_ADD_REFUND, _CHANGE_REFUND, refund, _refund_values(refund))

    async def dispute(self, dispute_id: str) -> Dispute | None:
        """Read one row."""
        row = await self._first(_FIND_DISPUTE, {"wanted_id": dispute_id})
        return None if row is None else _dispute_of(row)

    async def put_dispute(self, dispute: Dispute) -> int | None:
        """Insert it, or update it where its version holds."""
        return await self._put(_ADD_DISPUTE, _CHANGE_DISPUTE, dispute, _dispute_values(dispute))

    async def _put(
        self, add: Executable, change: Executable, adjustment: Refund | Dispute, values: dict[str, Any]
    ) -> int | None:
        if adjustment.version:
            guard = {"wanted_id": adjustment.id, "expected_version": adjustment.version}
            row = await self._first(change, {**values, **guard})
        else:
            row = await self._first(add, values)
        return None if row is None else int(row.version)

    async def _first(self, statement: Executable, values: dict[str, Any]) -> Row[Any] | None:
        with named_failures():
            async with self._engine.begin() as connection:
                return (await connection.execute(statement, values)).first()


def _refund_values(refund: Refund) -> dict[str, Any]:
    return {"stripe_refund_id": refund.id, **_shared_values(refund)}


def _dispute_values(dispute: Dispute) -> dict[str, Any]:
    return {"stripe_dispute_id": dispute.id, "reason": dispute.reason, **_shared_values(dispute)}


def _shared_values(adjustment: Refund | Dispute) -> dict[str, Any]:
    return {
        "intent_id": adjustment.intent_id,
        "charge_id": adjustment.charge_id,
        "amount_minor": adjustment.amount.minor_units,
        "currency": adjustment.amount.currency,
        "status": adjustment.status,
        "created_at": adjustment.created_at,
        "version": adjustment.version + 1,
    }


def _refund_of(row: Row[Any]) -> Refund:
    return Refund(
        id=row.stripe_refund_id,
        intent_id=row.intent_id,
        charge_id=row.charge_id,
        amount=Money(row.amount_minor, row.currency),
        status=row.status,
        created_at=row.created_at,
        version=row.version,
    )


def _dispute_of(row: Row[Any]) -> Dispute:
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
