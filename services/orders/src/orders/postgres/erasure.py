"""Erasing on PostgreSQL. Constraints keep an erased row from naming anybody again."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Select, Table, and_, delete, false, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orders.domain.purchases import Outcome
from orders.postgres.connection import named_failures
from orders.postgres.statements import ANNOUNCE, ORDERS, PAYMENTS, SUBSCRIPTIONS
from orders.postgres.subscription_statements import CUSTOMERS
from orders.postgres.table_base import WHO_BOUGHT
from orders.usecases.erasure import OfAttempt, OfOrder, OfUser, Subject, Tally

_IDS_TOLD = {"order": "order_id", "payment": "intent_id", "subscription": "subscription_id"}


class PostgresErasableRecords:
    """What was bought or set aside for somebody. Implements ErasableRecords."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def knows(self, subject: Subject) -> bool:
        """Look under the order number or the attempt."""
        recorded = or_(
            select(ORDERS.c.id).where(_orders_of(subject)).exists(),
            select(PAYMENTS.c.intent_id).where(_payments_of(subject)).exists(),
        )
        with named_failures():
            async with self._engine.connect() as connection:
                return bool((await connection.execute(select(recorded))).scalar_one())

    async def count(self, subject: Subject) -> Tally:
        """Count all in one statement, as of one moment."""
        counts = (
            _count_of(ORDERS, _erasable_orders(subject)),
            _count_of(PAYMENTS, _erasable_payments(subject)),
            _count_of(SUBSCRIPTIONS, _erasable_subscriptions(subject)),
            _count_of(CUSTOMERS, _customer_of(subject)),
        )
        with named_failures():
            async with self._engine.connect() as connection:
                counted = (await connection.execute(select(*counts))).one()
        return Tally(*counted)

    async def erase_some(self, subject: Subject, *, limit: int, at: datetime) -> Tally:
        """Erase the oldest first; a second erasure at the same time waits and then finds them erased."""
        with named_failures():
            async with self._engine.begin() as connection:
                orders = await _erase_orders(connection, subject, limit, at)
                payments = await _erase_payments(connection, subject, limit, at)
                subscriptions = await _erase_subscriptions(connection, subject, limit, at)
                customers = await _erase_customer(connection, subject)
                await _announce(connection, {"order": orders, "payment": payments, "subscription": subscriptions}, at)
        return Tally(len(orders), len(payments), len(subscriptions), customers)


async def _erase_orders(connection: AsyncConnection, subject: Subject, limit: int, at: datetime) -> list[str]:
    """Erase orders and the user of their payments; return the orders' ids."""
    chosen = _locked(
        select(ORDERS.c.id).where(_erasable_orders(subject)).order_by(ORDERS.c.created_at, ORDERS.c.id), limit
    )
    erased = await connection.execute(
        update(ORDERS)
        .where(ORDERS.c.id == chosen.c.id)
        .values(erased_at=at, **dict.fromkeys(WHO_BOUGHT))
        .returning(ORDERS.c.id, ORDERS.c.payment_intent_id)
    )
    rows = erased.all()
    await _erase_payers(connection, [row.payment_intent_id for row in rows], at)
    return [str(row.id) for row in rows]


async def _erase_payments(connection: AsyncConnection, subject: Subject, limit: int, at: datetime) -> list[str]:
    """Erase user and content of quarantined payments; return their intents' ids."""
    chosen = _locked(
        select(PAYMENTS.c.intent_id)
        .where(_erasable_payments(subject))
        .order_by(PAYMENTS.c.decided_at, PAYMENTS.c.intent_id),
        limit,
    )
    erased = await connection.execute(
        update(PAYMENTS)
        .where(PAYMENTS.c.intent_id == chosen.c.intent_id)
        .values(erased_at=at, user_id=None, attempt_content=None)
        .returning(PAYMENTS.c.intent_id)
    )
    return list(erased.scalars())


