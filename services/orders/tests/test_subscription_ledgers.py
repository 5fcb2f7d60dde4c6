"""What every ledger does with subscriptions and customers: the same suite in memory and on a real PostgreSQL."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from orders.domain.checkout import (
    Address,
    AttemptContent,
    BillingInterval,
    CheckoutContext,
    Contact,
    LineItem,
    Money,
    Recurring,
)
from orders.domain.pagination import PageRequest
from orders.domain.payments import Intent, IntentKind, Payment, PaymentReport, ReportChannel
from orders.domain.purchases import Purchase, QuarantinedPayment, QuarantineReason
from orders.domain.subscriptions import (
    InvoiceStatus,
    Sighting,
    StripeState,
    StripeSubscriptionMismatch,
    Subscription,
    SubscriptionInvoice,
    SubscriptionNotFound,
    SubscriptionStatus,
    VersionMismatch,
)
from orders.postgres.connection import open_engine
from orders.postgres.purchases import PostgresUnits
from orders.usecases.customers import CustomerNotFound, Customers
from orders.usecases.purchases import PaidAttempt, PurchaseReader, PurchaseRecorder
from orders.usecases.quarantine import Quarantine
from orders.usecases.subscriptions import SubscriptionLife, SubscriptionReader
from orders.usecases.unit_of_work import BeginUnit
from servicekit.encryption import Keyring
from servicekit.violations import InvalidRequest

from .memory_ledger import MemoryUnits
from .test_ledgers import LIMITS, START, Clock, counting

MONTHLY = Recurring(BillingInterval.MONTH, 1, 14)
YEARLY = Recurring(BillingInterval.YEAR, 1, 0)
ADDRESS = Address("12 St James's Square", None, "London", None, None, "GB")


@pytest.fixture(params=["memory", "postgres"])
async def begin(request: pytest.FixtureRequest) -> AsyncIterator[BeginUnit]:
    """Give an empty ledger of each kind."""
    if request.param == "memory":
        yield MemoryUnits().begin
        return
    engine = open_engine(request.getfixturevalue("database_url"), LIMITS)
    yield PostgresUnits(engine, Keyring.unencrypted()).begin
    await engine.dispose()


@pytest.fixture
def clock() -> Clock:
    """Give a clock."""
    return Clock()


@pytest.fixture
def recorder(begin: BeginUnit, clock: Clock) -> PurchaseRecorder:
    """Give a recorder."""
    return PurchaseRecorder(begin, clock, uuid4, counting())


@pytest.fixture
def life(begin: BeginUnit, clock: Clock) -> SubscriptionLife:
    """Give what writes."""
    return SubscriptionLife(begin, clock)


@pytest.fixture
def reader(begin: BeginUnit) -> SubscriptionReader:
    """Give what reads."""
    return SubscriptionReader(begin)


def priced(number: int, recurring: Recurring | None) -> LineItem:
    """Return a line."""
    return LineItem(f"price_{number}", "prod", "Mug", 2, Money(500, "eur"), recurring)


def mixed(attempt_id: str = "attempt-1", intent_id: str = "pi_1", user_id: str | None = "user_1") -> PaidAttempt:
    """Return a paid cart of a mug, two monthly lines and a yearly one."""
    items = (priced(1, MONTHLY), priced(2, None), priced(3, YEARLY), priced(4, MONTHLY))
    contact = Contact("Ada", "ada@shop.example", None)
    context = CheckoutContext(user_id, contact, ADDRESS, None, items, Money(1000, "eur"), "cus_1")
    payment = Payment(Intent(intent_id, IntentKind.PAYMENT), attempt_id, Money(1000, "eur"), True, "pm_1")  # noqa: FBT003 - live
    return PaidAttempt(
        payment, context, AttemptContent(user_id, b"content"), PaymentReport(ReportChannel.RECONCILER, None)
    )


def setup() -> PaidAttempt:
    """Return the same cart without the mug, set up."""
    paid = mixed(intent_id="seti_1")
    items = tuple(item for item in paid.context.items if item.recurring)
    payment = replace(paid.payment, intent=Intent("seti_1", IntentKind.SETUP), received=None)
    return replace(paid, payment=payment, context=replace(paid.context, items=items, total=Money(0, "eur")))


def state(stripe_id: str = "sub_1", status: SubscriptionStatus = SubscriptionStatus.ACTIVE) -> StripeState:
    """Return what Stripe shows."""
    return StripeState(stripe_id, status, START + timedelta(days=30), None, False, None, None, None, "in_1")  # noqa: FBT003 - it goes on


def charge(invoice_id: str = "in_1", paid: int = 500) -> SubscriptionInvoice:
    """Return an invoice."""
    total, amount_paid = Money(500, "eur"), Money(paid, "eur")
    return SubscriptionInvoice(invoice_id, InvoiceStatus.PAID, None, total, amount_paid, 1, START, None, None, None)


async def bought(recorder: PurchaseRecorder, paid: PaidAttempt) -> Purchase:
    """Record a purchase."""
    decision = (await recorder.record(paid)).decision
    assert isinstance(decision, Purchase)
    return decision


async def one(recorder: PurchaseRecorder, attempt_id: str = "attempt-1") -> Subscription:
    """Record a purchase and return its first subscription."""
    return (await bought(recorder, mixed(attempt_id, f"pi_{attempt_id}"))).subscriptions[0]


@pytest.mark.parametrize("paid", [mixed(), setup()], ids=["mixed", "setup"])
async def test_a_purchase_with_subscriptions_reads_back_as_it_was_answered(
    recorder: PurchaseRecorder, begin: BeginUnit, paid: PaidAttempt
) -> None:
    """With its order or without; in the order of the cart."""
    purchase = await bought(recorder, paid)

    again = await recorder.record(paid)

    assert (purchase.order is None) == (paid.payment.received is None)
    assert [each.recurring for each in purchase.subscriptions] == [MONTHLY, YEARLY]
    assert (again.decision, again.already_recorded) == (purchase, True)
    assert await PurchaseReader(begin).purchase_of("attempt-1") == purchase


async def test_a_setup_that_waited_for_its_attempt_is_promoted(
    recorder: PurchaseRecorder, begin: BeginUnit, clock: Clock
) -> None:
    """The quarantine becomes the purchase."""
    paid = setup()
    quarantine = Quarantine(begin, clock)
    missing = QuarantinedPayment(paid.payment, QuarantineReason.ATTEMPT_MISSING, None, paid.report, START)
    set_aside = await quarantine.set_aside(missing)

    purchase = await bought(recorder, paid)

    assert isinstance(set_aside.decision, QuarantinedPayment)
    assert len(purchase.subscriptions) == 2
    assert (await quarantine.page(PageRequest(10, None))).rows == []


async def test_a_subscription_is_found_by_either_id(
    recorder: PurchaseRecorder, life: SubscriptionLife, reader: SubscriptionReader
) -> None:
    """Under Stripe's once it is bound."""
    first = await one(recorder)
    with pytest.raises(SubscriptionNotFound):
        await reader.bound_to("sub_1")

    bound = await life.activate(first.id, Sighting(first.version, state(), charge()))

    assert await reader.by_id(first.id) == await reader.bound_to("sub_1") == bound
    assert bound == replace(first, version=2, status=SubscriptionStatus.ACTIVE, state=state(), invoices=(charge(),))


