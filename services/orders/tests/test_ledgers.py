"""What every ledger does for the use cases: the same suite runs on the one in memory and on a real PostgreSQL."""

import base64
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from orders.domain.checkout import AttemptContent, CheckoutContext, Contact, LineItem, Money
from orders.domain.pagination import PageRequest
from orders.domain.payments import Intent, IntentKind, Payment, PaymentReport, ReportChannel
from orders.domain.purchases import Purchase, QuarantinedPayment, QuarantineReason
from orders.postgres.connection import DatabaseLimits, open_engine
from orders.postgres.purchases import PostgresUnits
from orders.usecases.purchases import (
    OrderNumbersExhausted,
    PaidAttempt,
    PurchaseNotFound,
    PurchaseReader,
    PurchaseRecorder,
)
from orders.usecases.quarantine import Quarantine
from orders.usecases.unit_of_work import BeginUnit
from servicekit.encryption import Keyring

from .memory_ledger import MemoryUnits

KEYRING = Keyring.parse("k1:" + base64.b64encode(bytes(range(32))).decode())
START = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
LIMITS = DatabaseLimits(pool_size=2, connect_timeout_seconds=5, statement_timeout_seconds=5, lock_timeout_seconds=5)


class Clock:
    """Goes on by a second each time it is read, unless it is stopped."""

    def __init__(self) -> None:
        self.step = timedelta(seconds=1)
        self._now = START

    def __call__(self) -> datetime:
        """Tell the time."""
        self._now += self.step
        return self._now


@pytest.fixture(params=["memory", "postgres"])
async def begin(request: pytest.FixtureRequest) -> AsyncIterator[BeginUnit]:
    """Give an empty ledger of each kind."""
    if request.param == "memory":
        yield MemoryUnits().begin
        return
    engine = open_engine(request.getfixturevalue("database_url"), LIMITS)
    yield PostgresUnits(engine, KEYRING).begin
    await engine.dispose()


@pytest.fixture
def clock() -> Clock:
    """Give a clock."""
    return Clock()


@pytest.fixture
def recorder(begin: BeginUnit, clock: Clock) -> PurchaseRecorder:
    """Give a recorder whose numbers all differ."""
    return PurchaseRecorder(begin, clock, uuid4, counting())


@pytest.fixture
def quarantine(begin: BeginUnit, clock: Clock) -> Quarantine:
    """Give the quarantine."""
    return Quarantine(begin, clock)


@pytest.fixture
def reader(begin: BeginUnit) -> PurchaseReader:
    """Give a reader."""
    return PurchaseReader(begin)


def counting() -> Callable[[int], int]:
    """Return a randomness that gives every order number in turn."""
    digits = (digit for number in itertools.count() for digit in _digits(number))
    return lambda _: next(digits)