async def _erase_subscriptions(connection: AsyncConnection, subject: Subject, limit: int, at: datetime) -> list[str]:
    """Erase subscriptions and the user of their payments; return the subscriptions' ids.

    The ids of Stripe's customer and payment method stay: a subscription goes on, or is still to be created, until
    somebody ends it, and without Stripe's account they name nobody.
    """
    chosen = _locked(
        select(SUBSCRIPTIONS.c.id)
        .where(_erasable_subscriptions(subject))
        .order_by(SUBSCRIPTIONS.c.created_at, SUBSCRIPTIONS.c.id),
        limit,
    )
    erased = await connection.execute(
        update(SUBSCRIPTIONS)
        .where(SUBSCRIPTIONS.c.id == chosen.c.id)
        .values(erased_at=at, **dict.fromkeys(WHO_BOUGHT))
        .returning(SUBSCRIPTIONS.c.id, SUBSCRIPTIONS.c.intent_id)
    )
    rows = erased.all()
    await _erase_payers(connection, [row.intent_id for row in rows], at)
    return [str(row.id) for row in rows]


async def _erase_payers(connection: AsyncConnection, intent_ids: list[str], at: datetime) -> None:
    """Erase the user of payments whose order or subscriptions are erased."""
    paid = (PAYMENTS.c.intent_id.in_(intent_ids), PAYMENTS.c.erased_at.is_(None))
    await connection.execute(update(PAYMENTS).where(*paid).values(erased_at=at, user_id=None))


async def _erase_customer(connection: AsyncConnection, subject: Subject) -> int:
    """Forget which Stripe customer is the user's; return how many that were."""
    return (await connection.execute(delete(CUSTOMERS).where(_customer_of(subject)))).rowcount


async def _announce(connection: AsyncConnection, erased: dict[str, list[str]], at: datetime) -> None:
    """Tell those who have read what is erased that they too have something to erase."""
    told = [(f"{what}.erased", key, {_IDS_TOLD[what]: key}) for what, keys in erased.items() for key in keys]
    if told:
        await connection.execute(
            ANNOUNCE,
            [
                {"topic": topic, "aggregate_id": key, "payload": payload, "created_at": at}
                for topic, key, payload in told
            ],
        )


def _locked(rows: Select[Any], limit: int) -> Any:
    # A CTE that locks is run once, so the limit holds.
    return rows.limit(limit).with_for_update().cte("chosen")


def _erasable_orders(subject: Subject) -> ColumnElement[bool]:
    return and_(_orders_of(subject), ORDERS.c.erased_at.is_(None))


def _count_of(table: Table, condition: ColumnElement[bool]) -> ScalarSelect[Any]:
    return select(func.count()).select_from(table).where(condition).scalar_subquery()


def _erasable_subscriptions(subject: Subject) -> ColumnElement[bool]:
    return and_(_subscriptions_of(subject), SUBSCRIPTIONS.c.erased_at.is_(None))


def _erasable_payments(subject: Subject) -> ColumnElement[bool]:
    """Of payments that became a purchase what was bought is erased; one set aside without content names nobody."""
    names_somebody = or_(PAYMENTS.c.user_id.is_not(None), PAYMENTS.c.attempt_content.is_not(None))
    return and_(_payments_of(subject), PAYMENTS.c.outcome == Outcome.QUARANTINED, names_somebody)


def _orders_of(subject: Subject) -> ColumnElement[bool]:
    match subject:
        case OfUser(user_id):
            return ORDERS.c.user_id == user_id
        case OfOrder(number):
            return ORDERS.c.number == number
        case OfAttempt(attempt_id):
            return ORDERS.c.checkout_attempt_id == attempt_id


def _payments_of(subject: Subject) -> ColumnElement[bool]:
    match subject:
        case OfUser(user_id):
            return PAYMENTS.c.user_id == user_id
        case OfOrder(number):
            return PAYMENTS.c.attempt_id.in_(select(ORDERS.c.checkout_attempt_id).where(ORDERS.c.number == number))
        case OfAttempt(attempt_id):
            return PAYMENTS.c.attempt_id == attempt_id


def _subscriptions_of(subject: Subject) -> ColumnElement[bool]:
    match subject:
        case OfUser(user_id):
            return SUBSCRIPTIONS.c.user_id == user_id
        case OfOrder(number):
            attempts = select(ORDERS.c.checkout_attempt_id).where(ORDERS.c.number == number)
            return SUBSCRIPTIONS.c.checkout_attempt_id.in_(attempts)
        case OfAttempt(attempt_id):
            return SUBSCRIPTIONS.c.checkout_attempt_id == attempt_id


def _customer_of(subject: Subject) -> ColumnElement[bool]:
    """Only a user has one that is kept: a guest's is known to the guest's subscriptions alone."""
    return CUSTOMERS.c.user_id == subject.user_id if isinstance(subject, OfUser) else false()
