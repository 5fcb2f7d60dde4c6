"""Erasing on PostgreSQL. Constraints keep an erased row from naming anybody again."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orders.database import named_failures
from orders.decisions import Outcome
from orders.erasure import OfAttempt, OfOrder, OfUser, Subject, Tally
from orders.schema import PERSONAL_IN_ORDER
from orders.statements import ANNOUNCE, ORDERS, PAYMENTS


class PostgresErasableRecords:
    """The orders and quarantined payments of somebody. Implements ErasableRecords."""

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
        """Count both in one statement, as of one moment."""
        orders = select(func.count()).select_from(ORDERS).where(_erasable_orders(subject))
        payments = select(func.count()).select_from(PAYMENTS).where(_erasable_payments(subject))
        with named_failures():
            async with self._engine.connect() as connection:
                counted = (await connection.execute(select(orders.scalar_subquery(), payments.scalar_subquery()))).one()
        return Tally(*counted)

    async def erase_some(self, subject: Subject, *, limit: int, at: datetime) -> Tally:
        """Erase the oldest first; a second erasure at the same time waits and then finds them erased."""
        with named_failures():
            async with self._engine.begin() as connection:
                orders = await _erase_orders(connection, subject, limit, at)
                payments = await _erase_payments(connection, subject, limit, at)
                await _announce(connection, orders, payments, at)
        return Tally(len(orders), len(payments))


async def _erase_orders(connection: AsyncConnection, subject: Subject, limit: int, at: datetime) -> list[str]:
    """Erase orders and the user of their payments; return the orders' ids."""
    chosen = _locked(
        select(ORDERS.c.id).where(_erasable_orders(subject)).order_by(ORDERS.c.created_at, ORDERS.c.id), limit
    )
    erased = await connection.execute(
        update(ORDERS)
        .where(ORDERS.c.id == chosen.c.id)
        .values(erased_at=at, **dict.fromkeys(PERSONAL_IN_ORDER))
        .returning(ORDERS.c.id, ORDERS.c.payment_intent_id)
    )
    rows = erased.all()
    paid_with = [row.payment_intent_id for row in rows]
    await connection.execute(
        update(PAYMENTS).where(PAYMENTS.c.intent_id.in_(paid_with)).values(erased_at=at, user_id=None)
    )
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


async def _announce(connection: AsyncConnection, orders: list[str], payments: list[str], at: datetime) -> None:
    """Tell those who have read the orders and payments that they too have something to erase."""
    told = [("order.erased", key, {"order_id": key}) for key in orders]
    told += [("payment.erased", key, {"intent_id": key}) for key in payments]
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


def _erasable_payments(subject: Subject) -> ColumnElement[bool]:
    """Of payments that became a purchase the order is erased; one set aside without content names nobody."""
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