def _digits(number: int) -> list[int]:
    return [number // 23**place % 23 for place in range(8)]


def paid(attempt_id: str = "attempt-1", intent_id: str = "pi_1", user_id: str | None = "user_1") -> PaidAttempt:
    """Return a paid attempt of two lines."""
    items = tuple(LineItem(f"price_{n}", "prod", "Mug", 2, Money(500, "eur")) for n in range(2))
    context = CheckoutContext(user_id, Contact("Ada", "ada@shop.example", None), None, None, items, Money(2000, "eur"))
    payment = Payment(Intent(intent_id, IntentKind.PAYMENT), attempt_id, Money(2000, "eur"), livemode=True)
    return PaidAttempt(
        payment, context, AttemptContent(user_id, b"content"), PaymentReport(ReportChannel.RECONCILER, None)
    )


def missing(report: PaidAttempt) -> QuarantinedPayment:
    """Return the payment as one whose attempt was missing."""
    return QuarantinedPayment(report.payment, QuarantineReason.ATTEMPT_MISSING, None, report.report, START)


async def test_a_purchase_reads_back_as_it_was_answered(recorder: PurchaseRecorder, reader: PurchaseReader) -> None:
    """Nothing is lost or rounded on the way to the ledger and back."""
    recorded = await recorder.record(paid())

    purchase = recorded.decision
    assert isinstance(purchase, Purchase)
    assert purchase.order is not None
    assert await reader.purchase_of("attempt-1") == purchase
    assert await reader.order(purchase.order.id) == purchase.order


async def test_a_quarantined_payment_reads_back_as_it_was_answered(quarantine: Quarantine) -> None:
    """Nothing is lost on the way to the ledger and back."""
    asked = replace(missing(paid()), reason=QuarantineReason.UNRECORDABLE, content=AttemptContent("user_1", b"content"))

    recorded = await quarantine.set_aside(asked)

    page = await quarantine.page(PageRequest(10, None))
    assert page.rows == [recorded.decision] == [replace(asked, quarantined_at=START + timedelta(seconds=1))]


async def test_an_intent_keeps_its_first_decision(recorder: PurchaseRecorder, quarantine: Quarantine) -> None:
    """A purchase cannot be quarantined afterwards."""
    first = await recorder.record(paid())

    after = await quarantine.set_aside(missing(paid()))

    assert (after.decision, after.already_recorded) == (first.decision, True)


async def test_a_second_intent_of_an_attempt_is_a_duplicate(recorder: PurchaseRecorder) -> None:
    """It is set aside with the content."""
    await recorder.record(paid())

    second = await recorder.record(paid(intent_id="pi_2"))

    assert isinstance(second.decision, QuarantinedPayment)
    assert second.decision.reason is QuarantineReason.DUPLICATE_PAYMENT
    assert second.decision.content == AttemptContent("user_1", b"content")
    assert not second.already_recorded


async def test_a_missing_attempt_that_turns_up_is_promoted(recorder: PurchaseRecorder, quarantine: Quarantine) -> None:
    """The quarantine becomes the purchase and is listed no more."""
    await quarantine.set_aside(missing(paid()))

    recorded = await recorder.record(paid())

    assert isinstance(recorded.decision, Purchase)
    assert not recorded.already_recorded
    assert (await quarantine.page(PageRequest(10, None))).rows == []


async def test_a_missing_attempt_that_turns_up_too_late_is_a_duplicate(
    recorder: PurchaseRecorder, quarantine: Quarantine
) -> None:
    """The attempt has its purchase: the quarantine takes reason and content, so nothing is lost (P4)."""
    await quarantine.set_aside(missing(paid(intent_id="pi_late")))
    await recorder.record(paid())

    late = await recorder.record(paid(intent_id="pi_late"))

    assert isinstance(late.decision, QuarantinedPayment)
    assert late.decision.reason is QuarantineReason.DUPLICATE_PAYMENT
    assert late.decision.content == AttemptContent("user_1", b"content")
    assert late.already_recorded


async def test_content_that_comes_later_completes_a_quarantine(quarantine: Quarantine) -> None:
    """A payment set aside without content takes the content, and the better reason if it had none to speak of (P4)."""
    await quarantine.set_aside(missing(paid()))
    better = replace(
        missing(paid()), reason=QuarantineReason.AMOUNT_MISMATCH, content=AttemptContent("user_1", b"content")
    )

    completed = await quarantine.set_aside(better)

    assert isinstance(completed.decision, QuarantinedPayment)
    assert completed.decision.reason is QuarantineReason.AMOUNT_MISMATCH
    assert completed.decision.content == AttemptContent("user_1", b"content")
    assert completed.already_recorded


async def test_content_that_is_kept_is_not_replaced(quarantine: Quarantine) -> None:
    """The content that was quarantined first stays, and so does its reason."""
    first = replace(missing(paid()), reason=QuarantineReason.AMOUNT_MISMATCH, content=AttemptContent(None, b"first"))
    standing = await quarantine.set_aside(first)

    after = await quarantine.set_aside(
        replace(first, reason=QuarantineReason.UNRECORDABLE, content=AttemptContent(None, b"second"))
    )

    assert after.decision == standing.decision


async def test_content_goes_only_where_there_is_none(begin: BeginUnit, quarantine: Quarantine) -> None:
    """The ledger itself keeps what came first: two calls may bring content at the same moment."""
    first = replace(missing(paid()), reason=QuarantineReason.AMOUNT_MISMATCH, content=AttemptContent(None, b"first"))
    standing = await quarantine.set_aside(first)

    async with begin() as ledger:
        await ledger.complete("pi_1", QuarantineReason.UNRECORDABLE, AttemptContent(None, b"second"))
        await ledger.commit()

    async with begin() as ledger:
        assert await ledger.decision_on("pi_1") == standing.decision


async def test_a_number_that_is_taken_is_drawn_again(begin: BeginUnit, clock: Clock) -> None:
    """Two orders never share a number, even if the randomness repeats itself."""
    draws = iter([0] * 8 + [0] * 8 + [1] * 8)
    recorder = PurchaseRecorder(begin, clock, uuid4, lambda _: next(draws))
    first = await recorder.record(paid())

    second = await recorder.record(paid("attempt-2", "pi_2"))

    assert isinstance(first.decision, Purchase)
    assert isinstance(second.decision, Purchase)
    numbers = [decision.order.number for decision in (first.decision, second.decision) if decision.order]
    assert len(set(numbers)) == 2
    assert next(draws, None) is None


async def test_numbers_that_are_all_taken_leave_nothing_behind(begin: BeginUnit, clock: Clock) -> None:
    """The decision row goes with the order that could not be written."""
    recorder = PurchaseRecorder(begin, clock, uuid4, lambda _: 0)
    await recorder.record(paid())

    with pytest.raises(OrderNumbersExhausted):
        await recorder.record(paid("attempt-2", "pi_2"))

    async with begin() as ledger:
        assert await ledger.decision_on("pi_2") is None


async def test_leaving_without_commit_rolls_back(begin: BeginUnit) -> None:
    """A unit of work that is not committed never happened."""
    report = paid()
    async with begin() as ledger:
        await ledger.decide_purchase(report.payment, report.context, report.report, START)

    async with begin() as ledger:
        assert await ledger.decision_on("pi_1") is None


async def test_an_attempt_without_purchase_is_not_found(reader: PurchaseReader) -> None:
    """Asking for it says so."""
    with pytest.raises(PurchaseNotFound):
        await reader.purchase_of("attempt-1")


async def test_pages_of_orders_have_each_order_once(
    recorder: PurchaseRecorder, reader: PurchaseReader, clock: Clock
) -> None:
    """Newest first, also where several were recorded in the same microsecond, and only the user's own."""
    clock.step = timedelta()
    for number in range(7):
        await recorder.record(paid(f"attempt-{number}", f"pi_{number}"))
    await recorder.record(paid("attempt-other", "pi_other", user_id="user_2"))

    ids: list[UUID] = []
    page = await reader.orders_of("user_1", PageRequest(3, None))
    ids += [order.id for order in page.rows]
    while page.next is not None:
        page = await reader.orders_of("user_1", PageRequest(3, page.next))
        ids += [order.id for order in page.rows]

    assert len(ids) == 7
    assert ids == sorted(set(ids), reverse=True)


async def test_pages_of_quarantined_payments_have_each_payment_once(quarantine: Quarantine, clock: Clock) -> None:
    """Newest first, also where several were quarantined in the same microsecond."""
    clock.step = timedelta()
    for number in range(7):
        await quarantine.set_aside(missing(paid(intent_id=f"pi_{number}")))

    ids: list[str] = []
    page = await quarantine.page(PageRequest(3, None))
    ids += [row.payment.intent.id for row in page.rows]
    while page.next is not None:
        page = await quarantine.page(PageRequest(3, page.next))
        ids += [row.payment.intent.id for row in page.rows]

    assert ids == [f"pi_{number}" for number in reversed(range(7))]
