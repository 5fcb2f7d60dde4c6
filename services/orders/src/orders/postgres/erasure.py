"""Erasing personal data on PostgreSQL. Constraints keep it from coming back into an erased row."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    ScalarSelect,
    Select,
    Table,
    and_,
    delete,
    false,
    func,
    or_,
    select,
    union,
    update,
)
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orders.domain.outbox import OutboxEvent
from orders.postgres.connection import durable_transaction, translate_errors
from orders.postgres.rows import outbox_event_to_row
from orders.postgres.statements import INSERT_OUTBOX_EVENT, IS_PURCHASE, IS_QUARANTINED, ORDERS, PAYMENTS, SUBSCRIPTIONS
from orders.postgres.subscription_statements import CUSTOMERS
from orders.postgres.table_base import PERSONAL_COLUMNS
from orders.usecases.erasure import ByAttempt, ByOrder, ByUser, ErasureCounts, Subject

_PERSONAL_COLUMNS_OF_PAYMENTS: Final = ("user_id", "stripe_customer_id", "attempt_content", "encrypted_content")


class PostgresErasureRepository:
    """Implements ErasureRepository."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def is_recorded(self, subject: Subject) -> bool:
        """Look for orders, and for payments by the indexes of both outcomes."""
        recorded = or_(
            select(ORDERS.c.id).where(_orders_of(subject)).exists(),
            *(
                select(PAYMENTS.c.intent_id).where(_payments_of(subject), outcome).exists()
                for outcome in (IS_PURCHASE, IS_QUARANTINED)
            ),
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
        )
        with translate_errors():
            async with self._engine.connect() as connection:
                return ErasureCounts(*(await connection.execute(select(*counts))).one())

    async def erase_batch(self, subject: Subject, *, limit: int, at: datetime) -> ErasureCounts:
        """Erase the oldest rows first. A concurrent erasure waits for their locks and then skips them."""
        async with durable_transaction(self._engine) as connection:
            # Payments first: one that becomes the purchase meanwhile is met again with its order.
            payments = await _erase_payments(connection, subject, limit, at)
            orders = await _erase_orders(connection, subject, limit, at)
            subscriptions = await _erase_subscriptions(connection, subject, limit, at)
            customers = await _erase_customers(connection, subject, at)
            await _enqueue_events(connection, [*orders, *payments, *subscriptions], at)
        return ErasureCounts(len(orders), len(payments), len(subscriptions), customers)

    async def stripe_customers(self, subject: Subject | None = None) -> frozenset[str]:
        """Use one statement."""
        named = _erased_customers() if subject is None else union(_erased_customers(), _stripe_customers_of(subject))
        with translate_errors():
            async with self._engine.connect() as connection:
                return frozenset((await connection.execute(named)).scalars())

    async def forget_customers(self, stripe_customer_ids: Sequence[str]) -> None:
        """Delete the rows. The customer of a user who was not erased stays."""
        named = CUSTOMERS.c.stripe_customer_id.in_(stripe_customer_ids)
        async with durable_transaction(self._engine) as connection:
            await connection.execute(delete(CUSTOMERS).where(named, CUSTOMERS.c.erased_at.is_not(None)))


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
    """Erase user, customer and content of quarantined payments."""
    batch = _locked_batch(
        select(PAYMENTS.c.intent_id, PAYMENTS.c.stripe_customer_id)
        .where(_erasable_payments(subject))
        .order_by(PAYMENTS.c.decided_at, PAYMENTS.c.intent_id),
        limit,
    )
    erased = await connection.execute(
        update(PAYMENTS)
        .where(PAYMENTS.c.intent_id == batch.c.intent_id)
        .values(erased_at=at, encrypted_key_id=None, **dict.fromkeys(_PERSONAL_COLUMNS_OF_PAYMENTS))
        .returning(PAYMENTS.c.intent_id, batch.c.stripe_customer_id)
    )
    rows = erased.all()
    await _keep_customers(connection, [row.stripe_customer_id for row in rows], at)
    return [OutboxEvent.payment_erased(row.intent_id) for row in rows]


async def _erase_subscriptions(
    connection: AsyncConnection, subject: Subject, limit: int, at: datetime
) -> list[OutboxEvent]:
    """Erase subscriptions, and the user of their payments.

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
    await _keep_customers(connection, [row.stripe_customer_id for row in rows], at)
    return [OutboxEvent.subscription_erased(str(row.id)) for row in rows]


async def _erase_user_of_payments(connection: AsyncConnection, intent_ids: list[str], at: datetime) -> None:
    not_erased = (PAYMENTS.c.intent_id.in_(intent_ids), PAYMENTS.c.erased_at.is_(None))
    await connection.execute(update(PAYMENTS).where(*not_erased).values(erased_at=at, user_id=None))


async def _erase_customers(connection: AsyncConnection, subject: Subject, at: datetime) -> int:
    """Take the user's customers of all currencies from the user; return their number."""
    erased = (
        update(CUSTOMERS)
        .where(_customers_of(subject))
        .values(user_id=None, currency=None, erased_at=at)
        .returning(CUSTOMERS.c.stripe_customer_id)
    )
    return len((await connection.execute(erased)).all())


async def _keep_customers(connection: AsyncConnection, stripe_customer_ids: Iterable[str | None], at: datetime) -> None:
    """Store the customers of erased records as erased, unless a user has them: the user's other records name them."""
    # Sorted: two erasures that wait for each other's rows would end in a deadlock.
    ids = sorted({each for each in stripe_customer_ids if each is not None})
    if ids:
        rows = [{"stripe_customer_id": each, "erased_at": at} for each in ids]
        await connection.execute(postgres_insert(CUSTOMERS).on_conflict_do_nothing(), rows)


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


def _erased_customers() -> Select[Any]:
    return select(CUSTOMERS.c.stripe_customer_id).where(CUSTOMERS.c.erased_at.is_not(None))


def _stripe_customers_of(subject: Subject) -> CompoundSelect[Any]:
    """Select what an erasure of the subject would add to the erased customers."""
    of_records = union(
        select(SUBSCRIPTIONS.c.stripe_customer_id).where(_erasable_subscriptions(subject)),
        select(PAYMENTS.c.stripe_customer_id).where(_erasable_payments(subject)),
    ).subquery()
    of_user = select(CUSTOMERS.c.stripe_customer_id).where(
        CUSTOMERS.c.stripe_customer_id == of_records.c.stripe_customer_id, CUSTOMERS.c.user_id.is_not(None)
    )
    return union(
        select(CUSTOMERS.c.stripe_customer_id).where(_customers_of(subject)),
        select(of_records.c.stripe_customer_id).where(of_records.c.stripe_customer_id.is_not(None), ~of_user.exists()),
    )


def _erasable_orders(subject: Subject) -> ColumnElement[bool]:
    return and_(_orders_of(subject), ORDERS.c.erased_at.is_(None))


def _erasable_subscriptions(subject: Subject) -> ColumnElement[bool]:
    return and_(_subscriptions_of(subject), SUBSCRIPTIONS.c.erased_at.is_(None))


def _erasable_payments(subject: Subject) -> ColumnElement[bool]:
    """Select quarantined payments with personal data. Purchases are erased with their orders and subscriptions."""
    has_personal_data = or_(*(PAYMENTS.c[name].is_not(None) for name in _PERSONAL_COLUMNS_OF_PAYMENTS))
    return and_(_payments_of(subject), IS_QUARANTINED, has_personal_data)


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
