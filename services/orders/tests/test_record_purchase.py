"""RecordPurchase through gRPC on a real PostgreSQL: one at a time."""

import json
from typing import Any

from checkout.orders.v1 import orders_pb2 as pb
from orders.domain.orders import is_order_number

from .reports import aside, purchase
from .service import Client, count


async def test_p3_a_succeeded_intent_becomes_a_purchase(orders: Client) -> None:
    """The answer carries the order with everything that was bought, in the order of the cart."""
    report = purchase(lines=3)

    answer = await orders.RecordPurchase(report)

    order = answer.decision.purchase.order
    assert not answer.already_recorded
    assert answer.decision.purchase.attempt_id == order.checkout_attempt_id == report.payment.attempt_id
    assert answer.decision.purchase.intent == report.payment.intent
    assert order.payment_intent_id == report.payment.intent.id
    assert is_order_number(order.number)
    assert (order.user_id, order.status, order.total) == ("user_1", pb.ORDER_STATUS_PAID, report.context.total)
    assert order.contact == report.context.contact
    assert order.shipping_address == report.context.shipping_address
    assert order.shipping_option == report.context.shipping_option
    assert [(item.price_id, item.product_id, item.name, item.quantity, item.unit_price) for item in order.items] == [
        (line.price_id, line.product_id, line.name, line.quantity, line.unit_price) for line in report.context.items
    ]


async def test_p3_the_same_report_again_answers_the_same_purchase(orders: Client) -> None:
    """A repeated report changes nothing, even if it says something else by now."""
    report = purchase()
    first = await orders.RecordPurchase(report)
    report.context.contact.name = "Somebody Else"

    again = await orders.RecordPurchase(report)

    assert again.already_recorded
    assert again.decision == first.decision


async def test_p3_a_second_intent_of_an_attempt_is_set_aside_with_the_content(
    orders: Client,
) -> None:
    """The buyer paid twice: one purchase, and one payment for a person to settle."""
    first = purchase()
    await orders.RecordPurchase(first)
    second = purchase(attempt_id=first.payment.attempt_id)

    answer = await orders.RecordPurchase(second)

    assert not answer.already_recorded
    assert answer.decision.quarantined_payment.reason == pb.QUARANTINE_REASON_DUPLICATE_PAYMENT
    assert answer.decision.quarantined_payment.payment == second.payment
    assert answer.decision.quarantined_payment.context == second.context


async def test_p3_an_attempt_that_turns_up_becomes_the_purchase(orders: Client, sql: Any) -> None:
    """A payment set aside only because its attempt was missing is no final word."""
    report = purchase()
    await orders.QuarantinePayment(aside(report))

    answer = await orders.RecordPurchase(report)

    row = await sql.fetchrow("SELECT * FROM payments")
    assert not answer.already_recorded
    assert answer.decision.purchase.order.total == report.payment.received
    assert (row["outcome"], row["quarantine_reason"]) == ("purchase", None)
    assert await count(sql, "orders") == 1


async def test_p3_a_settled_missing_attempt_stays_settled(orders: Client, sql: Any) -> None:
    """Once a person resolved it, by a refund say, the attempt must not turn into an order."""
    report = purchase()
    await orders.QuarantinePayment(aside(report))
    await sql.execute("UPDATE payments SET resolved_at = now()")

    answer = await orders.RecordPurchase(report)

    assert answer.already_recorded
    assert answer.decision.quarantined_payment.reason == pb.QUARANTINE_REASON_ATTEMPT_MISSING
    assert answer.decision.quarantined_payment.context == report.context
    assert await count(sql, "orders") == 0


async def test_p3_a_payment_set_aside_for_another_reason_stays(orders: Client, sql: Any) -> None:
    """What was decided stays decided."""
    report = purchase()
    mismatch = aside(report, pb.QUARANTINE_REASON_AMOUNT_MISMATCH, with_content=True)
    await orders.QuarantinePayment(mismatch)

    answer = await orders.RecordPurchase(report)

    assert answer.already_recorded
    assert answer.decision.quarantined_payment.reason == pb.QUARANTINE_REASON_AMOUNT_MISMATCH
    assert await count(sql, "orders") == 0


