"""Erasing personal data (P7): everything of the buyer goes, the books stay, also while purchases are recorded."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from checkout.orders.v1 import orders_pb2 as pb
from orders.bootstrap import utc_now
from orders.postgres.erasure import PostgresErasureRepository
from orders.postgres.table_base import PERSONAL_COLUMNS
from orders.postgres.tables import Row
from orders.usecases.erasure import (
    ByAttempt,
    ByOrder,
    ByUser,
    ErasureCounts,
    ErasureService,
    Subject,
    SubjectNotFound,
)
from orders.usecases.retrying import Retrier

from ..builders import (
    cart,
    invoice,
    line,
    mixed_cart,
    purchase,
    quarantine,
    quarantine_with_content,
    recurring_line,
    unreadable,
)
from ..calls import activate, get_customer, put_customer
from ..service import Client, connected, count, error_of, events_held, lock_waiters, until

ADA = ByUser("user_1")
TYPED_BY_THE_BUYER = (
    "user_1",
    "Ada Lovelace",
    "ada@shop.example",
    "+44 20 7946 0001",
    "12 St James's Square",
    "Flat 3",
    "London",
    "SW1Y 4JH",
)
# Every column is in one of the two tables: a new one needs a decision about its erasure.
BOOKKEEPING = {
    "payments": "intent_id kind attempt_id outcome amount_minor currency livemode quarantine_reason channel"
    " intent_created_at stripe_event_id decided_at resolved_at erased_at stripe_payment_method_id reason_before_refund"
    " encrypted_key_id settlement refund_begun_at",
    "orders": "id number checkout_attempt_id payment_intent_id payment_outcome status total_minor items_minor"
    " shipping_minor adjustment_minor currency shipping_rate_id shipping_rate_name created_at erased_at",
    "order_items": "order_id position price_id product_id name quantity unit_amount_minor",
    # Stripe's ids stay, so that a subscription can still be created, followed and ended.
    "subscriptions": "id checkout_attempt_id intent_id stripe_customer_id stripe_payment_method_id"
    " stripe_subscription_id status version interval interval_count current_period_end created_at payment_outcome"
    " currency position trial_days activation_generation activation_began_at activation_failure activation_failed_at"
    " trial_end cancel_at_period_end cancel_at canceled_at ended_at latest_invoice_id erased_at cancel_requested_at"
    " pause_behavior pause_resumes_at discounts default_payment_method_id collection_method",
    "subscription_billed_items": "subscription_id position stripe_item_id price_id product_id name quantity"
    " unit_amount_minor currency interval interval_count current_period_end",
    "subscription_items": "subscription_id position price_id product_id name quantity unit_amount_minor",
    "subscription_invoices": "stripe_invoice_id subscription_id status billing_reason total_minor amount_paid_minor"
    " currency attempt_count created_at period_start period_end next_payment_attempt",
    "customers": "erased_at",
    "refunds": "stripe_refund_id intent_id charge_id amount_minor currency status version created_at",
    "disputes": "stripe_dispute_id intent_id charge_id amount_minor currency status reason version created_at",
    "outbox": "id topic aggregate_id payload created_at published_at",
    "stripe_events": "event_id type created_at handled_at",
    "event_retries": "id type kind stripe_id subscription_id stripe_invoice_id created_at failures next_try_at reason"
    " not_understood_by",
    "cursors": "name position leased_until",
    # An operator's name and words; they name no buyer.
    "operator_actions": "id at operator action subject reason before after",
}
PERSONAL = {
    "payments": {"user_id", "stripe_customer_id", "attempt_content", "encrypted_content"},
    "orders": set(PERSONAL_COLUMNS),
    "subscriptions": set(PERSONAL_COLUMNS),
    "customers": {"user_id", "currency", "stripe_customer_id"},  # The id stays until it is deleted at Stripe.
}

Quarantine = Callable[[pb.RecordPurchaseRequest], pb.QuarantinePaymentRequest]


@pytest.fixture
def service(engine: AsyncEngine) -> ErasureService:
    """Return a service with small batches."""
    retrier = Retrier(budget_seconds=20, tries=3, jitter=lambda: 0.5)
    return ErasureService(PostgresErasureRepository(engine), retrier, utc_now, batch_size=3)


async def erase(service: ErasureService, subject: Subject) -> ErasureCounts:
    """Erase everything; return the sum of the batches."""
    return sum([erased async for erased in service.erase(subject)], ErasureCounts())


async def all_rows(sql: Any) -> dict[str, list[dict[str, Any]]]:
    """Return every row of every table."""
    return {
        table: [dict(row) for row in await sql.fetch(f"SELECT * FROM {table} ORDER BY 1")]  # noqa: S608 - our own names
        for table in Row.metadata.tables
    }


def test_p7_every_column_is_personal_or_bookkeeping() -> None:
    """A new column fails here until somebody decides about its erasure."""
    columns = {name: set(table.columns.keys()) for name, table in Row.metadata.tables.items()}

    decided = {name: set(BOOKKEEPING.get(name, "").split()) | PERSONAL.get(name, set()) for name in columns}

    assert columns == decided


async def test_p7_an_erased_order_keeps_the_books(orders: Client, service: ErasureService, sql: Any) -> None:
    """Every column but the personal ones stays: sums, lines, number, payment, dates."""
    await orders.RecordPurchase(purchase())
    before = await all_rows(sql)

    erased = await erase(service, ADA)

    after = await all_rows(sql)
    (order,) = after["orders"]
    personal = {"erased_at": order["erased_at"], **dict.fromkeys(PERSONAL_COLUMNS)}
    assert erased == ErasureCounts(orders=1)
    assert order == before["orders"][0] | personal
    assert after["order_items"] == before["order_items"]
    assert after["payments"] == [before["payments"][0] | {"user_id": None, "erased_at": order["erased_at"]}]


async def test_p7_nothing_of_an_erased_user_is_left_in_any_table(
    orders: Client, service: ErasureService, sql: Any
) -> None:
    """Purchases of every kind, quarantined payments with their content, the customer, and the outbox."""
    await orders.RecordPurchase(purchase())
    await orders.RecordPurchase(mixed_cart())
    await put_customer(orders, "cus_of_user_1")
    await orders.QuarantinePayment(quarantine_with_content())
    before = repr(await all_rows(sql))

    erased = await erase(service, ADA)
    await service.forget_customers(["cus_of_user_1"])

    left = repr(await all_rows(sql))
    assert erased == ErasureCounts(orders=2, quarantined_payments=1, subscriptions=2, customers=1)
    assert [word for word in TYPED_BY_THE_BUYER if word not in before] == []
    # The Stripe customer of a subscription stays; its id is the test's.
    assert [word for word in TYPED_BY_THE_BUYER if word in left.replace("cus_user_1", "")] == []
    assert "cus_of_user_1" not in left


async def test_nobody_else_is_erased(orders: Client, service: ErasureService, sql: Any) -> None:
    """Neither another user's records nor a guest's."""
    await put_customer(orders, "cus_2", user_id="user_2")
    for user_id in ("user_2", ""):
        await orders.RecordPurchase(mixed_cart(user_id=user_id))
        await orders.QuarantinePayment(quarantine_with_content(user_id=user_id))
    before = await all_rows(sql)

    assert await erase(service, ADA) == ErasureCounts()
    assert await all_rows(sql) == before


async def test_p7_an_erased_subscription_continues_without_its_buyer(
    orders: Client, service: ErasureService, sql: Any
) -> None:
    """It can still be activated; it belongs to nobody."""
    bought = (await orders.RecordPurchase(cart(recurring_line(1)))).decision.purchase
    await erase(service, ADA)

    read = (await orders.GetPurchase(pb.GetPurchaseRequest(attempt_id=bought.attempt_id))).purchase.subscriptions[0]
    bound = await activate(orders, read, None, invoice())

    listed = await orders.ListSubscriptions(pb.ListSubscriptionsRequest(user_id="user_1"))
    row = await sql.fetchrow("SELECT * FROM subscriptions")
    assert (read.user_id, read.items) == ("", bought.subscriptions[0].items)
    assert bound.HasField("erased_at")
    assert list(listed.subscriptions) == []
    assert {row[name] for name in PERSONAL_COLUMNS} == {None}


async def test_p7_an_erased_user_has_no_customer(orders: Client, service: ErasureService, sql: Any) -> None:
    """In no currency. A user who comes back gets a new one."""
    await put_customer(orders, "cus_1")
    await put_customer(orders, "cus_usd", currency="usd")
    counted, named = await service.preview(ADA)

    erased = await erase(service, ADA)

    assert erased == counted == ErasureCounts(customers=2)
    assert await service.stripe_customers() == named == {"cus_1", "cus_usd"}
    assert await sql.fetch("SELECT FROM customers WHERE num_nonnulls(user_id, currency) > 0") == []
    assert await put_customer(orders, "cus_2") == await get_customer(orders) == "cus_2"


async def test_p7_the_stripe_customers_of_an_erased_guest_are_named(orders: Client, service: ErasureService) -> None:
    """They are stored with the subscriptions alone, and named until a person has deleted them at Stripe."""
    bought = (await orders.RecordPurchase(mixed_cart(user_id=""))).decision.purchase
    guest, customer_id = ByAttempt(bought.attempt_id), bought.subscriptions[0].stripe_customer_id
    counted, previewed = await service.preview(guest)

    erased, named = await erase(service, guest), await service.stripe_customers()
    await service.forget_customers([customer_id])
    again = await erase(service, guest)

    assert erased == counted == ErasureCounts(orders=1, subscriptions=2)
    assert named == previewed == {customer_id}
    assert (again, await service.stripe_customers()) == (ErasureCounts(), frozenset())


def with_content(request: pb.RecordPurchaseRequest) -> pb.QuarantinePaymentRequest:
    """Return a request to quarantine a payment with its content."""
    return quarantine(request, pb.QUARANTINE_REASON_AMOUNT_MISMATCH, with_content=True)


@pytest.mark.parametrize(
    ("named_by", "reports"),
    [
        ("payment", [quarantine]),
        ("payment", [unreadable]),
        ("context", [with_content]),
        ("context", [quarantine, with_content]),
    ],
)
async def test_p7_the_customer_of_a_guests_quarantined_payment_is_named(
    orders: Client, service: ErasureService, sql: Any, named_by: str, reports: list[Quarantine]
) -> None:
    """An attempt that is missing, unreadable, readable, or found later: no subscription names its customer."""
    request = cart(recurring_line(1), user_id="")
    request.context.stripe_customer_id = "cus_guest" if named_by == "context" else ""
    request.payment.customer_id = "cus_guest" if named_by == "payment" else ""
    for report in reports:
        await orders.QuarantinePayment(report(request))
    guest = ByAttempt(request.payment.attempt_id)
    _, previewed = await service.preview(guest)

    erased = await erase(service, guest)

    assert erased == ErasureCounts(quarantined_payments=1)
    assert await service.stripe_customers() == previewed == {"cus_guest"}
    assert await sql.fetch("SELECT FROM payments WHERE stripe_customer_id IS NOT NULL") == []


async def test_a_quarantined_payment_without_a_customer_names_none(orders: Client, service: ErasureService) -> None:
    """A guest's order needs no Stripe customer."""
    request = purchase()
    await orders.QuarantinePayment(with_content(request))

    _, previewed = await service.preview(ByAttempt(request.payment.attempt_id))

    assert previewed == frozenset()


