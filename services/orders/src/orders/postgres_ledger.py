"""The ledger on PostgreSQL: Core statements, a fixed number of them for each call."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, case, exc, insert, literal, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orders.checkout import AttemptContent, LineItem
from orders.database import constraint_of, named_failures
from orders.decisions import Decision, Outcome, Purchase, QuarantinedPayment, QuarantineReason
from orders.ledger import Ledger
from orders.order import Order
from orders.pages import Cursor
from orders.payments import Intent, Payment, Source
from orders.rows import (
    ITEM_COLUMNS,
    ORDER_COLUMNS,
    PAYMENT_COLUMNS,
    below,
    item_of,
    item_values,
    order_of,
    order_payload,
    order_values,
    payment_values,
    quarantine_payload,
    quarantined_of,
)
from orders.schema import ONE_PURCHASE_PER_ATTEMPT, OrderItemRow, OrderRow, OutboxRow, PaymentRow

_WAITS_FOR_ITS_ATTEMPT = (PaymentRow.quarantine_reason == QuarantineReason.ATTEMPT_MISSING) & (
    PaymentRow.resolved_at.is_(None)
)


class PostgresUnits:
    """Begins units of work on PostgreSQL."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Ledger]:
        """Begin a transaction, at PostgreSQL's default isolation: every race is decided by a constraint."""
        with named_failures():
            async with self._engine.connect() as connection:
                try:
                    yield PostgresLedger(connection)
                except TimeoutError:
                    # The server did not answer: it will not answer a rollback either.
                    await connection.invalidate()
                    raise


