"""Quarantined payments that an operator settles, one call at a time (ADR 42)."""

from typing import Any

import pytest

from checkout.orders.v1 import operator_pb2 as op
from checkout.orders.v1 import orders_pb2 as pb

from ..builders import cart, line, money, purchase, quarantine, recurring_line, refund
from ..operator_calls import (
    ORDER,
    REASONS,
    REFUNDED,
    WRITTEN_OFF,
    abandon_refund,
    actions_of,
    begin_refund,
    quarantined,
    refund_in_full,
    settle,
    step,
)
from ..service import Client, OperatorClient, count, error_of

BUYER = b"ada@shop.example"
WITHOUT_CONTENT = ("attempt_missing", "attempt_unreadable")


@pytest.mark.parametrize("reason", [each for each in REASONS if each != "duplicate_payment"])
async def test_p5_an_order_of_a_quarantined_payment_has_the_difference_as_adjustment(
    orders: Client, operator: OperatorClient, sql: Any, reason: str
) -> None:
    """Of every reason but a duplicate. The total is what Stripe received. The step is recorded with its operator."""
    request = await quarantined(orders, reason, received_minor=7500)
    supplied = request.context if reason in WITHOUT_CONTENT else None

    answer = await settle(operator, request, ORDER, cart=supplied)

    order = answer.payment.purchase.order
    assert (order.total, order.adjustment) == (money(7500), money(-490))
    assert not answer.already_settled
    written = (await orders.GetPurchase(pb.GetPurchaseRequest(attempt_id=request.payment.attempt_id))).purchase.order
    assert (written.id, written.contact, written.total) == (order.id, request.context.contact, money(7500))
    (recorded,) = await actions_of(sql, request.payment.intent.id)
    assert (recorded["operator"], recorded["reason"]) == ("grace", "the buyer called")
    assert recorded["before"]["outcome"] == "quarantined"
    assert recorded["after"] == {
        "outcome": "purchase",
        "order_id": order.id,
        "total_minor": 7500,
        "adjustment_minor": -490,
        "currency": "eur",
        "subscription_ids": [],
        "cart": "supplied" if supplied else "kept",
    }


@pytest.mark.parametrize("reason", REASONS)
async def test_a_payment_is_settled_as_refunded_once_its_refund_is_there(
    orders: Client, operator: OperatorClient, reason: str
) -> None:
    """Not before. The refund that fails later opens it again."""
    request = await quarantined(orders, reason)
    early = await error_of(settle(operator, request, REFUNDED))
    await refund_in_full(orders, request)

    answer = await settle(operator, request, REFUNDED)

    assert early.reason == "not_refunded"
    assert (answer.payment.settlement, answer.already_settled) == (REFUNDED, False)
    intent_id = request.payment.intent.id
    failed = refund(intent_id, f"re_full_{intent_id}", amount=request.payment.received, version=1)
    failed.refund.status = pb.REFUND_STATUS_FAILED
    await orders.ApplyRefund(failed)
    reopened = (await operator.ShowPayment(op.ShowPaymentRequest(intent_id=intent_id))).payment
    assert (reopened.settlement, reopened.HasField("resolved_at")) == (op.SETTLEMENT_UNSPECIFIED, False)


@pytest.mark.parametrize("reason", REASONS)
async def test_a_payment_that_is_written_off_becomes_no_purchase(
    orders: Client, operator: OperatorClient, sql: Any, reason: str
) -> None:
    """Also if its attempt turns up, and whatever is refunded later."""
    request = await quarantined(orders, reason)

    answer = await settle(operator, request, WRITTEN_OFF)

    assert (answer.payment.settlement, answer.payment.HasField("resolved_at")) == (WRITTEN_OFF, True)
    await orders.QuarantinePayment(quarantine(request))
    await refund_in_full(orders, request)
    again = await settle(operator, request, ORDER)
    assert (again.already_settled, again.payment) == (True, answer.payment)
    (recorded,) = await actions_of(sql, request.payment.intent.id)
    assert recorded["after"]["settlement"] == "written_off"


async def test_p3_a_duplicate_becomes_no_second_order(orders: Client, operator: OperatorClient, sql: Any) -> None:
    """Its attempt has its purchase: it can be refunded or written off."""
    request = await quarantined(orders, "duplicate_payment")

    error = await error_of(settle(operator, request, ORDER))

    assert error.reason == "attempt_has_purchase"
    assert await count(sql, "orders", "operator_actions") == [1, 0]


async def test_a_refund_that_began_bars_every_other_settlement(orders: Client, operator: OperatorClient) -> None:
    """And the purchase of an attempt that turns up; once Stripe refused the refund, the payment is open again."""
    request = await quarantined(orders, "attempt_missing")

    await begin_refund(operator, request)

    errors = [await error_of(settle(operator, request, each)) for each in (ORDER, WRITTEN_OFF)]
    assert [error.reason for error in errors] == ["refund_under_way"] * 2
    assert not (await orders.RecordPurchase(request)).decision.HasField("purchase")
    assert not (await abandon_refund(operator, request)).HasField("refund_begun_at")
    assert not (await settle(operator, request, ORDER)).already_settled


