"""Erasing who bought, on a real PostgreSQL: what goes, what stays, and what happens meanwhile (P7)."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from checkout.orders.v1 import orders_pb2 as pb
from orders.postgres.connection import open_engine
from orders.postgres.erasure import PostgresErasableRecords
from orders.postgres.table_base import WHO_BOUGHT
from orders.postgres.tables import PERSONAL_IN_ORDER, Row
from orders.usecases.erasure import Eraser, OfAttempt, OfOrder, OfUser, Subject, SubjectUnknown, Tally
from orders.usecases.retrying import Patience

from .reports import aside, line, purchase
from .service import Client, count, settings_for
from .subscription_reports import YEAR, cart, invoice, recurring_line
from .test_activation import activate
from .test_customers import customer_of, put

ADA = OfUser("user_1")
TABLES = (
    "payments",
    "orders",
    "order_items",
    "subscriptions",
    "subscription_items",
    "subscription_invoices",
    "customers",
    "outbox",
)
TYPED_BY_THE_BUYER = ("user_1", "Ada", "ada@shop", "7946", "James", "Flat 3", "London", "SW1Y")

# Who reads a new column here decides whether it may outlive its buyer's wish to be forgotten.
BOOKKEEPING = {
    "payments": "intent_id kind attempt_id outcome amount_minor currency livemode quarantine_reason channel"
    " stripe_event_id decided_at resolved_at erased_at stripe_payment_method_id",
    "orders": "id number checkout_attempt_id payment_intent_id payment_outcome status total_minor items_minor"
    " shipping_minor currency shipping_rate_id shipping_rate_name created_at erased_at",
    "order_items": "order_id position price_id product_id name quantity unit_amount_minor",
    # Stripe's ids stay, so that a subscription can still be created, followed and ended.
    "subscriptions": "id checkout_attempt_id intent_id stripe_customer_id stripe_payment_method_id"
    " stripe_subscription_id status version interval interval_count current_period_end created_at updated_at"
    " payment_outcome currency position trial_days activation_generation activation_began_at activation_failure"
    " trial_end cancel_at_period_end cancel_at canceled_at ended_at latest_invoice_id erased_at",
    "subscription_items": "subscription_id position price_id product_id name quantity unit_amount_minor",
    "subscription_invoices": "stripe_invoice_id subscription_id status billing_reason total_minor amount_paid_minor"
    " currency attempt_count created_at period_start period_end next_payment_attempt updated_at",
    "refunds": "stripe_refund_id intent_id charge_id amount_minor currency status version created_at",
    "disputes": "stripe_dispute_id intent_id charge_id amount_minor currency status reason version created_at",
    "outbox": "id topic aggregate_id payload created_at published_at",
}
PERSONAL = {
    "payments": {"user_id", "attempt_content"},
    "orders": set(PERSONAL_IN_ORDER),
    "subscriptions": set(WHO_BOUGHT),
    "customers": {"user_id", "stripe_customer_id", "created_at", "updated_at"},  # The whole row is deleted.
}


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """Give the command's own engine."""
    engine = open_engine(database_url, settings_for(database_url).limits)
    yield engine
    await engine.dispose()


@pytest.fixture
def eraser(engine: AsyncEngine) -> Eraser:
    """Give an eraser with small batches."""
    patience = Patience(budget_seconds=20, tries=3, jitter=lambda: 0.5)
    return Eraser(PostgresErasableRecords(engine), patience, lambda: datetime.now(UTC), batch_size=3)


async def erase(eraser: Eraser, subject: Subject) -> Tally:
    """Erase to the end and return how much it was."""
    return sum([erased async for erased in eraser.erase(subject)], Tally())


async def everything(sql: Any) -> dict[str, list[dict[str, Any]]]:
    """Return every row of every table."""
    return {table: [dict(row) for row in await sql.fetch(f"SELECT * FROM {table} ORDER BY 1")] for table in TABLES}  # noqa: S608 - the test's own words


