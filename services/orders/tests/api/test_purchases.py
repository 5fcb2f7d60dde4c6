"""RecordPurchase, QuarantinePayment and the reads, one call at a time."""

import json
import uuid
from typing import Any

import grpc
import pytest

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import orders_pb2 as pb
from orders.domain.orders import is_order_number

from ..builders import cart, line, mixed_cart, purchase, quarantine, quarantine_with_content, recurring_line
from ..calls import list_quarantined
from ..service import Client, count, error_of

ORDER_KEYS = {"order_id", "order_status", "refunded_minor", "disputed_minor"}
FREE = line(90, quantity=1, unit_minor=0)


async def test_p3_a_succeeded_intent_becomes_a_purchase(orders: Client) -> None:
    """The order has everything that was bought, in the order of the cart."""
    request = purchase()

    answer = await orders.RecordPurchase(request)

    bought, order = answer.decision.purchase, answer.decision.purchase.order
    assert not answer.already_recorded
    assert (bought.attempt_id, bought.intent) == (request.payment.attempt_id, request.payment.intent)
    assert (order.checkout_attempt_id, order.payment_intent_id) == (bought.attempt_id, bought.intent.id)
    assert is_order_number(order.number)
    assert (order.user_id, order.status, order.total) == ("user_1", pb.ORDER_STATUS_PAID, request.context.total)
    assert order.contact == request.context.contact
    assert order.shipping_address == request.context.shipping_address
    assert order.shipping_option == request.context.shipping_option
    assert [(item.price_id, item.product_id, item.name, item.quantity, item.unit_price) for item in order.items] == [
        (item.price_id, item.product_id, item.name, item.quantity, item.unit_price) for item in request.context.items
    ]


async def test_a_guest_may_buy_what_is_not_shipped(orders: Client, sql: Any) -> None:
    """Columns are null and fields empty without user, phone, address and shipping."""
    request = purchase(user_id="")
    request.context.contact.phone = ""
    request.context.ClearField("shipping_address")
    request.context.ClearField("shipping_option")
    request.context.total.minor_units = request.payment.received.minor_units = 7500

    order = (await orders.RecordPurchase(request)).decision.purchase.order

    row = await sql.fetchrow("SELECT * FROM orders")
    assert (order.user_id, order.contact.phone) == ("", "")
    assert not order.HasField("shipping_address")
    assert not order.HasField("shipping_option")
    assert (row["user_id"], row["contact_phone"], row["shipping_line1"], row["shipping_rate_id"]) == (None,) * 4


async def test_p3_a_mixed_cart_becomes_its_order_and_subscriptions(orders: Client, sql: Any) -> None:
    """The tables have everything that activation and delivery need: the attempt is deleted next."""
    request = mixed_cart()

    bought = (await orders.RecordPurchase(request)).decision.purchase

    monthly, yearly = bought.subscriptions
    rows = await sql.fetch("SELECT * FROM subscriptions ORDER BY position")
    assert [item.price_id for item in bought.order.items] == ["price_1"]
    assert [item.price_id for item in monthly.items] == ["price_2", "price_3"]
    assert (monthly.recurring, yearly.recurring) == (
        request.context.items[1].recurring,
        request.context.items[3].recurring,
    )
    assert (monthly.status, monthly.version, monthly.activation_generation) == (pb.SUBSCRIPTION_STATUS_PENDING, 1, 1)
    assert (monthly.stripe_customer_id, monthly.payment_method_id, monthly.user_id) == ("cus_user_1", "pm_1", "user_1")
    assert (monthly.checkout_attempt_id, monthly.intent) == (bought.attempt_id, request.payment.intent)
    assert [(row["contact_email"], row["shipping_country"]) for row in rows] == [("ada@shop.example", "GB")] * 2


async def test_p5_a_setup_intent_received_nothing(orders: Client, sql: Any) -> None:
    """Its decision has amount 0 in the cart's currency, so that an order of free lines agrees with it."""
    bought = (await orders.RecordPurchase(cart(FREE, recurring_line(1)))).decision.purchase

    payment = await sql.fetchrow("SELECT kind, amount_minor, currency FROM payments")
    assert tuple(payment) == ("setup", 0, "eur")
    assert (bought.order.total.minor_units, len(bought.subscriptions)) == (0, 1)