class PostgresLedger:
    """One transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def decide_purchase(self, payment: Payment, user_id: str | None, source: Source, at: datetime) -> bool:
        """Insert the deciding row; the primary key and the one purchase per attempt stand in the way of a second."""
        statement = (
            insert_or(PaymentRow)
            .values(**payment_values(payment, source), outcome=Outcome.PURCHASE, user_id=user_id, decided_at=at)
            .on_conflict_do_nothing()
            .returning(PaymentRow.intent_id)
        )
        return (await self._connection.execute(statement)).first() is not None

    async def decide_quarantine(self, quarantined: QuarantinedPayment) -> bool:
        """Insert the deciding row; the primary key stands in the way of a second."""
        content = quarantined.content
        statement = (
            insert_or(PaymentRow)
            .values(
                **payment_values(quarantined.payment, quarantined.source),
                outcome=Outcome.QUARANTINED,
                quarantine_reason=quarantined.reason,
                user_id=content.user_id if content else None,
                attempt_content=content.sealed if content else None,
                decided_at=quarantined.quarantined_at,
            )
            .on_conflict_do_nothing(index_elements=[PaymentRow.intent_id])
            .returning(PaymentRow.intent_id)
        )
        return (await self._connection.execute(statement)).first() is not None

    async def promote(self, payment: Payment, user_id: str | None, source: Source, at: datetime) -> bool:
        """Update under the guard, in a savepoint: another intent may hold, or just take, the attempt's purchase."""
        statement = (
            update(PaymentRow)
            .where(PaymentRow.intent_id == payment.intent.id, _WAITS_FOR_ITS_ATTEMPT)
            .values(
                **payment_values(payment, source),
                outcome=Outcome.PURCHASE,
                quarantine_reason=None,
                attempt_content=None,
                user_id=user_id,
                decided_at=at,
            )
            .returning(PaymentRow.intent_id)
        )
        try:
            async with self._connection.begin_nested():
                return (await self._connection.execute(statement)).first() is not None
        except exc.IntegrityError as error:
            if constraint_of(error) != ONE_PURCHASE_PER_ATTEMPT:
                raise
            return False

    async def complete(self, intent_id: str, reason: QuarantineReason, content: AttemptContent) -> None:
        """Update under the guard that there is no content yet."""
        await self._connection.execute(
            update(PaymentRow)
            .where(
                PaymentRow.intent_id == intent_id,
                PaymentRow.outcome == Outcome.QUARANTINED,
                PaymentRow.attempt_content.is_(None),
            )
            .values(
                attempt_content=content.sealed,
                user_id=content.user_id,
                quarantine_reason=case(
                    (_WAITS_FOR_ITS_ATTEMPT, literal(reason, PaymentRow.quarantine_reason.type)),
                    else_=PaymentRow.quarantine_reason,
                ),
            )
        )

    async def decision_on(self, intent_id: str) -> Decision | None:
        """Use two statements: the payment with its order, and the order's items."""
        statement = (
            select(*PAYMENT_COLUMNS, *ORDER_COLUMNS)
            .outerjoin(OrderRow, OrderRow.payment_intent_id == PaymentRow.intent_id)
            .where(PaymentRow.intent_id == intent_id)
        )
        row = (await self._connection.execute(statement)).first()
        if row is None:
            return None
        return quarantined_of(row) if row.outcome is Outcome.QUARANTINED else await self._purchase(row)

    async def add_order(self, order: Order) -> bool:
        """Insert the order unless its number is taken, then all its items at once."""
        statement = (
            insert_or(OrderRow)
            .values(order_values(order))
            .on_conflict_do_nothing(index_elements=[OrderRow.number])
            .returning(OrderRow.id)
        )
        if (await self._connection.execute(statement)).first() is None:
            return False
        await self._connection.execute(insert(OrderItemRow), item_values(order))
        return True

    async def announce_purchase(self, order: Order) -> None:
        """Write topic `purchase.recorded`, keyed by the order."""
        await self._announce("purchase.recorded", str(order.id), order_payload(order), order.created_at)

    async def announce_quarantine(self, quarantined: QuarantinedPayment) -> None:
        """Write topic `payment.quarantined`, keyed by the intent."""
        key, payload = quarantined.payment.intent.id, quarantine_payload(quarantined)
        await self._announce("payment.quarantined", key, payload, quarantined.quarantined_at)

    async def purchase_of(self, attempt_id: str) -> Purchase | None:
        """Use two statements: the deciding row with its order, and the order's items."""
        statement = (
            select(PaymentRow.attempt_id, PaymentRow.intent_id, PaymentRow.kind, *ORDER_COLUMNS)
            .join(OrderRow, OrderRow.payment_intent_id == PaymentRow.intent_id)
            .where(PaymentRow.attempt_id == attempt_id, PaymentRow.outcome == Outcome.PURCHASE)
        )
        row = (await self._connection.execute(statement)).first()
        return None if row is None else await self._purchase(row)

    async def order(self, order_id: UUID) -> Order | None:
        """Use two statements."""
        orders = await self._orders(select(*ORDER_COLUMNS).where(OrderRow.id == order_id))
        return orders[0] if orders else None

    async def orders_of(self, user_id: str, before: Cursor | None, limit: int) -> list[Order]:
        """Use two statements, however many orders."""
        statement = (
            select(*ORDER_COLUMNS)
            .where(OrderRow.user_id == user_id)
            .order_by(OrderRow.created_at.desc(), OrderRow.id.desc())
            .limit(limit)
        )
        if before is not None:
            statement = statement.where(below(OrderRow.created_at, OrderRow.id, before, UUID(before.id)))
        return await self._orders(statement)

    async def quarantined_payments(self, before: Cursor | None, limit: int) -> list[QuarantinedPayment]:
        """Use one statement."""
        statement = (
            select(*PAYMENT_COLUMNS)
            .where(PaymentRow.outcome == Outcome.QUARANTINED)
            .order_by(PaymentRow.decided_at.desc(), PaymentRow.intent_id.desc())
            .limit(limit)
        )
        if before is not None:
            statement = statement.where(below(PaymentRow.decided_at, PaymentRow.intent_id, before, before.id))
        return [quarantined_of(row) for row in await self._connection.execute(statement)]

    async def commit(self) -> None:
        """Commit the transaction."""
        await self._connection.commit()

    async def _announce(self, topic: str, aggregate_id: str, payload: dict[str, Any], at: datetime) -> None:
        row = {"topic": topic, "aggregate_id": aggregate_id, "payload": payload, "created_at": at}
        await self._connection.execute(insert(OutboxRow).values(row))

    async def _purchase(self, row: Row[Any]) -> Purchase:
        items = await self._items([row.order_id])
        return Purchase(row.attempt_id, Intent(row.intent_id, row.kind), order_of(row, items[row.order_id]))

    async def _orders(self, statement: Select[Any]) -> list[Order]:
        rows = (await self._connection.execute(statement)).all()
        items = await self._items([row.order_id for row in rows])
        return [order_of(row, items[row.order_id]) for row in rows]

    async def _items(self, order_ids: list[UUID]) -> dict[UUID, list[LineItem]]:
        items: dict[UUID, list[LineItem]] = {order_id: [] for order_id in order_ids}
        if not order_ids:
            return items
        statement = (
            select(*ITEM_COLUMNS)
            .join(OrderRow, OrderRow.id == OrderItemRow.order_id)
            .where(OrderItemRow.order_id.in_(order_ids))
            .order_by(OrderItemRow.order_id, OrderItemRow.position)
        )
        for row in await self._connection.execute(statement):
            items[row.order_id].append(item_of(row))
        return items
