"""Payment decisions for an audit, on PostgreSQL. Each method is one statement."""

from typing import Any, Final

from sqlalchemy import ARRAY, Row, Select, Text, any_, bindparam, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from orders.domain.audit import PaymentIds, PaymentRange, RecordedPayment
from orders.domain.checkout import Money
from orders.domain.payments import Intent
from orders.domain.purchases import Outcome
from orders.domain.refunds import REFUNDED_STATUSES
from orders.postgres.rows import after_cursor
from orders.postgres.statements import PAYMENTS, REFUNDS, amounts_by_currency

_PAYMENTS: Final[Select[Any]] = select(
    PAYMENTS.c.intent_id,
    PAYMENTS.c.kind,
    PAYMENTS.c.attempt_id,
    PAYMENTS.c.amount_minor,
    PAYMENTS.c.currency,
    PAYMENTS.c.livemode,
    PAYMENTS.c.intent_created_at,
    PAYMENTS.c.decided_at,
    PAYMENTS.c.outcome,
    amounts_by_currency(REFUNDS, REFUNDED_STATUSES, PAYMENTS.c.intent_id).label("refunded"),
)
_LIST: Final = _PAYMENTS.where(
    PAYMENTS.c.kind == bindparam("of_kind", type_=PAYMENTS.c.kind.type),
    PAYMENTS.c.intent_created_at >= bindparam("created_from"),
).order_by(PAYMENTS.c.intent_created_at.desc(), PAYMENTS.c.intent_id.desc())
_of_attempts: Final = PAYMENTS.c.attempt_id == any_(bindparam("attempt_ids", type_=ARRAY(Text)))
# Each condition has an index. The outcomes are no parameters: two of the indexes are those of one outcome.
_FIND: Final = _PAYMENTS.where(
    or_(
        PAYMENTS.c.intent_id == any_(bindparam("intent_ids", type_=ARRAY(Text))),
        _of_attempts & text("payments.outcome = 'purchase'"),
        _of_attempts & text("payments.outcome = 'quarantined'"),
    )
)


class PostgresAuditRepository:
    """Implements AuditRepository."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def list_payments(self, asked: PaymentRange, limit: int) -> list[RecordedPayment]:
        """Read a page of an index, from the cursor on."""
        statement = _LIST.limit(limit)
        if (after := asked.page.after) is not None:
            keyset = (PAYMENTS.c.intent_created_at, PAYMENTS.c.intent_id)
            statement = statement.where(after_cursor(keyset, after.at, after.id))
        values = {"of_kind": asked.kind, "created_from": asked.created_from}
        return [_payment_from_row(row) for row in await self._connection.execute(statement, values)]

    async def find_payments(self, asked: PaymentIds) -> list[RecordedPayment]:
        """Read rows by two indexes."""
        values = {"intent_ids": list(asked.intents), "attempt_ids": list(asked.attempts)}
        found = await self._connection.execute(_FIND, values)
        return [_payment_from_row(row) for row in found]


def _payment_from_row(row: Row[Any]) -> RecordedPayment:
    return RecordedPayment(
        intent=Intent(row.intent_id, row.kind),
        attempt_id=row.attempt_id,
        received=None if row.amount_minor is None else Money(row.amount_minor, row.currency),
        livemode=row.livemode,
        intent_created_at=row.intent_created_at,
        decided_at=row.decided_at,
        quarantined=row.outcome is Outcome.QUARANTINED,
        refunded=row.refunded or {},
    )
