"""Use cases on a unit of work of PostgreSQL, where a test needs other random numbers or no commit."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from orders.api.purchases import paid_attempt_from_proto
from orders.domain.checkout import AttemptContent, CheckoutContext, Contact, LineItem, Money
from orders.domain.customers import CustomerOwner
from orders.domain.payments import Intent, IntentKind, Payment, PaymentReport, ReportChannel
from orders.domain.purchases import Purchase, QuarantinedPayment, QuarantineReason
from orders.domain.refunds import RefundSums
from orders.postgres.unit_of_work import PostgresUnitOfWorkFactory
from orders.usecases.purchase_writer import OrderNumbersExhausted, PurchaseWriter
from orders.usecases.purchases import PaidAttempt, PurchaseRecorder
from orders.usecases.quarantine import QuarantineService
from servicekit.encryption import Keyring

from ..builders import purchase
from ..service import events_held, lock_waiters, until

AT = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
OWNER = CustomerOwner("user_1", "eur")
REPORT = PaymentReport(ReportChannel.RECONCILER, None)
ROWS = [
    "SELECT * FROM payments",
    "SELECT * FROM orders",
    "SELECT * FROM order_items ORDER BY position",
    "SELECT topic, aggregate_id, payload, created_at, published_at FROM outbox",
]


@pytest.fixture
def begin(engine: AsyncEngine) -> PostgresUnitOfWorkFactory:
    """Return a factory of units of work."""
    return PostgresUnitOfWorkFactory(engine, Keyring.unencrypted())


def paid(number: int) -> PaidAttempt:
    """Return a paid attempt."""
    items = (LineItem("price_1", "prod_1", "Mug", 4, Money(500, "eur")),)
    context = CheckoutContext(None, Contact("Ada", "ada@shop.example", None), None, None, items, Money(2000, "eur"))
    payment = Payment(
        Intent(f"pi_{number}", IntentKind.PAYMENT),
        f"attempt-{number}",
        Money(2000, "eur"),
        livemode=True,
        intent_created_at=AT,
    )
    return PaidAttempt(payment, context, AttemptContent(None, b"content"), REPORT)


async def test_an_order_number_that_is_taken_is_generated_again(begin: PostgresUnitOfWorkFactory) -> None:
    """Two orders never share a number, even if the random numbers repeat."""
    numbers = iter([0] * 8 + [0] * 8 + [1] * 8)
    recorder = PurchaseRecorder(begin, lambda: AT, PurchaseWriter(uuid4, lambda _: next(numbers)))

    purchases = [(await recorder.record(paid(number))).decision for number in (1, 2)]

    assert len({each.order.number for each in purchases if isinstance(each, Purchase) and each.order}) == 2
    assert next(numbers, None) is None


async def test_of_two_orders_that_draw_one_number_at_once_the_later_draws_another(
    begin: PostgresUnitOfWorkFactory, database_url: str, sql: Any
) -> None:
    """The later one waits until the number is taken for good."""
    numbers = iter([0] * 8 + [0] * 8 + [1] * 8)
    recorder = PurchaseRecorder(begin, lambda: AT, PurchaseWriter(uuid4, lambda _: next(numbers)))

    async with events_held(database_url):
        first = asyncio.ensure_future(recorder.record(paid(1)))
        await until(lambda: _waiters(sql, 1))
        second = asyncio.ensure_future(recorder.record(paid(2)))
        await until(lambda: _waiters(sql, 2))
    results = await asyncio.gather(first, second)

    assert [result.already_recorded for result in results] == [False, False]
    assert await sql.fetchval("SELECT count(DISTINCT number) FROM orders") == 2


async def test_one_statement_writes_what_a_statement_for_each_table_writes(
    begin: PostgresUnitOfWorkFactory, sql: Any
) -> None:
    """The later reports of an intent, and carts with subscriptions, take the separate statements."""
    attempt = paid_attempt_from_proto(purchase())
    writer = PurchaseWriter(lambda: UUID(int=1), lambda _: 0)
    await PurchaseRecorder(begin, lambda: AT, writer).record(attempt)
    by_one_statement = [await sql.fetch(rows) for rows in ROWS]
    await sql.execute("TRUNCATE payments, outbox CASCADE")

    async with begin() as unit:
        await unit.purchases.decide_purchase(attempt.payment, attempt.context, attempt.report, AT)
        await writer.write(unit, attempt.payment, attempt.context, RefundSums({}, {}), at=AT)
        await unit.commit()

    assert by_one_statement == [await sql.fetch(rows) for rows in ROWS]
    assert [len(rows) for rows in by_one_statement] == [1, 1, len(attempt.context.items), 1]


async def test_p3_a_purchase_without_an_order_number_leaves_nothing(begin: PostgresUnitOfWorkFactory) -> None:
    """The decision is rolled back with the order that could not be written."""
    recorder = PurchaseRecorder(begin, lambda: AT, PurchaseWriter(uuid4, lambda _: 0))
    await recorder.record(paid(1))

    with pytest.raises(OrderNumbersExhausted):
        await recorder.record(paid(2))

    async with begin() as unit:
        assert await unit.purchases.lock_decision("pi_2") is None


async def test_leaving_without_commit_rolls_back(begin: PostgresUnitOfWorkFactory) -> None:
    """A unit of work that is not committed leaves nothing."""
    attempt = paid(1)
    async with begin() as unit:
        await unit.purchases.decide_purchase(attempt.payment, attempt.context, REPORT, AT)
        await unit.customers.add(OWNER, "cus_1")

    async with begin() as unit:
        assert await unit.purchases.lock_decision("pi_1") is None
        assert await unit.customers.find(OWNER) is None


async def test_p4_content_is_attached_only_where_there_is_none(begin: PostgresUnitOfWorkFactory) -> None:
    """The database itself keeps the first content: two calls may bring content at the same time."""
    first = AttemptContent(None, b"first")
    quarantined = QuarantinedPayment(paid(1).payment, QuarantineReason.AMOUNT_MISMATCH, first, REPORT, AT)
    existing = (await QuarantineService(begin, lambda: AT).quarantine(quarantined)).decision

    async with begin() as unit:
        second = replace(quarantined, reason=QuarantineReason.UNRECORDABLE, content=AttemptContent(None, b"second"))
        await unit.purchases.amend_quarantine(second)
        await unit.commit()

    async with begin() as unit:
        assert await unit.purchases.lock_decision("pi_1") == existing


async def _waiters(sql: Any, number: int) -> bool:
    return len(await lock_waiters(sql)) == number
