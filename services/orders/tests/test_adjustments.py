"""Refunds and disputes: guarded writes, and what an order shows of them, on the ledger in memory and on PostgreSQL."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from orders.domain.checkout import AttemptContent, CheckoutContext, Contact, LineItem, Money
from orders.domain.orders import Order
from orders.domain.pagination import PageRequest
from orders.domain.payments import Intent, IntentKind, Payment, PaymentReport, ReportChannel
from orders.domain.purchases import Purchase
from orders.domain.refunds import Dispute, DisputeStatus, Refund, RefundStatus
from orders.postgres.connection import DatabaseLimits, open_engine
from orders.postgres.purchases import PostgresUnits
from orders.postgres.refunds import PostgresAdjustments
from orders.usecases.purchases import PaidAttempt, PurchaseReader, PurchaseRecorder
from orders.usecases.refunds import AdjustmentOvertaken, Adjustments, DisputeNotFound, RefundNotFound
from orders.usecases.unit_of_work import BeginUnit
from servicekit.encryption import Keyring

from .memory_ledger import MemoryUnits

AT = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
LIMITS = DatabaseLimits(pool_size=2, connect_timeout_seconds=5, statement_timeout_seconds=5, lock_timeout_seconds=5)
ATTEMPT_ID, INTENT_ID = "attempt-1", "pi_1"
TOTAL = Money(2000, "eur")

REFUND = Refund("re_1", INTENT_ID, "ch_1", Money(500, "eur"), RefundStatus.SUCCEEDED, AT, version=0)
DISPUTE = Dispute("du_1", INTENT_ID, "ch_1", TOTAL, DisputeStatus.NEEDS_RESPONSE, "fraudulent", AT, version=0)


@dataclass(frozen=True)
class Books:
    """What was bought, and what was taken back of it."""

    begin: BeginUnit
    adjustments: Adjustments

    async def record(self) -> None:
        """Record the purchase."""
        items = (LineItem("price_1", "prod_1", "Mug", 4, Money(500, "eur")),)
        context = CheckoutContext("user_1", Contact("Ada", "ada@shop.example", None), None, None, items, TOTAL)
        payment = Payment(Intent(INTENT_ID, IntentKind.PAYMENT), ATTEMPT_ID, TOTAL, livemode=True)
        paid = PaidAttempt(
            payment, context, AttemptContent("user_1", b""), PaymentReport(ReportChannel.RECONCILER, None)
        )
        await PurchaseRecorder(self.begin, lambda: AT, uuid4, lambda _: 0).record(paid)

    async def order(self) -> Order:
        """Read the order, by every way there is: they must all show the same."""
        reader = PurchaseReader(self.begin)
        order = (await reader.purchase_of(ATTEMPT_ID)).order
        assert order is not None
        (listed,) = (await reader.orders_of("user_1", PageRequest(10, None))).rows
        async with self.begin() as ledger:
            decision = await ledger.decision_on(INTENT_ID)
        assert isinstance(decision, Purchase)
        assert order == await reader.order(order.id) == listed == decision.order
        return order


@pytest.fixture(params=["memory", "postgres"])
async def books(request: pytest.FixtureRequest) -> AsyncIterator[Books]:
    """Give empty books of each kind."""
    if request.param == "memory":
        units = MemoryUnits()
        yield Books(units.begin, Adjustments(units.adjustments))
        return
    engine = open_engine(request.getfixturevalue("database_url"), LIMITS)
    yield Books(PostgresUnits(engine, Keyring.unencrypted()).begin, Adjustments(PostgresAdjustments(engine)))
    await engine.dispose()


async def test_a_refund_reads_back_as_it_was_written(books: Books) -> None:
    """With its first version; nothing is lost on the way to the ledger and back."""
    written = await books.adjustments.apply_refund(REFUND)

    assert written == replace(REFUND, version=1) == await books.adjustments.refund("re_1")


async def test_a_dispute_reads_back_as_it_was_written(books: Books) -> None:
    """With its first version; nothing is lost on the way to the ledger and back."""
    written = await books.adjustments.apply_dispute(DISPUTE)

    assert written == replace(DISPUTE, version=1) == await books.adjustments.dispute("du_1")


async def test_what_stripe_leaves_out_stays_out(books: Books) -> None:
    """A refund without a charge, a dispute without charge or reason."""
    await books.adjustments.apply_refund(replace(REFUND, charge_id=None))
    await books.adjustments.apply_dispute(replace(DISPUTE, charge_id=None, reason=None))

    assert (await books.adjustments.refund("re_1")).charge_id is None
    dispute = await books.adjustments.dispute("du_1")
    assert (dispute.charge_id, dispute.reason) == (None, None)


async def test_what_nobody_wrote_is_not_found(books: Books) -> None:
    """Whoever asks is told so."""
    with pytest.raises(RefundNotFound):
        await books.adjustments.refund("re_1")
    with pytest.raises(DisputeNotFound):
        await books.adjustments.dispute("du_1")


async def test_a_newer_state_replaces_an_older_one(books: Books) -> None:
    """Where the version that was read still holds, the row is written and the version advances."""
    pending = await books.adjustments.apply_refund(replace(REFUND, status=RefundStatus.PENDING))
    open_ = await books.adjustments.apply_dispute(DISPUTE)

    refund = await books.adjustments.apply_refund(replace(pending, status=RefundStatus.FAILED))
    dispute = await books.adjustments.apply_dispute(replace(open_, status=DisputeStatus.WON))

    assert (refund.status, refund.version) == (RefundStatus.FAILED, 2)
    assert (dispute.status, dispute.version) == (DisputeStatus.WON, 2)
    assert await books.adjustments.refund("re_1") == refund
    assert await books.adjustments.dispute("du_1") == dispute


@pytest.mark.parametrize("stale", [0, 1, 3])
async def test_another_version_of_a_refund_is_not_overwritten(books: Books, stale: int) -> None:
    """What was read at Stripe before somebody else wrote may be old: it changes nothing."""
    first = await books.adjustments.apply_refund(replace(REFUND, status=RefundStatus.PENDING))
    standing = await books.adjustments.apply_refund(replace(first, status=RefundStatus.FAILED))

    with pytest.raises(AdjustmentOvertaken):
        await books.adjustments.apply_refund(replace(REFUND, version=stale))

    assert await books.adjustments.refund("re_1") == standing


@pytest.mark.parametrize("stale", [0, 1, 3])
async def test_another_version_of_a_dispute_is_not_overwritten(books: Books, stale: int) -> None:
    """The same for disputes."""
    first = await books.adjustments.apply_dispute(DISPUTE)
    standing = await books.adjustments.apply_dispute(replace(first, status=DisputeStatus.LOST))

    with pytest.raises(AdjustmentOvertaken):
        await books.adjustments.apply_dispute(replace(DISPUTE, version=stale))

    assert await books.adjustments.dispute("du_1") == standing


async def test_a_version_of_what_is_unknown_is_not_written(books: Books) -> None:
    """Rows are never deleted: whoever names a version of one that is not there has read another database."""
    with pytest.raises(AdjustmentOvertaken):
        await books.adjustments.apply_refund(replace(REFUND, version=1))
    with pytest.raises(AdjustmentOvertaken):
        await books.adjustments.apply_dispute(replace(DISPUTE, version=1))


async def test_an_order_without_refund_or_dispute_shows_none(books: Books) -> None:
    """Another intent's are not its own."""
    await books.adjustments.apply_refund(replace(REFUND, intent_id="pi_2"))
    await books.adjustments.apply_dispute(replace(DISPUTE, intent_id="pi_2"))
    await books.record()

    order = await books.order()

    assert (order.refunded, order.disputed) == (None, None)


