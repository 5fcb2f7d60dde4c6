"""Erasing personal data on PostgreSQL. Constraints keep it from coming back into an erased row."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Select, Table, and_, delete, false, func, or_, select, union, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orders.domain.outbox import OutboxEvent
from orders.domain.purchases import Outcome
from orders.postgres.connection import translate_errors
from orders.postgres.rows import outbox_event_to_row
from orders.postgres.statements import INSERT_OUTBOX_EVENT, ORDERS, PAYMENTS, SUBSCRIPTIONS
from orders.postgres.subscription_statements import CUSTOMERS
from orders.postgres.table_base import PERSONAL_COLUMNS
from orders.usecases.erasure import ByAttempt, ByOrder, ByUser, ErasureCounts, Subject


class PostgresErasureRepository:
    """Implements ErasureRepository."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def is_recorded(self, subject: Subject) -> bool:
        """Look for orders and payments."""
        recorded = or_(
            select(ORDERS.c.id).where(_orders_of(subject)).exists(),
            select(PAYMENTS.c.intent_id).where(_payments_of(subject)).exists(),
        )
        with translate_errors():
            async with self._engine.connect() as connection:
                return bool((await connection.execute(select(recorded))).scalar_one())

    async def count(self, subject: Subject) -> ErasureCounts:
        """Count everything in one statement, as of one moment."""
        counts = (
            _count(ORDERS, _erasable_orders(subject)),
            _count(PAYMENTS, _erasable_payments(subject)),
            _count(SUBSCRIPTIONS, _erasable_subscriptions(subject)),
            _count(CUSTOMERS, _customers_of(subject)),
            _stripe_customers_of(subject),
        )
        with translate_errors():
            async with self._engine.connect() as connection:
                *numbers, stripe_customers = (await connection.execute(select(*counts))).one()
        return replace(ErasureCounts(*numbers), stripe_customers=frozenset(stripe_customers or ()))

    async def erase_batch(self, subject: Subject, *, limit: int, at: datetime) -> ErasureCounts:
        """Erase the oldest rows first. A concurrent erasure waits for their locks and then skips them."""
        with translate_errors():
            async with self._engine.begin() as connection:
                # Payments first: one that becomes the purchase meanwhile is met again with its order.
                payments = await _erase_payments(connection, subject, limit, at)
                orders = await _erase_orders(connection, subject, limit, at)
                subscriptions = await _erase_subscriptions(connection, subject, limit, at)
                customers = await _delete_customers(connection, subject)
                erased = [OutboxEvent.subscription_erased(subscription_id) for subscription_id in subscriptions]
                await _enqueue_events(connection, [*orders, *payments, *erased], at)
        stripe_customers = frozenset((*customers, *subscriptions.values()))
        return ErasureCounts(len(orders), len(payments), len(subscriptions), len(customers), stripe_customers)


async def _erase_orders(connection: AsyncConnection, subject: Subject, limit: int, at: datetime) -> list[OutboxEvent]:
    """Erase orders, and the user of their payments."""
    batch = _locked_batch(
        select(ORDERS.c.id).where(_erasable_orders(subject)).order_by(ORDERS.c.created_at, ORDERS.c.id), limit
    )
    erased = await connection.execute(
        update(ORDERS)
        .where(ORDERS.c.id == batch.c.id)
        .values(erased_at=at, **dict.fromkeys(PERSONAL_COLUMNS))
        .returning(ORDERS.c.id, ORDERS.c.payment_intent_id)
    )
    rows = erased.all()
    await _erase_user_of_payments(connection, [row.payment_intent_id for row in rows], at)
    return [OutboxEvent.order_erased(str(row.id)) for row in rows]


async def _erase_payments(connection: AsyncConnection, subject: Subject, limit: int, at: datetime) -> list[OutboxEvent]:
    """Erase user and content of quarantined payments."""
    batch = _locked_batch(
        select(PAYMENTS.c.intent_id)
        .where(_erasable_payments(subject))
        .order_by(PAYMENTS.c.decided_at, PAYMENTS.c.intent_id),
        limit,
    )
    erased = await connection.execute(
        update(PAYMENTS)
        .where(PAYMENTS.c.intent_id == batch.c.intent_id)
        .values(erased_at=at, user_id=None, attempt_content=None, encrypted_content=None, encrypted_key_id=None)
        .returning(PAYMENTS.c.intent_id)
    )
    return [OutboxEvent.payment_erased(intent_id) for intent_id in erased.scalars()]