async def test_p7_a_customer_that_a_user_keeps_is_not_named(orders: Client, service: ErasureService, sql: Any) -> None:
    """Only one order of the user was erased: deleting the customer would cancel the subscriptions of the others."""
    request = mixed_cart()
    order = (await orders.RecordPurchase(request)).decision.purchase.order
    await put_customer(orders, request.context.stripe_customer_id)
    _, previewed = await service.preview(ByOrder(order.number))

    await erase(service, ByOrder(order.number))
    await service.forget_customers([request.context.stripe_customer_id])

    assert await service.stripe_customers() == previewed == frozenset()
    assert await get_customer(orders) == request.context.stripe_customer_id


async def test_batches_are_bounded_and_nothing_is_erased_twice(
    orders: Client, service: ErasureService, sql: Any
) -> None:
    """Seven orders in batches of three; the second run changes nothing, not even a date."""
    await asyncio.gather(*(orders.RecordPurchase(purchase()) for _ in range(7)))

    batches = [erased.orders async for erased in service.erase(ADA)]
    before = await all_rows(sql)

    assert batches == [3, 3, 1]
    assert await erase(service, ADA) == ErasureCounts()
    assert await all_rows(sql) == before


async def test_p7_every_erasure_is_in_the_outbox(orders: Client, service: ErasureService, sql: Any) -> None:
    """Systems that have read the contact must erase it too."""
    order = (await orders.RecordPurchase(purchase())).decision.purchase.order
    (subscription,) = (await orders.RecordPurchase(cart(recurring_line(1)))).decision.purchase.subscriptions
    request = quarantine_with_content()
    await orders.QuarantinePayment(request)

    await erase(service, ADA)

    rows = await sql.fetch("SELECT topic, aggregate_id, payload FROM outbox WHERE topic LIKE '%.erased' ORDER BY topic")
    intent_id = request.payment.intent.id
    assert [(row["topic"], row["aggregate_id"], json.loads(row["payload"])) for row in rows] == [
        ("order.erased", order.id, {"order_id": order.id}),
        ("payment.erased", intent_id, {"intent_id": intent_id}),
        ("subscription.erased", subscription.id, {"subscription_id": subscription.id}),
    ]


