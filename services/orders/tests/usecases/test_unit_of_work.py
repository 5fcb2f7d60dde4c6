"""Use cases on a unit of work of PostgreSQL, where a test needs other random numbers or no commit."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from orders.domain.checkout import AttemptContent, CheckoutContext, Contact, LineItem, Money
from orders.domain.customers import CustomerOwner
from orders.domain.payments import Intent, IntentKind, Payment, PaymentReport, ReportChannel
from orders.domain.purchases import Purchase, QuarantinedPayment, QuarantineReason
from orders.postgres.unit_of_work import PostgresUnitOfWorkFactory
from orders.usecases.purchase_writer import OrderNumbersExhausted, PurchaseWriter
from orders.usecases.purchases import PaidAttempt, PurchaseRecorder
from orders.usecases.quarantine import QuarantineService
from servicekit.encryption import Keyring

AT = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
OWNER = CustomerOwner("user_1", "eur")
REPORT = PaymentReport(ReportChannel.RECONCILER, None)


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
