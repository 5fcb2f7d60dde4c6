"""RecordPurchase of carts with recurring lines, through gRPC on a real PostgreSQL."""

import json
from typing import Any, NamedTuple

import grpc
import pytest

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import orders_pb2 as pb

from .reports import aside, line
from .service import Client, count, refusal
from .subscription_reports import MONTH, YEAR, cart, recurring_line

FREE = line(90, quantity=1, unit_minor=0)
MONTHLY = (MONTH, 1)


class Expected(NamedTuple):
    """What a cart must become."""

    lines: list[common_pb2.LineItem]
    total: int | None
    """Of the order; None where there must be none."""
    periods: list[tuple[int, int]]
    """Interval and count of each subscription, in order."""


CARTS: dict[str, Expected] = {
    "one-time": Expected([line(1)], 2990, []),
    "a subscription": Expected([recurring_line(1)], None, [MONTHLY]),
    "two lines of one interval": Expected([recurring_line(1), recurring_line(2)], None, [MONTHLY]),
    "two intervals": Expected([recurring_line(1, interval=YEAR), recurring_line(2)], None, [(YEAR, 1), MONTHLY]),
    "two counts of one unit": Expected(
        [recurring_line(1, interval_count=3), recurring_line(2)], None, [(MONTH, 3), MONTHLY]
    ),
    "mixed": Expected([recurring_line(1), line(2)], 2990, [MONTHLY]),
    "mixed with two intervals": Expected(
        [line(1), recurring_line(2), line(3), recurring_line(4, interval=YEAR), recurring_line(5)],
        5490,
        [MONTHLY, (YEAR, 1)],
    ),
    "a trial": Expected([recurring_line(1, trial_days=14)], None, [MONTHLY]),
    "a free line beside a subscription": Expected([FREE, recurring_line(1)], 0, [MONTHLY]),
}

each_cart = pytest.mark.parametrize("expected", CARTS.values(), ids=CARTS)


@each_cart
@pytest.mark.parametrize("user_id", ["user_1", ""])
async def test_p3_a_cart_becomes_its_order_and_subscriptions(
    orders: Client, sql: Any, expected: Expected, user_id: str
) -> None:
    """One order if any line is paid once, one pending subscription for each billing interval, every line once."""
    report = cart(*expected.lines, user_id=user_id)

    purchase = (await orders.RecordPurchase(report)).decision.purchase

    subscriptions = list(purchase.subscriptions)
    assert purchase.HasField("order") == (expected.total is not None)
    if expected.total is not None:
        assert purchase.order.total.minor_units == expected.total
    assert [(each.recurring.interval, each.recurring.interval_count) for each in subscriptions] == expected.periods
    assert {each.status for each in subscriptions} <= {pb.SUBSCRIPTION_STATUS_PENDING}
    sold = [item.price_id for item in purchase.order.items]
    sold += [item.price_id for each in subscriptions for item in each.items]
    assert sorted(sold) == sorted(item.price_id for item in expected.lines)
    for each in subscriptions:
        assert (each.stripe_customer_id, each.payment_method_id) == (f"cus_{user_id}", "pm_1")
        assert (each.checkout_attempt_id, each.intent, each.user_id) == (
            report.payment.attempt_id,
            report.payment.intent,
            user_id,
        )
    assert [await count(sql, table) for table in ("payments", "outbox")] == [1, 1]


@each_cart
async def test_a_purchase_reads_back_as_it_was_answered(orders: Client, expected: Expected) -> None:
    """By its attempt, and when it is reported again."""
    report = cart(*expected.lines)
    recorded = await orders.RecordPurchase(report)

    again = await orders.RecordPurchase(report)
    found = await orders.GetPurchase(pb.GetPurchaseRequest(attempt_id=report.payment.attempt_id))

    assert again.already_recorded
    assert again.decision == recorded.decision
    assert found.purchase == recorded.decision.purchase


async def test_a_subscription_keeps_what_activation_and_delivery_need(orders: Client, sql: Any) -> None:
    """The attempt is deleted next: lines, trial, interval, customer, method, contact and address are in the tables."""
    report = cart(
        recurring_line(1, interval_count=3, trial_days=14), recurring_line(2, interval_count=3, trial_days=14)
    )

    (subscription,) = (await orders.RecordPurchase(report)).decision.purchase.subscriptions

    row = await sql.fetchrow("SELECT * FROM subscriptions")
    items = await sql.fetch("SELECT * FROM subscription_items ORDER BY position")
    assert (row["interval"], row["interval_count"], row["trial_days"], row["currency"]) == ("month", 3, 14, "eur")
    assert (row["status"], row["version"], row["activation_generation"]) == ("pending", 1, 1)
    assert (row["stripe_customer_id"], row["stripe_payment_method_id"]) == ("cus_user_1", "pm_1")
    assert [(item["price_id"], item["unit_amount_minor"]) for item in items] == [("price_1", 901), ("price_2", 902)]
    assert subscription.contact == report.context.contact
    assert subscription.shipping_address == report.context.shipping_address
    assert subscription.recurring == report.context.items[0].recurring