@pytest.mark.parametrize("request_", [purchase(), mixed_cart(), cart(recurring_line(1)), cart(FREE, recurring_line(1))])
async def test_p3_a_purchase_is_read_back_as_it_was_recorded(
    orders: Client, request_: pb.RecordPurchaseRequest
) -> None:
    """By its attempt, by its order, and when it is reported again, even with other content."""
    recorded = (await orders.RecordPurchase(request_)).decision
    request_.context.contact.name = "Somebody Else"

    again = await orders.RecordPurchase(request_)
    by_attempt = await orders.GetPurchase(pb.GetPurchaseRequest(attempt_id=request_.payment.attempt_id))

    assert (again.already_recorded, again.decision) == (True, recorded)
    assert by_attempt.purchase == recorded.purchase
    if recorded.purchase.HasField("order"):
        by_id = await orders.GetOrder(pb.GetOrderRequest(order_id=recorded.purchase.order.id))
        assert by_id.order == recorded.purchase.order


@pytest.mark.parametrize(
    ("lines", "keys"),
    [
        ([line(1)], ORDER_KEYS),
        ([recurring_line(1)], {"subscription_ids"}),
        ([line(1), recurring_line(2)], ORDER_KEYS | {"subscription_ids"}),
    ],
)
async def test_p7_the_outbox_event_of_a_purchase_has_ids_and_amounts_only(
    orders: Client, sql: Any, lines: list[common_pb2.LineItem], keys: set[str]
) -> None:
    """Its aggregate is the order, or the intent where there is none."""
    request = cart(*lines)

    bought = (await orders.RecordPurchase(request)).decision.purchase

    row = await sql.fetchrow("SELECT topic, aggregate_id, payload, published_at FROM outbox")
    payload = json.loads(row["payload"])
    assert (row["topic"], row["published_at"]) == ("purchase.recorded", None)
    assert row["aggregate_id"] == (bought.order.id or request.payment.intent.id)
    assert set(payload) == {"attempt_id", "intent_id", "total_minor", "currency"} | keys
    assert payload.get("subscription_ids", []) == [each.id for each in bought.subscriptions]
    assert payload["total_minor"] == request.context.total.minor_units


async def test_p3_a_second_intent_of_an_attempt_is_quarantined_with_the_content(orders: Client, sql: Any) -> None:
    """The buyer paid twice: one purchase, and one payment for a person to resolve."""
    for first in (purchase(), cart(recurring_line(1))):
        await orders.RecordPurchase(first)
        second = pb.RecordPurchaseRequest()
        second.CopyFrom(first)
        second.payment.intent.id = f"second_{first.payment.intent.id}"

        answer = await orders.RecordPurchase(second)

        quarantined = answer.decision.quarantined_payment
        assert not answer.already_recorded
        assert quarantined.reason == pb.QUARANTINE_REASON_DUPLICATE_PAYMENT
        assert (quarantined.payment, quarantined.context) == (second.payment, second.context)
    assert await count(sql, "orders", "subscriptions") == [1, 1]


async def test_p3_a_missing_attempt_that_turns_up_becomes_the_purchase(orders: Client, sql: Any) -> None:
    """A quarantine for a missing attempt is not final; one of a setup intent gets its amount with the purchase."""
    for request in (purchase(), cart(recurring_line(1))):
        await orders.QuarantinePayment(quarantine(request))

        answer = await orders.RecordPurchase(request)

        assert not answer.already_recorded
        assert answer.decision.HasField("purchase")
    rows = await sql.fetch("SELECT outcome::text, quarantine_reason, amount_minor FROM payments ORDER BY amount_minor")
    assert [tuple(row) for row in rows] == [("purchase", None, 0), ("purchase", None, 7990)]
    assert await list_quarantined(orders) == []


async def test_p3_a_resolved_missing_attempt_stays_quarantined(orders: Client, sql: Any) -> None:
    """A person may have refunded it: the attempt must not become an order."""
    request = purchase()
    await orders.QuarantinePayment(quarantine(request))
    await sql.execute("UPDATE payments SET resolved_at = now()")

    answer = await orders.RecordPurchase(request)

    assert answer.already_recorded
    assert answer.decision.quarantined_payment.reason == pb.QUARANTINE_REASON_ATTEMPT_MISSING
    assert answer.decision.quarantined_payment.context == request.context