async def test_p7_an_erased_order_keeps_the_books_and_forgets_the_buyer(
    orders: Client, eraser: Eraser, sql: Any
) -> None:
    """Every column but the personal ones is as it was: sums, lines, number, payment, dates."""
    await orders.RecordPurchase(purchase())
    before = await everything(sql)

    erased = await erase(eraser, ADA)

    after = await everything(sql)
    (order_before,), (order,) = before["orders"], after["orders"]
    changed = {name for name in order if order[name] != order_before[name]}
    assert erased == Tally(orders=1)
    assert changed - {"erased_at"} == {name for name in PERSONAL_IN_ORDER if order_before[name] is not None}
    assert all(order[name] is None for name in PERSONAL_IN_ORDER)
    assert after["order_items"] == before["order_items"]
    assert after["payments"] == [before["payments"][0] | {"user_id": None, "erased_at": order["erased_at"]}]


async def test_p7_nothing_of_an_erased_user_is_left_in_any_table(orders: Client, eraser: Eraser, sql: Any) -> None:
    """Purchases of every kind, quarantined payments with their content, the customer, and what the outbox told."""
    await orders.RecordPurchase(purchase())
    await orders.RecordPurchase(cart(recurring_line(1), recurring_line(2, interval=YEAR)))
    await put(orders, "cus_of_user_1")
    await orders.QuarantinePayment(aside(purchase(), pb.QUARANTINE_REASON_AMOUNT_MISMATCH, with_content=True))
    control = repr(await everything(sql))

    erased = await erase(eraser, ADA)

    left = repr(await everything(sql))
    assert erased == Tally(orders=1, quarantined_payments=1, subscriptions=2, customers=1)
    assert [word for word in TYPED_BY_THE_BUYER if word not in control] == []
    assert [word for word in TYPED_BY_THE_BUYER if word in left.replace("cus_user_1", "")] == []
    assert "cus_of_user_1" not in left


async def test_nobody_else_is_erased(orders: Client, eraser: Eraser, sql: Any) -> None:
    """Neither another user's records nor a guest's."""
    await put(orders, "cus_2", user_id="user_2")
    for user_id in ("user_2", ""):
        await orders.RecordPurchase(purchase(user_id=user_id))
        await orders.RecordPurchase(cart(recurring_line(1), user_id=user_id))
        await orders.QuarantinePayment(
            aside(purchase(user_id=user_id), pb.QUARANTINE_REASON_UNRECORDABLE, with_content=True)
        )
    before = await everything(sql)

    assert await erase(eraser, ADA) == Tally()
    assert await everything(sql) == before


async def test_p7_an_erased_subscription_goes_on_without_its_buyer(orders: Client, eraser: Eraser, sql: Any) -> None:
    """What is left is what the books and Stripe need: it is answered as nobody's, and can still be activated."""
    bought = (await orders.RecordPurchase(cart(recurring_line(1)))).decision.purchase
    (subscription,) = bought.subscriptions
    before = await everything(sql)

    erased = await erase(eraser, ADA)
    found = (await orders.GetPurchase(pb.GetPurchaseRequest(attempt_id=bought.attempt_id))).purchase.subscriptions[0]
    bound = await activate(orders, found, None, invoice())

    after = await everything(sql)
    assert erased == Tally(subscriptions=1)
    assert found.HasField("erased_at")
    assert (found.user_id, found.HasField("contact"), found.HasField("shipping_address")) == ("", False, False)
    assert (found.items, found.stripe_customer_id) == (subscription.items, subscription.stripe_customer_id)
    assert bound.HasField("erased_at")
    assert list((await orders.ListSubscriptions(pb.ListSubscriptionsRequest(user_id="user_1"))).subscriptions) == []
    assert all(after["subscriptions"][0][name] is None for name in WHO_BOUGHT)
    erased_at = after["subscriptions"][0]["erased_at"]
    assert after["payments"] == [before["payments"][0] | {"user_id": None, "erased_at": erased_at}]


async def test_p7_a_user_forgotten_is_a_customer_forgotten(orders: Client, eraser: Eraser) -> None:
    """Nothing leads from the user to the Stripe customer any more; who comes back gets a new one."""
    await put(orders, "cus_1")

    erased = await erase(eraser, ADA)
    answer = await put(orders, "cus_2")

    assert erased == Tally(customers=1)
    assert answer == await customer_of(orders) == "cus_2"