async def test_the_road_to_an_activation(recorder: PurchaseRecorder, life: SubscriptionLife, clock: Clock) -> None:
    """Begun, abandoned, refused, begun again and bound: each step once, each told in the row."""
    row = await one(recorder)

    begun = await life.begin_activation(row.id, 0)
    same = await life.begin_activation(row.id, 0)
    abandoned = await life.begin_activation(row.id, 1)
    failed = await life.fail(row.id, abandoned.version, "resource_missing")
    told_again = await life.fail(row.id, abandoned.version, "other")
    retried = await life.begin_activation(row.id, 0)
    bound = await life.activate(row.id, Sighting(retried.version, state(), None))

    assert same == begun
    assert told_again == failed
    steps = [begun, abandoned, failed, retried, bound]
    assert [each.version for each in steps] == [2, 3, 4, 5, 6]
    assert [each.activation.generation for each in steps] == [1, 2, 3, 3, 3]
    assert [each.activation.failure for each in steps] == [None, None, "resource_missing", "resource_missing", None]
    assert [each.activation.began_at is None for each in steps] == [False, False, True, False, False]


async def test_what_was_overtaken_is_refused(recorder: PurchaseRecorder, life: SubscriptionLife) -> None:
    """And nothing of it is written."""
    row = await one(recorder)
    begun = await life.begin_activation(row.id, 0)
    with pytest.raises(VersionMismatch):
        await life.activate(row.id, Sighting(row.version, state(), charge()))
    with pytest.raises(VersionMismatch):
        await life.fail(row.id, row.version, "resource_missing")
    bound = await life.activate(row.id, Sighting(begun.version, state(), None))

    with pytest.raises(VersionMismatch):
        await life.apply(row.id, Sighting(begun.version, state(status=SubscriptionStatus.UNPAID), charge()))

    assert await life.begin_activation(row.id, 0) == bound