@pytest.mark.parametrize("by", ["order", "attempt"])
async def test_p7_a_guest_is_erased_by_order_or_attempt(
    orders: Client, service: ErasureService, sql: Any, by: str
) -> None:
    """With the attempt's subscription and its second payment in quarantine; other guests stay."""
    request = cart(line(1), recurring_line(2), user_id="")
    order = (await orders.RecordPurchase(request)).decision.purchase.order
    await orders.RecordPurchase(purchase(attempt_id=request.payment.attempt_id, user_id=""))
    await orders.RecordPurchase(mixed_cart(user_id=""))

    erased = await erase(service, ByOrder(order.number) if by == "order" else ByAttempt(request.payment.attempt_id))

    assert erased == ErasureCounts(orders=1, quarantined_payments=1, subscriptions=1)
    assert await sql.fetchval("SELECT count(attempt_content) FROM payments") == 0
    assert await sql.fetchval("SELECT count(contact_name) FROM subscriptions") == 2
    assert await sql.fetchval("SELECT count(contact_name) FROM orders") == 1


async def test_an_unknown_order_or_attempt_is_not_found(service: ErasureService) -> None:
    """A misread number must not look like an erasure."""
    for subject in (ByOrder("222-222-222"), ByAttempt("unknown")):
        with pytest.raises(SubjectNotFound):
            await erase(service, subject)