async def test_each_transaction_is_bounded(orders: Client, eraser: Eraser, sql: Any) -> None:
    """Seven orders in batches of three."""
    await asyncio.gather(*(orders.RecordPurchase(purchase()) for _ in range(7)))

    batches = [erased async for erased in eraser.erase(ADA)]

    assert [batch.orders for batch in batches] == [3, 3, 1]
    assert sorted(
        row["count"] for row in await sql.fetch("SELECT count(*) AS count FROM orders GROUP BY erased_at")
    ) == [1, 3, 3]


async def test_erasing_again_changes_nothing(orders: Client, eraser: Eraser, sql: Any) -> None:
    """No row, no date, no second announcement."""
    await orders.RecordPurchase(purchase())
    await erase(eraser, ADA)
    before = await everything(sql)

    assert await erase(eraser, ADA) == Tally()
    assert await everything(sql) == before


async def test_p7_the_outbox_tells_of_every_erasure_by_id(orders: Client, eraser: Eraser, sql: Any) -> None:
    """Whoever has read an order's contact must erase it too."""
    order = (await orders.RecordPurchase(purchase())).decision.purchase.order
    begun = (await orders.RecordPurchase(cart(recurring_line(1)))).decision.purchase.subscriptions[0]
    report = aside(purchase(), pb.QUARANTINE_REASON_AMOUNT_MISMATCH, with_content=True)
    await orders.QuarantinePayment(report)

    await erase(eraser, ADA)

    told = await sql.fetch("SELECT topic, aggregate_id, payload FROM outbox WHERE topic LIKE '%.erased' ORDER BY topic")
    intent_id = report.payment.intent.id
    assert [(row["topic"], row["aggregate_id"], json.loads(row["payload"])) for row in told] == [
        ("order.erased", order.id, {"order_id": order.id}),
        ("payment.erased", intent_id, {"intent_id": intent_id}),
        ("subscription.erased", begun.id, {"subscription_id": begun.id}),
    ]


@pytest.mark.parametrize("by", ["order", "attempt"])
async def test_a_guests_wish_is_met_by_order_or_attempt(orders: Client, eraser: Eraser, sql: Any, by: str) -> None:
    """With its subscription, and a second payment of the same attempt that was set aside; other guests' stay."""
    report = cart(line(1), recurring_line(2), user_id="")
    order = (await orders.RecordPurchase(report)).decision.purchase.order
    await orders.RecordPurchase(cart(recurring_line(1), user_id=""))
    await orders.RecordPurchase(purchase(attempt_id=report.payment.attempt_id, user_id=""))
    other = (await orders.RecordPurchase(purchase(user_id=""))).decision.purchase.order

    erased = await erase(eraser, OfOrder(order.number) if by == "order" else OfAttempt(report.payment.attempt_id))

    assert erased == Tally(orders=1, quarantined_payments=1, subscriptions=1)
    assert await sql.fetchval("SELECT count(attempt_content) FROM payments") == 0
    assert await sql.fetchval("SELECT count(contact_name) FROM subscriptions") == 1
    assert await sql.fetchval("SELECT contact_name FROM orders WHERE number = $1", other.number) == "Ada Lovelace"


async def test_an_unknown_order_or_attempt_is_told(eraser: Eraser) -> None:
    """A number that was misread must not pass for a wish that was met."""
    for subject in (OfOrder("222-222-222"), OfAttempt("unknown")):
        with pytest.raises(SubjectUnknown):
            await erase(eraser, subject)


async def test_an_erased_order_is_read_without_its_buyer(orders: Client, eraser: Eraser) -> None:
    """By its id and by its attempt, as an order that is nobody's; its user's list is empty."""
    report = purchase()
    recorded = (await orders.RecordPurchase(report)).decision.purchase.order
    await erase(eraser, ADA)

    order = (await orders.GetOrder(pb.GetOrderRequest(order_id=recorded.id))).order
    bought = (await orders.GetPurchase(pb.GetPurchaseRequest(attempt_id=report.payment.attempt_id))).purchase
    listed = await orders.ListOrders(pb.ListOrdersRequest(user_id="user_1"))

    assert order == bought.order
    assert (order.number, order.total, list(order.items)) == (recorded.number, recorded.total, list(recorded.items))
    assert order.HasField("erased_at")
    assert (order.user_id, order.HasField("contact"), order.HasField("shipping_address")) == ("", False, False)
    assert list(listed.orders) == []


