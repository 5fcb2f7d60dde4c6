"""The ledger on PostgreSQL: Core statements, a fixed number of them for each call."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Result, Row, exc
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orders.domain.checkout import AttemptContent, CheckoutContext, LineItem
from orders.domain.orders import Order
from orders.domain.pagination import Cursor
from orders.domain.payments import Intent, Payment, PaymentReport
from orders.domain.purchases import Decision, Outcome, Purchase, QuarantinedPayment, QuarantineReason
from orders.postgres import statements
from orders.postgres.connection import commit, constraint_of, named_failures
from orders.postgres.content_encryption import ContentSealer
from orders.postgres.rows import (
    below,
    item_of,
    item_values,
    order_of,
    order_values,
    purchase_payload,
    purchase_values,
    quarantine_payload,
    quarantine_values,
    quarantined_of,
)
from orders.postgres.subscriptions import PostgresSubscriptionLedger
from orders.postgres.tables import ONE_PURCHASE_PER_ATTEMPT
from orders.usecases.unit_of_work import Ledger
from servicekit.encryption import Keyring


class PostgresUnits:
    """Begins units of work on PostgreSQL."""

    def __init__(self, engine: AsyncEngine, keyring: Keyring) -> None:
        self._engine = engine
        self._sealer = ContentSealer(keyring)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Ledger]:
        """Begin a transaction, at PostgreSQL's default isolation: every race is decided by a constraint."""
        with named_failures():
            async with self._engine.connect() as connection:
                yield PostgresLedger(connection, self._sealer)


class PostgresLedger(PostgresSubscriptionLedger):
    """One transaction."""

    def __init__(self, connection: AsyncConnection, sealer: ContentSealer) -> None:
        super().__init__(connection)
        self._sealer = sealer

    async def decide_purchase(
        self, payment: Payment, context: CheckoutContext, report: PaymentReport, at: datetime
    ) -> bool:
        """Insert the deciding row, unless a constraint stands in the way."""
        return await self._hits(statements.DECIDE, purchase_values(payment, context, report, at))

    async def decide_quarantine(self, quarantined: QuarantinedPayment) -> bool:
        """Insert the deciding row, unless the primary key stands in the way."""
        return await self._hits(statements.DECIDE, quarantine_values(quarantined, self._sealer))

    async def promote(self, payment: Payment, context: CheckoutContext, report: PaymentReport, at: datetime) -> bool:
        """Update under the guard, in a savepoint: another intent may hold, or just take, the attempt's purchase."""
        values = {"promoted_intent_id": payment.intent.id, **purchase_values(payment, context, report, at)}
        try:
            async with self._connection.begin_nested():
                return await self._hits(statements.PROMOTE, values)
        except exc.IntegrityError as error:
            if constraint_of(error) != ONE_PURCHASE_PER_ATTEMPT:
                raise
            return False

    async def complete(self, intent_id: str, reason: QuarantineReason, content: AttemptContent) -> None:
        """Update under the guard that there is no content yet."""
        values = {
            "completed_intent_id": intent_id,
            "better_reason": reason,
            "attempt_content": self._sealer.seal(intent_id, content),
            "user_id": content.user_id,
        }
        await self._connection.execute(statements.COMPLETE, values)

    async def decision_on(self, intent_id: str) -> Decision | None:
        """Lock the payment and read it with its order, then the order's items; three statements more for subscriptions.

        Whoever is answered it deletes the attempt, but it may be committed here and not yet on a synchronous standby.
        Only a transaction that writes, if only a lock, waits for the standby when it commits.
        """
        if (await self._connection.execute(statements.LOCK_DECISION, {"intent_id": intent_id})).first() is None:
            return None
        row = (await self._connection.execute(statements.FIND_DECISION, {"intent_id": intent_id})).one()
        if row.outcome is Outcome.QUARANTINED:
            return quarantined_of(row, self._sealer)
        return await self._purchase(row)

    async def add_order(self, order: Order) -> bool:
        """Insert the order unless its number is taken, then all its items at once."""
        if not await self._hits(statements.ADD_ORDER, order_values(order)):
            return False
        await self._connection.execute(statements.ADD_ITEMS, item_values(order))
        return True

    async def announce_purchase(self, purchase: Purchase, at: datetime) -> None:
        """Write topic `purchase.recorded`, keyed by the order, or by the intent where there is none."""
        key = str(purchase.order.id) if purchase.order else purchase.intent.id
        await self._announce("purchase.recorded", key, purchase_payload(purchase), at)

    async def announce_quarantine(self, quarantined: QuarantinedPayment) -> None:
        """Write topic `payment.quarantined`, keyed by the intent."""
        key, payload = quarantined.payment.intent.id, quarantine_payload(quarantined)
        await self._announce("payment.quarantined", key, payload, quarantined.quarantined_at)

    async def purchase_of(self, attempt_id: str) -> Purchase | None:
        """Use two statements, the deciding row with its order, and the order's items; three more for subscriptions."""
        row = (await self._connection.execute(statements.FIND_PURCHASE, {"attempt_id": attempt_id})).first()
        return None if row is None else await self._purchase(row)

    async def order(self, order_id: UUID) -> Order | None:
        """Use two statements."""
        row = (await self._connection.execute(statements.FIND_ORDER, {"order_id": order_id})).first()
        return None if row is None else (await self._with_items([row]))[0]

    async def orders_of(self, user_id: str, before: Cursor | None, limit: int) -> list[Order]:
        """Use two statements, however many orders."""
        statement = statements.LIST_ORDERS.limit(limit)
        if before is not None:
            place = (statements.ORDERS.c.created_at, statements.ORDERS.c.id)
            statement = statement.where(below(place, before.at, UUID(before.id)))
        return await self._with_items((await self._connection.execute(statement, {"user_id": user_id})).all())

    async def quarantined_payments(self, before: Cursor | None, limit: int) -> list[QuarantinedPayment]:
        """Use one statement."""
        statement = statements.LIST_QUARANTINED.limit(limit)
        if before is not None:
            place = (statements.PAYMENTS.c.decided_at, statements.PAYMENTS.c.intent_id)
            statement = statement.where(below(place, before.at, before.id))
        return [quarantined_of(row, self._sealer) for row in await self._connection.execute(statement)]

    async def commit(self) -> None:
        """Commit the transaction, on the standbys too that PostgreSQL is told to wait for."""
        await commit(self._connection)

    async def _announce(self, topic: str, aggregate_id: str, payload: dict[str, Any], at: datetime) -> None:
        values = {"topic": topic, "aggregate_id": aggregate_id, "payload": payload, "created_at": at}
        await self._connection.execute(statements.ANNOUNCE, values)

    async def _purchase(self, row: Row[Any]) -> Purchase:
        order = (await self._with_items([row]))[0] if row.order_id is not None else None
        subscriptions = await self._subscriptions_of_attempt(row.attempt_id) if row.has_subscriptions else ()
        return Purchase(row.attempt_id, Intent(row.intent_id, row.kind), order, subscriptions)

    async def _with_items(self, rows: Sequence[Row[Any]]) -> list[Order]:
        items: dict[UUID, list[LineItem]] = {row.order_id: [] for row in rows}
        found: Result[Any] = await self._connection.execute(statements.FIND_ITEMS, {"order_ids": list(items)})
        for item in found:
            items[item.order_id].append(item_of(item))
        return [order_of(row, items[row.order_id]) for row in rows]
