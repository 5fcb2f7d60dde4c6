"""Settlements of quarantined payments, and the steps of operators, on PostgreSQL."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, bindparam, null, select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from orders.domain.pagination import Cursor
from orders.domain.purchases import QuarantinedPayment, QuarantineReason
from orders.domain.settlements import OperatorAction, OperatorStep, Settlement
from orders.postgres.connection import affected
from orders.postgres.content_encryption import ContentCipher
from orders.postgres.rows import after_cursor, quarantined_from_row
from orders.postgres.statements import IS_QUARANTINED, ORDERS, PAYMENTS, table_of
from orders.postgres.tables import OperatorActionRow

_ACTIONS = table_of(OperatorActionRow)

_key = PAYMENTS.c.intent_id == bindparam("key_intent_id")
_unresolved = PAYMENTS.c.resolved_at.is_(None)
_not_refunding = PAYMENTS.c.refund_begun_at.is_(None)

_BEGIN_REFUND = (
    update(PAYMENTS).where(_key, IS_QUARANTINED, _unresolved, _not_refunding).returning(PAYMENTS.c.intent_id)
)

_ABANDON_REFUND = (
    update(PAYMENTS)
    .where(_key, IS_QUARANTINED, _unresolved, PAYMENTS.c.refund_begun_at.is_not(None))
    .values(refund_begun_at=None)
    .returning(PAYMENTS.c.intent_id)
)

# A refund has resolved it: what is added is that an operator wanted that.
_SETTLE_REFUNDED = (
    update(PAYMENTS)
    .where(
        _key,
        PAYMENTS.c.quarantine_reason == QuarantineReason.REFUNDED,
        PAYMENTS.c.resolved_at.is_not(None),
        PAYMENTS.c.settlement.is_(None),
    )
    .values(settlement=Settlement.REFUNDED)
    .returning(PAYMENTS.c.intent_id)
)

_WRITE_OFF = (
    update(PAYMENTS)
    .where(_key, IS_QUARANTINED, _unresolved, _not_refunding)
    .values(settlement=Settlement.WRITTEN_OFF)
    .returning(PAYMENTS.c.intent_id)
)

_CONTENT = ("attempt_content", "encrypted_content", "encrypted_key_id")
_SELECT_QUARANTINED = (
    select(*(null().label(column.name) if column.name in _CONTENT else column for column in PAYMENTS.columns))
    .where(IS_QUARANTINED)
    .order_by(PAYMENTS.c.decided_at.desc(), PAYMENTS.c.intent_id.desc())
)

_SELECT_ORDER_ID = select(ORDERS.c.id).where(ORDERS.c.number == bindparam("key_number"))

_INSERT_ACTION = postgres_insert(_ACTIONS).on_conflict_do_nothing(index_elements=[_ACTIONS.c.id])

_SELECT_ACTIONS = (
    select(*_ACTIONS.columns)
    .where(_ACTIONS.c.subject == bindparam("key_subject"))
    .order_by(_ACTIONS.c.at, _ACTIONS.c.id)
)


class PostgresSettlementRepository:
    """Implements SettlementRepository."""

    def __init__(self, connection: AsyncConnection, cipher: ContentCipher) -> None:
        self._connection = connection
        self._cipher = cipher

    async def begin_refund(self, intent_id: str, at: datetime) -> bool:
        """Update the decision row if it is unresolved and unmarked."""
        values = {"key_intent_id": intent_id, "refund_begun_at": at}
        return await affected(self._connection, _BEGIN_REFUND, values)

    async def abandon_refund(self, intent_id: str) -> bool:
        """Update the decision row if it is unresolved and marked."""
        return await affected(self._connection, _ABANDON_REFUND, {"key_intent_id": intent_id})

    async def settle_refunded(self, intent_id: str) -> bool:
        """Update the decision row if a refund resolved it."""
        return await affected(self._connection, _SETTLE_REFUNDED, {"key_intent_id": intent_id})

    async def write_off(self, intent_id: str, at: datetime) -> bool:
        """Update the decision row if it is unresolved and unmarked."""
        return await affected(self._connection, _WRITE_OFF, {"key_intent_id": intent_id, "resolved_at": at})

    async def list_quarantined(
        self, after: Cursor | None, limit: int, *, with_resolved: bool
    ) -> list[QuarantinedPayment]:
        """Use one statement."""
        statement = _SELECT_QUARANTINED.limit(limit)
        if not with_resolved:
            statement = statement.where(_unresolved)
        if after is not None:
            keyset = (PAYMENTS.c.decided_at, PAYMENTS.c.intent_id)
            statement = statement.where(after_cursor(keyset, after.at, after.id))
        return [quarantined_from_row(row, self._cipher) for row in await self._connection.execute(statement)]

    async def find_order_id(self, number: str) -> UUID | None:
        """Look into the index of the numbers."""
        found = await self._connection.execute(_SELECT_ORDER_ID, {"key_number": number})
        order_id: UUID | None = found.scalar_one_or_none()
        return order_id

    async def add_action(self, action: OperatorAction) -> None:
        """Insert the row, unless the primary key refuses it."""
        await self._connection.execute(_INSERT_ACTION, _action_to_row(action))

    async def list_actions(self, subject: str) -> list[OperatorAction]:
        """Use one statement."""
        found = await self._connection.execute(_SELECT_ACTIONS, {"key_subject": subject})
        return [_action_from_row(row) for row in found]


def _action_to_row(action: OperatorAction) -> dict[str, Any]:
    return {
        "id": action.step.id,
        "at": action.at,
        "operator": action.step.operator,
        "action": action.verb,
        "subject": action.subject,
        "reason": action.step.reason,
        "before": dict(action.before),
        "after": dict(action.after),
    }


def _action_from_row(row: Row[Any]) -> OperatorAction:
    step = OperatorStep(row.id, row.operator, row.reason)
    return OperatorAction(step, row.at, row.action, row.subject, row.before, row.after)
