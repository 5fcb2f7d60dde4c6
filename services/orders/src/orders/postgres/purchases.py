"""Payment decisions and orders on PostgreSQL, with a fixed number of statements for each method."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Executable, Result, Row, exc
from sqlalchemy.ext.asyncio import AsyncConnection

from orders.domain.checkout import CheckoutContext, LineItem
from orders.domain.orders import Order, OrderStatus
from orders.domain.outbox import OutboxEvent
from orders.domain.pagination import Cursor
from orders.domain.payments import Intent, Payment, PaymentReport
from orders.domain.purchases import Decision, Outcome, Purchase, QuarantinedPayment
from orders.postgres import statements
from orders.postgres.connection import affected, constraint_of
from orders.postgres.content_encryption import ContentCipher
from orders.postgres.purchase_insert import insert_purchase
from orders.postgres.rows import (
    after_cursor,
    content_to_row,
    order_from_row,
    order_item_from_row,
    order_items_to_rows,
    order_to_row,
    outbox_event_to_row,
    purchase_to_row,
    quarantined_from_row,
    quarantined_to_row,
)
from orders.postgres.subscriptions import PostgresSubscriptionRepository
from orders.postgres.tables import ONE_PURCHASE_PER_ATTEMPT


class PostgresPurchaseRepository:
    """Implements PurchaseRepository."""

    def __init__(
        self, connection: AsyncConnection, cipher: ContentCipher, subscriptions: PostgresSubscriptionRepository
    ) -> None:
        self._connection = connection
        self._cipher = cipher
        self._subscriptions = subscriptions

    async def decide_purchase(
        self, payment: Payment, context: CheckoutContext, report: PaymentReport, at: datetime
    ) -> bool:
        """Insert the decision row, unless a unique index refuses it."""
        row = purchase_to_row(payment, context, report, at)
        return await affected(self._connection, statements.INSERT_DECISION, row)

    async def decide_with_order(
        self, payment: Payment, context: CheckoutContext, report: PaymentReport, order: Order, event: OutboxEvent
    ) -> bool:
        """Use one statement for all."""
        return await insert_purchase(
            self._connection,
            purchase_to_row(payment, context, report, order.created_at),
            order_to_row(order),
            order_items_to_rows(order),
            outbox_event_to_row(event, order.created_at),
        )

    async def decide_quarantine(self, quarantined: QuarantinedPayment) -> bool:
        """Insert the decision row, unless the primary key refuses it."""
        row = quarantined_to_row(quarantined, self._cipher)
        return await affected(self._connection, statements.INSERT_DECISION, row)

    async def promote_to_purchase(
        self, payment: Payment, context: CheckoutContext, report: PaymentReport, at: datetime
    ) -> bool:
        """Update the decision row if it awaits its attempt, or its refund failed."""
        return await self._promote(statements.PROMOTE_TO_PURCHASE, purchase_to_row(payment, context, report, at))

    async def settle_as_purchase(
        self, payment: Payment, context: CheckoutContext, report: PaymentReport, at: datetime
    ) -> bool:
        """Update the decision row if it is unresolved."""
        return await self._promote(statements.SETTLE_AS_PURCHASE, purchase_to_row(payment, context, report, at))

    async def amend_quarantine(self, requested: QuarantinedPayment) -> None:
        """Update the decision row if it has no content."""
        intent_id = requested.payment.intent.id
        values = {
            "key_intent_id": intent_id,
            "new_reason": requested.reason,
            "new_reason_before_refund": requested.reason_before_refund,
            "new_customer_id": requested.payment.customer_id,
            **content_to_row(intent_id, requested.content, self._cipher),
        }
        await self._connection.execute(statements.AMEND_QUARANTINE, values)

    async def resolve_refunded(self, intent_id: str, at: datetime) -> bool:
        """Update the decision row if it is an unresolved quarantine."""
        values = {"key_intent_id": intent_id, "resolved_at": at}
        return await affected(self._connection, statements.RESOLVE_REFUNDED, values)

    async def reopen_refunded(self, intent_id: str) -> bool:
        """Update the decision row if a refund resolved it."""
        return await affected(self._connection, statements.REOPEN_REFUNDED, {"key_intent_id": intent_id})

    async def has_other_purchase(self, attempt_id: str, intent_id: str) -> bool:
        """Look into the index that allows one purchase for each attempt."""
        values = {"attempt_id": attempt_id, "intent_id": intent_id}
        return bool((await self._connection.execute(statements.HAS_OTHER_PURCHASE, values)).scalar_one())

    async def lock_decision(self, intent_id: str) -> Decision | None:
        """Lock the decision row, and read it in a second statement, which sees what the lock waited for.

        Callers delete the attempt on this answer. The decision may not be on a synchronous standby yet: the lock makes
        COMMIT wait for it.
        """
        if (await self._connection.execute(statements.LOCK_DECISION, {"intent_id": intent_id})).first() is None:
            return None
        return await self.find_decision(intent_id)

    async def find_decision(self, intent_id: str) -> Decision | None:
        """Use one statement for a quarantined payment, and those of `find_purchase` for a purchase."""
        row = (await self._connection.execute(statements.SELECT_DECISION, {"intent_id": intent_id})).first()
        if row is None:
            return None
        if row.outcome is Outcome.QUARANTINED:
            return quarantined_from_row(row, self._cipher)
        return await self._purchase(row)

    async def add_order(self, order: Order) -> bool:
        """Insert the order unless its number is taken, then all its items at once."""
        if not await affected(self._connection, statements.INSERT_ORDER, order_to_row(order)):
            return False
        await self._connection.execute(statements.INSERT_ORDER_ITEMS, order_items_to_rows(order))
        return True

    async def put_order_status(self, order_id: UUID, status: OrderStatus) -> None:
        """Update the order's row."""
        await self._connection.execute(statements.PUT_ORDER_STATUS, {"key_id": order_id, "status": status})

    async def find_purchase(self, attempt_id: str) -> Purchase | None:
        """Use two statements, and four more if there are subscriptions."""
        row = (await self._connection.execute(statements.SELECT_PURCHASE, {"attempt_id": attempt_id})).first()
        return None if row is None else await self._purchase(row)

    async def find_order(self, order_id: UUID) -> Order | None:
        """Use two statements."""
        row = (await self._connection.execute(statements.SELECT_ORDER, {"order_id": order_id})).first()
        return None if row is None else (await self._with_items([row]))[0]

    async def list_orders(self, user_id: str, after: Cursor | None, limit: int) -> list[Order]:
        """Use two statements, however many orders there are."""
        statement = statements.SELECT_ORDERS_OF_USER.limit(limit)
        if after is not None:
            keyset = (statements.ORDERS.c.created_at, statements.ORDERS.c.id)
            statement = statement.where(after_cursor(keyset, after.at, UUID(after.id)))
        return await self._with_items((await self._connection.execute(statement, {"user_id": user_id})).all())

    async def list_quarantined(self, after: Cursor | None, limit: int) -> list[QuarantinedPayment]:
        """Use one statement."""
        statement = statements.SELECT_QUARANTINED.limit(limit)
        if after is not None:
            keyset = (statements.PAYMENTS.c.decided_at, statements.PAYMENTS.c.intent_id)
            statement = statement.where(after_cursor(keyset, after.at, after.id))
        return [quarantined_from_row(row, self._cipher) for row in await self._connection.execute(statement)]

    async def _promote(self, statement: Executable, row: dict[str, Any]) -> bool:
        """Update in a savepoint: another intent may get the attempt's purchase at the same time."""
        try:
            async with self._connection.begin_nested():
                return await affected(self._connection, statement, {"key_intent_id": row["intent_id"], **row})
        except exc.IntegrityError as error:
            if constraint_of(error) != ONE_PURCHASE_PER_ATTEMPT:
                raise
            return False

    async def _purchase(self, row: Row[Any]) -> Purchase:
        order = (await self._with_items([row]))[0] if row.order_id is not None else None
        subscriptions = await self._subscriptions.list_of_attempt(row.attempt_id) if row.has_subscriptions else ()
        return Purchase(row.attempt_id, Intent(row.intent_id, row.kind), order, tuple(subscriptions))

    async def _with_items(self, rows: Sequence[Row[Any]]) -> list[Order]:
        items: dict[UUID, list[LineItem]] = {row.order_id: [] for row in rows}
        found: Result[Any] = await self._connection.execute(statements.SELECT_ORDER_ITEMS, {"order_ids": list(items)})
        for item in found:
            items[item.order_id].append(order_item_from_row(item))
        return [order_from_row(row, items[row.order_id]) for row in rows]