async def _erase_subscriptions(
    connection: AsyncConnection, subject: Subject, limit: int, at: datetime
) -> dict[str, str]:
    """Erase subscriptions, and the user of their payments; return their Stripe customers by id.

    The ids of Stripe's customer and payment method stay: the subscription continues, or is still to be created, until
    it is cancelled, and the ids identify nobody without access to Stripe.
    """
    batch = _locked_batch(
        select(SUBSCRIPTIONS.c.id)
        .where(_erasable_subscriptions(subject))
        .order_by(SUBSCRIPTIONS.c.created_at, SUBSCRIPTIONS.c.id),
        limit,
    )
    erased = await connection.execute(
        update(SUBSCRIPTIONS)
        .where(SUBSCRIPTIONS.c.id == batch.c.id)
        .values(erased_at=at, **dict.fromkeys(PERSONAL_COLUMNS))
        .returning(SUBSCRIPTIONS.c.id, SUBSCRIPTIONS.c.intent_id, SUBSCRIPTIONS.c.stripe_customer_id)
    )
    rows = erased.all()
    await _erase_user_of_payments(connection, [row.intent_id for row in rows], at)
    return {str(row.id): row.stripe_customer_id for row in rows}


async def _erase_user_of_payments(connection: AsyncConnection, intent_ids: list[str], at: datetime) -> None:
    not_erased = (PAYMENTS.c.intent_id.in_(intent_ids), PAYMENTS.c.erased_at.is_(None))
    await connection.execute(update(PAYMENTS).where(*not_erased).values(erased_at=at, user_id=None))


async def _delete_customers(connection: AsyncConnection, subject: Subject) -> list[str]:
    """Delete the user's customers of all currencies; return their ids."""
    deleted = delete(CUSTOMERS).where(_customers_of(subject)).returning(CUSTOMERS.c.stripe_customer_id)
    return list((await connection.execute(deleted)).scalars())


async def _enqueue_events(connection: AsyncConnection, events: Iterable[OutboxEvent], at: datetime) -> None:
    """Tell the systems that have read the erased data to erase it too."""
    rows = [outbox_event_to_row(event, at) for event in events]
    if rows:
        await connection.execute(INSERT_OUTBOX_EVENT, rows)


def _locked_batch(rows: Select[Any], limit: int) -> Any:
    # PostgreSQL evaluates a CTE with FOR UPDATE once, so the limit holds.
    return rows.limit(limit).with_for_update().cte("batch")


def _count(table: Table, condition: ColumnElement[bool]) -> ScalarSelect[Any]:
    return select(func.count()).select_from(table).where(condition).scalar_subquery()


def _stripe_customers_of(subject: Subject) -> ScalarSelect[Any]:
    ids = union(
        select(CUSTOMERS.c.stripe_customer_id).where(_customers_of(subject)),
        select(SUBSCRIPTIONS.c.stripe_customer_id).where(_erasable_subscriptions(subject)),
    ).subquery()
    return select(func.array_agg(ids.c.stripe_customer_id)).scalar_subquery()


def _erasable_orders(subject: Subject) -> ColumnElement[bool]:
    return and_(_orders_of(subject), ORDERS.c.erased_at.is_(None))


def _erasable_subscriptions(subject: Subject) -> ColumnElement[bool]:
    return and_(_subscriptions_of(subject), SUBSCRIPTIONS.c.erased_at.is_(None))


def _erasable_payments(subject: Subject) -> ColumnElement[bool]:
    """Select quarantined payments with personal data. Purchases are erased with their orders and subscriptions."""
    personal = (PAYMENTS.c.user_id, PAYMENTS.c.attempt_content, PAYMENTS.c.encrypted_content)
    has_personal_data = or_(*(column.is_not(None) for column in personal))
    return and_(_payments_of(subject), PAYMENTS.c.outcome == Outcome.QUARANTINED, has_personal_data)


def _orders_of(subject: Subject) -> ColumnElement[bool]:
    match subject:
        case ByUser(user_id):
            return ORDERS.c.user_id == user_id
        case ByOrder(number):
            return ORDERS.c.number == number
        case ByAttempt(attempt_id):
            return ORDERS.c.checkout_attempt_id == attempt_id


def _payments_of(subject: Subject) -> ColumnElement[bool]:
    match subject:
        case ByUser(user_id):
            return PAYMENTS.c.user_id == user_id
        case ByOrder(number):
            return PAYMENTS.c.attempt_id.in_(_attempt_of_order(number))
        case ByAttempt(attempt_id):
            return PAYMENTS.c.attempt_id == attempt_id


def _subscriptions_of(subject: Subject) -> ColumnElement[bool]:
    match subject:
        case ByUser(user_id):
            return SUBSCRIPTIONS.c.user_id == user_id
        case ByOrder(number):
            return SUBSCRIPTIONS.c.checkout_attempt_id.in_(_attempt_of_order(number))
        case ByAttempt(attempt_id):
            return SUBSCRIPTIONS.c.checkout_attempt_id == attempt_id


def _attempt_of_order(number: str) -> Select[Any]:
    return select(ORDERS.c.checkout_attempt_id).where(ORDERS.c.number == number)


def _customers_of(subject: Subject) -> ColumnElement[bool]:
    """Select a user's customers. The customer of a guest is stored with the guest's subscriptions only."""
    return CUSTOMERS.c.user_id == subject.user_id if isinstance(subject, ByUser) else false()