async def test_a_setup_intent_becomes_its_subscription_or_is_written_off(
    orders: Client, operator: OperatorClient
) -> None:
    """It received nothing that could be refunded, and has no adjustment."""
    request = cart(recurring_line(1))
    await orders.QuarantinePayment(quarantine(request, pb.QUARANTINE_REASON_UNRECORDABLE, with_content=True))

    refused = await error_of(begin_refund(operator, request))
    answer = await settle(operator, request, ORDER)

    assert refused.reason == "nothing_received"
    (subscription,) = answer.payment.purchase.subscriptions
    assert (subscription.status, subscription.stripe_customer_id) == (pb.SUBSCRIPTION_STATUS_PENDING, "cus_user_1")


async def test_p5_a_cart_that_is_no_purchase_is_refused(orders: Client, operator: OperatorClient) -> None:
    """No content, sums that do not agree, another currency: nothing is settled, and the operator is told why."""
    request = await quarantined(orders, "attempt_missing")
    wrong_sum, other_currency = purchase().context, purchase().context
    wrong_sum.total.minor_units += 1
    for amount in (other_currency.total, other_currency.shipping_option.amount):
        amount.currency = "usd"
    for item in other_currency.items:
        item.unit_price.currency = "usd"

    errors = [await error_of(settle(operator, request, ORDER, cart=each)) for each in (None, wrong_sum, other_currency)]

    assert [error.reason for error in errors] == ["cart_required", "invalid_request", "invalid_request"]
    assert [each.field for each in errors[2].violations] == ["context.total.currency"]


async def test_p7_operators_see_personal_data_only_if_that_is_recorded(
    orders: Client, operator: OperatorClient, sql: Any
) -> None:
    """The list, the payment and its order name no buyer; asking for the data is a step."""
    request = await quarantined(orders, "amount_mismatch")
    intent_id = request.payment.intent.id

    listed = await operator.ListQuarantine(op.ListQuarantineRequest())
    shown = await operator.ShowPayment(op.ShowPaymentRequest(intent_id=intent_id))
    personal = await operator.ShowPayment(op.ShowPaymentRequest(intent_id=intent_id, personal=step("ada")))
    settled = await settle(operator, request, ORDER)

    for answer in (listed, shown, settled):
        assert BUYER not in answer.SerializeToString()
        assert b"user_1" not in answer.SerializeToString()
    assert shown.context.items == request.context.items
    assert personal.context == request.context
    assert [each["action"] for each in await actions_of(sql, intent_id)] == ["show_personal_data", "settle_payment"]
    assert personal.actions[0].step.operator == "ada"


async def test_p7_an_erased_payment_becomes_no_order(orders: Client, operator: OperatorClient, sql: Any) -> None:
    """The operator's cart would bring the buyer back."""
    request = await quarantined(orders, "amount_mismatch")
    await sql.execute("UPDATE payments SET erased_at = now(), user_id = NULL, attempt_content = NULL")

    error = await error_of(settle(operator, request, ORDER, cart=request.context))

    assert error.reason == "payment_erased"


async def test_the_list_of_quarantined_payments_has_pages(orders: Client, operator: OperatorClient) -> None:
    """Newest first; those that are resolved only if they are asked for."""
    requests = [await quarantined(orders, "attempt_missing") for _ in range(3)]
    await settle(operator, requests[1], WRITTEN_OFF)

    first = await operator.ListQuarantine(op.ListQuarantineRequest(page_size=1))
    second = await operator.ListQuarantine(op.ListQuarantineRequest(page_size=1, page_token=first.next_page_token))
    everything = await operator.ListQuarantine(op.ListQuarantineRequest(all=True))

    open_ones = [each.payment.intent.id for each in (*first.payments, *second.payments)]
    assert open_ones == [requests[2].payment.intent.id, requests[0].payment.intent.id]
    assert (second.next_page_token, len(everything.payments)) == ("", 3)


async def test_a_step_that_is_repeated_is_recorded_once(orders: Client, operator: OperatorClient, sql: Any) -> None:
    """A refund of an order, before Stripe is asked and after it answered; the order is found by its number."""
    order = (await orders.RecordPurchase(purchase())).decision.purchase.order
    begun = op.RecordOrderRefundRequest(step=step(), order_id=order.id, amount=money(100), idempotency_key="refund:1")
    done = op.RecordOrderRefundRequest(step=step(), order_id=order.id, amount=money(100), idempotency_key="refund:1")
    done.stripe_refund_id, done.outcome = "re_1", "succeeded"

    for request in (begun, begun, done):
        await operator.RecordOrderRefund(request)

    found = await operator.FindOrder(op.FindOrderRequest(number=order.number.lower()))
    assert [each.step for each in found.actions] == [begun.step, done.step]
    assert (found.order.id, found.order.total) == (order.id, order.total)
    assert BUYER not in found.SerializeToString()


async def test_unknown_payments_and_orders_are_told(operator: OperatorClient) -> None:
    """A mistyped id is no success."""
    payment = await error_of(operator.ShowPayment(op.ShowPaymentRequest(intent_id="pi_unknown")))
    order = await error_of(operator.FindOrder(op.FindOrderRequest(number="222-222-222")))

    assert (payment.reason, order.reason) == ("payment_not_found", "order_not_found")


async def test_the_kept_content_counts_unless_the_operator_supplies_a_cart(
    orders: Client, operator: OperatorClient
) -> None:
    """The operator's cart replaces it as a whole."""
    request = await quarantined(orders, "amount_mismatch", received_minor=2990)
    supplied = cart(line(1)).context

    answer = await settle(operator, request, ORDER, cart=supplied)

    order = answer.payment.purchase.order
    assert [item.price_id for item in order.items] == ["price_1"]
    assert (order.total, order.HasField("adjustment")) == (money(2990), False)