async def test_p3_p7_a_repeated_report_brings_no_personal_data_back(
    orders: Client, service: ErasureService, sql: Any
) -> None:
    """The erased purchase is returned, by every rpc; its user's list is empty."""
    request = purchase()
    recorded = (await orders.RecordPurchase(request)).decision.purchase.order
    await erase(service, ADA)
    before = await all_rows(sql)

    answer = await orders.RecordPurchase(request)
    await orders.QuarantinePayment(quarantine(request, pb.QUARANTINE_REASON_AMOUNT_MISMATCH, with_content=True))

    order = (await orders.GetOrder(pb.GetOrderRequest(order_id=recorded.id))).order
    assert (answer.already_recorded, answer.decision.purchase.order) == (True, order)
    assert (order.number, order.total, order.items) == (recorded.number, recorded.total, recorded.items)
    assert order.HasField("erased_at")
    assert (order.user_id, order.HasField("contact"), order.HasField("shipping_address")) == ("", False, False)
    assert list((await orders.ListOrders(pb.ListOrdersRequest(user_id="user_1"))).orders) == []
    assert await all_rows(sql) == before


async def test_p7_content_that_arrives_after_the_erasure_is_not_stored(
    orders: Client, service: ErasureService, sql: Any
) -> None:
    """Stripe repeats its webhook while the attempt is still in Redis: the answer says erased, so it may be deleted."""
    request = quarantine_with_content()
    await orders.QuarantinePayment(request)
    await erase(service, ADA)

    quarantined = (await orders.QuarantinePayment(request)).decision.quarantined_payment

    assert (quarantined.HasField("erased_at"), quarantined.HasField("context")) == (True, False)
    assert await sql.fetchval("SELECT count(attempt_content) FROM payments") == 0