async def test_p3_a_payment_quarantined_for_another_reason_stays(orders: Client) -> None:
    """A decision is final, and the reason and the content that came first stay (P4)."""
    request = purchase()
    mismatch = quarantine(request, pb.QUARANTINE_REASON_AMOUNT_MISMATCH, with_content=True)
    first = await orders.QuarantinePayment(mismatch)
    other = quarantine(request, pb.QUARANTINE_REASON_UNRECORDABLE, with_content=True)
    other.context.contact.name = "Somebody Else"

    recorded, quarantined = await orders.RecordPurchase(request), await orders.QuarantinePayment(other)

    assert (recorded.already_recorded, quarantined.already_recorded) == (True, True)
    assert recorded.decision == quarantined.decision == first.decision


async def test_p4_a_missing_attempt_that_turns_up_too_late_keeps_its_content(orders: Client, sql: Any) -> None:
    """Another intent got the purchase: this one becomes a duplicate, and keeps the content that came with it."""
    late = purchase()
    await orders.QuarantinePayment(quarantine(late))
    await orders.RecordPurchase(purchase(attempt_id=late.payment.attempt_id))

    answer = await orders.RecordPurchase(late)

    assert answer.already_recorded
    assert answer.decision.quarantined_payment.reason == pb.QUARANTINE_REASON_DUPLICATE_PAYMENT
    assert answer.decision.quarantined_payment.context == late.context
    assert await count(sql, "orders") == [1]


async def test_p4_content_that_comes_later_is_attached(orders: Client) -> None:
    """A payment that waited for its attempt takes the reason and the content."""
    request = purchase()
    await orders.QuarantinePayment(quarantine(request))

    answer = await orders.QuarantinePayment(
        quarantine(request, pb.QUARANTINE_REASON_AMOUNT_MISMATCH, with_content=True)
    )

    assert answer.already_recorded
    assert answer.decision.quarantined_payment.reason == pb.QUARANTINE_REASON_AMOUNT_MISMATCH
    assert answer.decision.quarantined_payment.context == request.context


async def test_p3_a_purchase_cannot_be_quarantined(orders: Client, sql: Any) -> None:
    """The purchase is returned: the attempt is missing because it was deleted after the purchase."""
    for request in (purchase(), cart(recurring_line(1))):
        recorded = await orders.RecordPurchase(request)

        answer = await orders.QuarantinePayment(quarantine(request))

        assert (answer.already_recorded, answer.decision) == (True, recorded.decision)
    assert await count(sql, "outbox") == [2]


@pytest.mark.parametrize(
    "reason",
    [
        pb.QUARANTINE_REASON_AMOUNT_MISMATCH,
        pb.QUARANTINE_REASON_INTENT_MISMATCH,
        pb.QUARANTINE_REASON_DUPLICATE_PAYMENT,
        pb.QUARANTINE_REASON_UNRECORDABLE,
    ],
)
async def test_p4_a_payment_is_quarantined_together_with_its_content(
    orders: Client, sql: Any, reason: pb.QuarantineReason.ValueType
) -> None:
    """The answer has payment, reason, content and report; a repeat changes nothing."""
    request = quarantine(purchase(), reason, with_content=True)

    answer = await orders.QuarantinePayment(request)
    again = await orders.QuarantinePayment(request)

    quarantined = answer.decision.quarantined_payment
    assert (quarantined.payment, quarantined.reason) == (request.payment, reason)
    assert (quarantined.context, quarantined.report) == (request.context, request.report)
    assert (again.already_recorded, again.decision) == (True, answer.decision)
    assert await count(sql, "payments", "outbox") == [1, 1]


async def test_p3_everything_that_stripe_may_report_is_quarantined(orders: Client) -> None:
    """The longest ids and metadata, the widest characters, no amount or the largest one, unknown fields."""
    request = quarantine(purchase(), pb.QUARANTINE_REASON_UNRECORDABLE, with_content=True)
    request.payment.intent.id = "pi_".ljust(255, "x")
    request.payment.attempt_id = "\U0001f600" * 500
    request.payment.received.minor_units = 2**63 - 1
    request.payment.livemode = True
    request.context.user_id = "u" * 1000
    request.context.contact.name = "NUL \0 and \U0001f600"
    request.context.MergeFromString(b"\xca\x3e\x05later")
    setup = quarantine(cart(recurring_line(1)))

    answers = [await orders.QuarantinePayment(each) for each in (request, setup)]

    largest, without_amount = (answer.decision.quarantined_payment for answer in answers)
    assert largest.payment == request.payment
    assert largest.context.SerializeToString() == request.context.SerializeToString()
    assert (without_amount.payment, without_amount.HasField("context")) == (setup.payment, False)