async def test_a_binding_is_for_good(recorder: PurchaseRecorder, life: SubscriptionLife) -> None:
    """Neither end of it is ever bound to something else."""
    first, second = await one(recorder), await one(recorder, "attempt-2")
    bound = await life.activate(first.id, Sighting(first.version, state(), charge()))

    assert await life.activate(first.id, Sighting(first.version, state(), None)) == bound
    for subscription, seen in (
        (bound, Sighting(bound.version, state("sub_2"), None)),
        (second, Sighting(second.version, state(), None)),
        (second, Sighting(second.version, state("sub_2"), charge())),
    ):
        with pytest.raises(StripeSubscriptionMismatch):
            await life.activate(subscription.id, seen)


async def test_a_sighting_replaces_the_state_and_its_invoice(
    recorder: PurchaseRecorder, life: SubscriptionLife
) -> None:
    """One row for each invoice id."""
    first = await one(recorder)
    bound = await life.activate(first.id, Sighting(first.version, state(), charge(paid=0)))
    seen = state(status=SubscriptionStatus.PAST_DUE)

    applied = await life.apply(first.id, Sighting(bound.version, seen, charge()))

    assert (applied.status, applied.state, applied.invoices) == (seen.status, seen, (charge(),))


async def test_pages_of_subscriptions_have_each_once(
    recorder: PurchaseRecorder, reader: SubscriptionReader, clock: Clock
) -> None:
    """Newest first, also where several began in the same microsecond, and only the user's own."""
    clock.step = timedelta()
    for number in range(3):
        await one(recorder, f"attempt-{number}")
    await recorder.record(mixed("attempt-other", "pi_other", user_id=None))

    ids: list[UUID] = []
    page = await reader.of_user("user_1", PageRequest(4, None))
    ids += [row.id for row in page.rows]
    while page.next is not None:
        page = await reader.of_user("user_1", PageRequest(4, page.next))
        ids += [row.id for row in page.rows]

    assert len(ids) == 6
    assert ids == sorted(set(ids), reverse=True)


async def test_leaving_without_commit_takes_subscriptions_and_customers_with_it(
    begin: BeginUnit, recorder: PurchaseRecorder, reader: SubscriptionReader
) -> None:
    """A unit of work that is not committed never happened."""
    row = await one(recorder)
    async with begin() as ledger:
        await ledger.bind(row.id, row.version, state(), START)
        await ledger.put_invoice(row.id, charge(), START)
        await ledger.add_customer("user_1", "cus_1", START)

    assert await reader.by_id(row.id) == row
    async with begin() as ledger:
        assert await ledger.customer_of("user_1") is None


async def test_a_user_has_one_customer(begin: BeginUnit) -> None:
    """The first writer wins, until the one that stands is replaced; nobody shares one."""
    customers = Customers(begin, lambda: datetime(2026, 5, 4, tzinfo=UTC))
    with pytest.raises(CustomerNotFound):
        await customers.of_user("user_1")

    answers = [
        await customers.put("user_1", "cus_1", None),
        await customers.put("user_1", "cus_2", None),
        await customers.put("user_1", "cus_3", "cus_1"),
        await customers.put("user_1", "cus_4", "cus_1"),
        await customers.put("user_2", "cus_5", "cus_1"),
    ]

    assert answers == ["cus_1", "cus_1", "cus_3", "cus_3", "cus_5"]
    assert await customers.of_user("user_1") == "cus_3"
    for replaced in (None, "cus_5"):
        with pytest.raises(InvalidRequest):
            await customers.put("user_2" if replaced else "user_3", "cus_3", replaced)