async def test_p4_a_missing_attempt_that_turns_up_too_late_leaves_its_content(orders: Client, sql: Any) -> None:
    """Another intent was faster: this one is a duplicate now, and keeps the content that came with it."""
    late = purchase()
    await orders.QuarantinePayment(aside(late))
    await orders.RecordPurchase(purchase(attempt_id=late.payment.attempt_id))

    answer = await orders.RecordPurchase(late)

    assert answer.already_recorded
    assert answer.decision.quarantined_payment.reason == pb.QUARANTINE_REASON_DUPLICATE_PAYMENT
    assert answer.decision.quarantined_payment.context == late.context
    assert await count(sql, "orders") == 1


async def test_p7_the_outbox_tells_ids_and_sums_only(orders: Client, sql: Any) -> None:
    """One row for the purchase, without anything about the buyer."""
    report = purchase()

    answer = await orders.RecordPurchase(report)

    rows = await sql.fetch("SELECT * FROM outbox")
    assert [(row["topic"], row["aggregate_id"], row["published_at"]) for row in rows] == [
        ("purchase.recorded", answer.decision.purchase.order.id, None)
    ]
    assert json.loads(rows[0]["payload"]) == {
        "order_id": answer.decision.purchase.order.id,
        "attempt_id": report.payment.attempt_id,
        "intent_id": report.payment.intent.id,
        "total_minor": 7990,
        "currency": "eur",
    }


async def test_operators_find_what_was_bought_in_the_tables(orders: Client, sql: Any) -> None:
    """The columns hold what the buyer gave and what was paid, in minor units."""
    report = purchase(lines=2)
    await orders.RecordPurchase(report)

    order = dict(await sql.fetchrow("SELECT * FROM orders"))
    payment = dict(await sql.fetchrow("SELECT * FROM payments"))
    items = [tuple(row) for row in await sql.fetch("SELECT * FROM order_items ORDER BY position")]

    assert order["checkout_attempt_id"] == payment["attempt_id"] == report.payment.attempt_id
    assert order["payment_intent_id"] == payment["intent_id"] == report.payment.intent.id
    assert (order["total_minor"], order["items_minor"], order["shipping_minor"]) == (5490, 5000, 490)
    assert (payment["amount_minor"], payment["currency"], payment["livemode"]) == (5490, "eur", False)
    assert (payment["channel"], payment["stripe_event_id"]) == ("webhook", report.report.stripe_event_id)
    assert (order["contact_email"], order["shipping_country"], order["shipping_state"]) == (
        "ada@shop.example",
        "GB",
        None,
    )
    assert (order["shipping_rate_id"], order["shipping_rate_name"]) == ("shr_std", "Standard")
    assert items == [
        (order["id"], number, f"price_{number}", f"prod_{number}", f"Ceramic mug no. {number}", 2, 1250)
        for number in range(2)
    ]


async def test_a_guest_buys_what_is_not_shipped(orders: Client, sql: Any) -> None:
    """Without user, phone, address and shipping the columns are null and the answer's fields empty."""
    report = purchase(user_id="")
    report.context.contact.phone = ""
    report.context.ClearField("shipping_address")
    report.context.ClearField("shipping_option")
    report.context.total.minor_units = report.payment.received.minor_units = 7500

    order = (await orders.RecordPurchase(report)).decision.purchase.order

    row = await sql.fetchrow("SELECT * FROM orders")
    assert (order.user_id, order.contact.phone) == ("", "")
    assert not order.HasField("shipping_address")
    assert not order.HasField("shipping_option")
    assert (row["user_id"], row["contact_phone"], row["shipping_line1"], row["shipping_rate_id"]) == (None,) * 4
    assert row["shipping_minor"] == 0


async def test_a_cart_of_200_lines_with_the_longest_texts_is_recorded(orders: Client, sql: Any) -> None:
    """Names, product ids and addresses may be as long as Stripe lets them be."""
    report = purchase(lines=200)
    for item in report.context.items:
        item.name = "ß" * 5000
        item.product_id = "p" * 5000
    report.context.shipping_address.line1 = "ü" * 5000

    order = (await orders.RecordPurchase(report)).decision.purchase.order

    assert [(item.name, item.product_id) for item in order.items] == [("ß" * 5000, "p" * 5000)] * 200
    assert await count(sql, "order_items") == 200


async def test_sums_up_to_the_largest_integer_are_recorded(orders: Client) -> None:
    """Money never passes through a float."""
    report = purchase(lines=1)
    largest = 2**63 - 1
    report.context.items[0].quantity = 1
    report.context.items[0].unit_price.minor_units = largest - 490
    report.context.total.minor_units = report.payment.received.minor_units = largest

    order = (await orders.RecordPurchase(report)).decision.purchase.order

    assert order.total.minor_units == largest