@pytest.mark.parametrize(
    ("status", "counts"),
    [
        (RefundStatus.PENDING, True),
        (RefundStatus.REQUIRES_ACTION, True),
        (RefundStatus.SUCCEEDED, True),
        (RefundStatus.FAILED, False),
        (RefundStatus.CANCELED, False),
    ],
)
async def test_what_is_refunded_is_made_or_under_way(books: Books, status: RefundStatus, *, counts: bool) -> None:
    """A refund that came to nothing left the money with the shop."""
    await books.record()

    await books.adjustments.apply_refund(replace(REFUND, status=status))

    assert (await books.order()).refunded == (REFUND.amount if counts else None)


@pytest.mark.parametrize(
    ("status", "counts"),
    [
        (DisputeStatus.WARNING_NEEDS_RESPONSE, False),
        (DisputeStatus.WARNING_UNDER_REVIEW, False),
        (DisputeStatus.WARNING_CLOSED, False),
        (DisputeStatus.NEEDS_RESPONSE, True),
        (DisputeStatus.UNDER_REVIEW, True),
        (DisputeStatus.WON, False),
        (DisputeStatus.LOST, True),
        (DisputeStatus.PREVENTED, False),
        (DisputeStatus.APPEAL_NEEDS_RESPONSE, True),
        (DisputeStatus.APPEAL_UNDER_REVIEW, True),
    ],
)
async def test_what_is_disputed_is_open_or_lost(books: Books, status: DisputeStatus, *, counts: bool) -> None:
    """An inquiry takes no money, and a dispute that was won gave it back."""
    await books.record()

    await books.adjustments.apply_dispute(replace(DISPUTE, status=status))

    assert (await books.order()).disputed == (DISPUTE.amount if counts else None)


async def test_partial_refunds_and_disputes_add_up(books: Books) -> None:
    """Each kind for itself, and one that failed after it had succeeded is taken out again."""
    await books.record()
    for number, minor_units in enumerate([300, 200, 50]):
        await books.adjustments.apply_refund(replace(REFUND, id=f"re_{number}", amount=Money(minor_units, "eur")))
        await books.adjustments.apply_dispute(replace(DISPUTE, id=f"du_{number}", amount=Money(minor_units, "eur")))

    await books.adjustments.apply_refund(
        replace(REFUND, id="re_1", amount=Money(200, "eur"), status=RefundStatus.FAILED, version=1)
    )

    order = await books.order()
    assert (order.refunded, order.disputed) == (Money(350, "eur"), Money(550, "eur"))


async def test_what_was_known_before_the_order_shows_on_it(books: Books) -> None:
    """A refund or dispute that Stripe told of first is not forgotten: nothing ships."""
    await books.adjustments.apply_refund(REFUND)
    await books.adjustments.apply_dispute(DISPUTE)

    await books.record()

    order = await books.order()
    assert (order.refunded, order.disputed) == (REFUND.amount, DISPUTE.amount)


async def test_another_currency_is_kept_and_not_summed(books: Books) -> None:
    """Euros and dollars have no sum: the row stays for a person to look at."""
    await books.record()
    await books.adjustments.apply_refund(REFUND)

    await books.adjustments.apply_refund(replace(REFUND, id="re_2", amount=Money(100, "usd")))

    assert (await books.order()).refunded == Money(500, "eur")
    assert (await books.adjustments.refund("re_2")).amount == Money(100, "usd")