@pytest.mark.parametrize("user_id", ["user_1", ""])
async def test_p7_the_encrypted_content_of_an_unreadable_attempt_is_erased_for_good(
    orders: Client, service: ErasureService, sql: Any, user_id: str
) -> None:
    """By user or by attempt. With its key back, it returns neither as content nor as the purchase."""
    request = purchase(user_id=user_id)
    await orders.QuarantinePayment(unreadable(request))

    erased = await erase(service, ADA if user_id else ByAttempt(request.payment.attempt_id))
    await orders.QuarantinePayment(unreadable(request))
    answer = await orders.RecordPurchase(request)

    row = await sql.fetchrow("SELECT user_id, encrypted_content, encrypted_key_id FROM payments")
    assert erased == ErasureCounts(quarantined_payments=1)
    assert answer.decision.quarantined_payment.HasField("erased_at")
    assert tuple(row) == (None, None, None)


async def test_a_payment_without_content_is_not_erased(orders: Client, service: ErasureService) -> None:
    """It has no personal data, and may still become the purchase when its attempt turns up."""
    request = purchase()
    await orders.QuarantinePayment(quarantine(request))

    erased = await erase(service, ByAttempt(request.payment.attempt_id))
    answer = await orders.RecordPurchase(request)

    assert erased == ErasureCounts()
    assert answer.decision.purchase.order.contact == request.context.contact


async def test_purchases_recorded_during_an_erasure_are_complete_or_erased(
    orders: Client, service: ErasureService, sql: Any
) -> None:
    """No call fails, nothing is half erased, and the next run erases what came later."""
    requests = [purchase() for _ in range(60)]
    recording = asyncio.gather(*(orders.RecordPurchase(request) for request in requests))

    first = ErasureCounts()
    while not recording.done():
        first += await erase(service, ADA)
    await recording
    rest = await erase(service, ADA)

    assert first + rest == ErasureCounts(orders=len(requests))
    assert await sql.fetchval("SELECT count(*) FROM outbox WHERE topic = 'order.erased'") == len(requests)
    assert await sql.fetchval("SELECT count(*) FROM payments WHERE user_id IS NOT NULL") == 0


async def test_p7_a_payment_that_becomes_the_purchase_during_an_erasure_is_erased(
    database_url: str, orders: Client, service: ErasureService, sql: Any
) -> None:
    """The erasure finds it in quarantine, waits for it, and meets it again as an order."""
    request = purchase()
    await orders.QuarantinePayment(unreadable(request))

    async def waiting(number: int) -> bool:
        return len(await lock_waiters(sql)) == number

    async with events_held(database_url):
        recording = asyncio.ensure_future(orders.RecordPurchase(request))
        await until(lambda: waiting(1))
        erasing = asyncio.ensure_future(erase(service, ADA))
        await until(lambda: waiting(2))
    await recording

    assert await erasing == ErasureCounts(orders=1)
    assert await sql.fetchval("SELECT count(contact_email) FROM orders") == 0


async def test_p7_a_customer_that_is_erased_at_the_same_moment_is_stored_for_nobody(
    database_url: str, orders: Client, sql: Any
) -> None:
    """A checkout that Stripe gave the user's customer again waits for the erasure, and is refused."""
    await put_customer(orders, "cus_1")
    async with connected(database_url) as erasing, erasing.transaction():
        await erasing.execute("UPDATE customers SET user_id = NULL, currency = NULL, erased_at = now()")
        storing = asyncio.ensure_future(put_customer(orders, "cus_1"))
        await until(lambda: lock_waiters(sql))

    error = await error_of(storing)

    assert error.reason == "customer_erased"
    assert await sql.fetch("SELECT FROM customers WHERE user_id IS NOT NULL") == []


async def test_concurrent_erasures_share_the_work(orders: Client, service: ErasureService, sql: Any) -> None:
    """Each record is erased once, and no run fails."""
    await asyncio.gather(*(orders.RecordPurchase(purchase()) for _ in range(12)))

    counts = await asyncio.gather(*(erase(service, ADA) for _ in range(3)))

    assert sum(counts, ErasureCounts()) == ErasureCounts(orders=12)
    assert await count(sql, "outbox") == [24]