async def test_p3_a_repeated_report_of_an_erased_purchase_brings_nobody_back(
    orders: Client, eraser: Eraser, sql: Any
) -> None:
    """The same purchase is answered, erased, from whichever channel the repeat comes."""
    report = purchase()
    await orders.RecordPurchase(report)
    await erase(eraser, ADA)
    before = await everything(sql)

    answer = await orders.RecordPurchase(report)
    await orders.QuarantinePayment(aside(report, pb.QUARANTINE_REASON_AMOUNT_MISMATCH, with_content=True))

    assert answer.already_recorded
    assert answer.decision.purchase.order.HasField("erased_at")
    assert await everything(sql) == before


async def test_p7_content_that_comes_again_after_the_erasure_is_not_kept(
    orders: Client, eraser: Eraser, sql: Any
) -> None:
    """Stripe repeats its webhook, and the attempt is still in Redis: the answer says erased, so it may go there too."""
    report = aside(purchase(), pb.QUARANTINE_REASON_AMOUNT_MISMATCH, with_content=True)
    await orders.QuarantinePayment(report)
    await erase(eraser, ADA)

    answer = await orders.QuarantinePayment(report)

    quarantined = answer.decision.quarantined_payment
    assert (quarantined.HasField("erased_at"), quarantined.HasField("context")) == (True, False)
    assert await sql.fetchval("SELECT count(attempt_content) FROM payments") == 0


async def test_a_payment_that_waits_for_its_attempt_may_still_become_the_purchase(
    orders: Client, eraser: Eraser
) -> None:
    """Without content it names nobody, so there is nothing to erase, and what is bought later is kept."""
    report = purchase()
    await orders.QuarantinePayment(aside(report))

    erased = await erase(eraser, OfAttempt(report.payment.attempt_id))
    answer = await orders.RecordPurchase(report)

    assert erased == Tally()
    assert answer.decision.purchase.order.contact == report.context.contact


async def test_purchases_recorded_during_an_erasure_are_whole_or_erased(
    orders: Client, eraser: Eraser, sql: Any
) -> None:
    """Recording never fails for it, nothing is half erased, and a repeat takes what came later."""
    reports = [purchase() for _ in range(60)]
    recording = asyncio.gather(*(orders.RecordPurchase(report) for report in reports))

    first = Tally()
    while not recording.done():
        first += await erase(eraser, ADA)
    answers = await recording
    rest = await erase(eraser, ADA)

    assert sum(not answer.already_recorded for answer in answers) == len(reports)
    assert first + rest == Tally(orders=len(reports))
    assert await sql.fetchval("SELECT count(*) FROM outbox WHERE topic = 'order.erased'") == len(reports)
    assert await sql.fetchval("SELECT count(*) FROM payments WHERE user_id IS NOT NULL") == 0


async def test_two_erasures_at_once_share_the_work(orders: Client, eraser: Eraser, sql: Any) -> None:
    """Each record is erased and announced once, and neither fails."""
    await asyncio.gather(*(orders.RecordPurchase(purchase()) for _ in range(12)))

    tallies = await asyncio.gather(*(erase(eraser, ADA) for _ in range(3)))

    assert sum(tallies, Tally()) == Tally(orders=12)
    assert await count(sql, "outbox") == 24


def test_every_column_is_known_to_be_personal_or_bookkeeping() -> None:
    """A new column fails here until somebody has decided whether an erasure empties it."""
    kept = {table: set(names.split()) for table, names in BOOKKEEPING.items()}

    for name, table in Row.metadata.tables.items():
        assert set(table.columns.keys()) == kept.get(name, set()) | PERSONAL.get(name, set()), name