async def test_p5_a_setup_that_bought_something_received_nothing(orders: Client, sql: Any) -> None:
    """Its decision row says 0 of the cart's currency, so that an order of free lines agrees with it."""
    await orders.RecordPurchase(cart(FREE, recurring_line(1)))

    payment = await sql.fetchrow("SELECT kind, amount_minor, currency FROM payments")
    order = await sql.fetchrow("SELECT total_minor, items_minor, currency FROM orders")
    assert tuple(payment) == ("setup", 0, "eur")
    assert tuple(order) == (0, 0, "eur")


async def test_p3_a_setup_whose_attempt_turns_up_becomes_the_purchase(orders: Client, sql: Any) -> None:
    """Set aside without its attempt nothing is known of any sum; promoted it is 0 of the cart's currency."""
    report = cart(recurring_line(1))
    await orders.QuarantinePayment(aside(report))
    before = await sql.fetchrow("SELECT outcome, amount_minor, currency FROM payments")

    answer = await orders.RecordPurchase(report)

    after = await sql.fetchrow("SELECT outcome, amount_minor, currency FROM payments")
    assert tuple(before) == ("quarantined", None, None)
    assert tuple(after) == ("purchase", 0, "eur")
    assert len(answer.decision.purchase.subscriptions) == 1


async def test_p3_a_second_setup_of_an_attempt_is_a_duplicate(orders: Client, sql: Any) -> None:
    """It is set aside with the content and begins nothing."""
    first = cart(recurring_line(1))
    await orders.RecordPurchase(first)
    second = cart(recurring_line(1), attempt_id=first.payment.attempt_id)

    quarantined = (await orders.RecordPurchase(second)).decision.quarantined_payment

    assert quarantined.reason == pb.QUARANTINE_REASON_DUPLICATE_PAYMENT
    assert quarantined.payment == second.payment
    assert quarantined.context == second.context
    assert await count(sql, "subscriptions") == 1


async def test_p3_a_purchase_of_subscriptions_cannot_be_quarantined(orders: Client) -> None:
    """The decision stands, and the answer says what was bought."""
    report = cart(recurring_line(1))
    recorded = await orders.RecordPurchase(report)

    answer = await orders.QuarantinePayment(aside(report, pb.QUARANTINE_REASON_AMOUNT_MISMATCH, with_content=True))

    assert answer.already_recorded
    assert answer.decision == recorded.decision


@pytest.mark.parametrize(
    ("lines", "keys"),
    [
        ([recurring_line(1)], {"subscription_ids"}),
        ([line(1), recurring_line(2)], {"subscription_ids", "order_id"}),
    ],
)
async def test_p7_the_outbox_tells_of_subscriptions_by_id(
    orders: Client, sql: Any, lines: list[common_pb2.LineItem], keys: set[str]
) -> None:
    """Keyed by the order, or by the intent where there is none; ids and sums only."""
    report = cart(*lines)

    purchase = (await orders.RecordPurchase(report)).decision.purchase

    row = await sql.fetchrow("SELECT topic, aggregate_id, payload FROM outbox")
    payload = json.loads(row["payload"])
    assert (row["topic"], row["aggregate_id"]) == ("purchase.recorded", purchase.order.id or report.payment.intent.id)
    assert set(payload) == {"attempt_id", "intent_id", "total_minor", "currency"} | keys
    assert payload["subscription_ids"] == [each.id for each in purchase.subscriptions]


async def test_a_cart_with_every_text_at_its_limit_is_recorded(orders: Client) -> None:
    """Twenty lines in each of five intervals, with the longest names."""
    lines = [
        recurring_line(20 * count + number, interval_count=count + 1) for count in range(5) for number in range(20)
    ]
    for each in lines:
        each.name, each.product_id = "ß" * 5000, "p" * 5000
    report = cart(*lines)

    purchase = (await orders.RecordPurchase(report)).decision.purchase

    assert [len(each.items) for each in purchase.subscriptions] == [20] * 5


async def test_a_subscription_without_a_payment_method_is_refused(orders: Client, sql: Any) -> None:
    """It could never be activated; nothing is written."""
    report = cart(recurring_line(1))
    report.payment.ClearField("payment_method_id")

    error = await refusal(orders.RecordPurchase(report))

    assert (error.code, [each.field for each in error.violations]) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        ["payment.payment_method_id"],
    )
    assert await count(sql, "payments") == 0