async def test_p7_the_outbox_event_of_a_quarantine_has_ids_and_amounts_only(orders: Client, sql: Any) -> None:
    """Its aggregate is the intent."""
    request = quarantine_with_content()

    await orders.QuarantinePayment(request)

    row = await sql.fetchrow("SELECT * FROM outbox")
    assert (row["topic"], row["aggregate_id"]) == ("payment.quarantined", request.payment.intent.id)
    assert json.loads(row["payload"]) == {
        "intent_id": request.payment.intent.id,
        "attempt_id": request.payment.attempt_id,
        "reason": "amount_mismatch",
        "status": "unresolved",
        "amount_minor": 7990,
        "currency": "eur",
    }


async def test_p5_amounts_up_to_the_largest_integer_are_recorded(orders: Client) -> None:
    """No amount passes through a float."""
    request = purchase(lines=1)
    largest = 2**63 - 1
    request.context.items[0].quantity = 1
    request.context.items[0].unit_price.minor_units = largest - 490
    request.context.total.minor_units = request.payment.received.minor_units = largest

    order = (await orders.RecordPurchase(request)).decision.purchase.order

    assert order.total.minor_units == largest


async def test_unknown_ids_are_not_found(orders: Client) -> None:
    """The reason names the kind."""
    unknown = str(uuid.uuid4())

    errors = [
        await error_of(orders.GetPurchase(pb.GetPurchaseRequest(attempt_id=unknown))),
        await error_of(orders.GetOrder(pb.GetOrderRequest(order_id=unknown))),
    ]

    assert {error.code for error in errors} == {grpc.StatusCode.NOT_FOUND}
    assert [error.reason for error in errors] == ["purchase_not_found", "order_not_found"]


async def test_violations_arrive_with_their_fields(orders: Client) -> None:
    """As many as fit into the trailers."""
    request = purchase(lines=200)
    for item in request.context.items:
        item.quantity = 0

    error = await error_of(orders.RecordPurchase(request))

    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "invalid_request")
    assert error.violations[3].field == "context.items[3].quantity"


async def test_a_user_lists_its_own_orders_newest_first(orders: Client, sql: Any) -> None:
    """Page by page, each once, also if several have the same time; nobody else's, and no guest's."""
    mine = [(await orders.RecordPurchase(purchase())).decision.purchase.order.id for _ in range(5)]
    for user_id in ("user_2", ""):
        await orders.RecordPurchase(purchase(user_id=user_id))
    await sql.execute("UPDATE orders SET created_at = (SELECT max(created_at) FROM orders) WHERE id <> $1", mine[4])

    first = await orders.ListOrders(pb.ListOrdersRequest(user_id="user_1", page_size=3))
    second = await orders.ListOrders(
        pb.ListOrdersRequest(user_id="user_1", page_size=3, page_token=first.next_page_token)
    )

    assert [order.id for order in (*first.orders, *second.orders)] == [*sorted(mine[:4], reverse=True), mine[4]]
    assert (len(first.orders), second.next_page_token) == (3, "")


async def test_quarantined_payments_are_listed_newest_first(orders: Client) -> None:
    """Page by page, each once, with its content; purchases are not among them."""
    requests = [quarantine_with_content() for _ in range(12)]
    for request in requests:
        await orders.QuarantinePayment(request)
    await orders.RecordPurchase(purchase())

    listed = await list_quarantined(orders)

    assert [(each.payment, each.context) for each in listed] == [
        (each.payment, each.context) for each in reversed(requests)
    ]


async def test_an_event_that_no_webhook_delivered_is_recorded_with_its_id(orders: Client, sql: Any) -> None:
    """The reconciler found it in Stripe's list."""
    request = purchase()
    request.report.channel = pb.REPORT_CHANNEL_RECONCILER
    request.report.stripe_event_id = "evt_1"

    await orders.RecordPurchase(request)

    row = await sql.fetchrow("SELECT channel, stripe_event_id FROM payments")
    assert tuple(row) == ("reconciler", "evt_1")
