from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from checkout.orders.v1 import orders_pb2 as pb
from payments_gateway.domain.attempts import CheckoutContext, UnreadableAttempt
from payments_gateway.domain.purchases import (
    Order,
    OrderNotFound,
    OrderPage,
    OrderStatus,
    Payment,
    PaymentReport,
    Purchase,
    PurchaseRefused,
    QuarantinedPayment,
    QuarantineReason,
    ReportChannel,
)
from payments_gateway.rpc.messages import context_to_proto, intent_to_proto, money_to_proto, time_to_proto
from payments_gateway.rpc.orders import OrdersClient
from servicekit.violations import FieldViolation, InvalidRequest

from ..samples import ATTEMPT_ID, CONTEXT, INTENT_CREATED_AT, intent_ref
from ..service_stand_ins import OrdersStandIn, Refusal

REF = intent_ref("pi_1")
PAYMENT = Payment(
    REF, ATTEMPT_ID, CONTEXT.total, livemode=False, intent_created_at=INTENT_CREATED_AT, customer_id="cus_1"
)
WEBHOOK = PaymentReport(ReportChannel.WEBHOOK, "evt_1")
NEWER: Any = 99
"""A number that a later version of the contract may give a meaning."""
CREATED = datetime(2030, 1, 1, 12, 30, tzinfo=UTC)
ORDER = Order(
    id="00000000-0000-4000-8000-000000000001",
    number="H-0001",
    checkout_attempt_id=ATTEMPT_ID,
    user_id="user_ada",
    status=OrderStatus.PAID,
    total=CONTEXT.total,
    contact=CONTEXT.contact,
    shipping_address=CONTEXT.shipping_address,
    shipping_option=CONTEXT.shipping_option,
    items=CONTEXT.items,
    created_at=CREATED,
)


def order_message(order: Order) -> pb.Order:
    """Return an order as orders shows it."""
    context = context_to_proto(
        replace(
            CONTEXT,
            contact=order.contact,
            shipping_address=order.shipping_address,
            shipping_option=order.shipping_option,
            items=order.items,
        )
    )
    created_at = Timestamp()
    created_at.FromDatetime(order.created_at)
    return pb.Order(
        id=order.id,
        number=order.number,
        checkout_attempt_id=order.checkout_attempt_id,
        payment_intent_id=REF.id,
        user_id=order.user_id or "",
        status=pb.ORDER_STATUS_PAID,
        total=money_to_proto(order.total),
        contact=context.contact,
        shipping_address=context.shipping_address if context.HasField("shipping_address") else None,
        shipping_option=context.shipping_option if context.HasField("shipping_option") else None,
        items=[
            pb.OrderItem(
                price_id=item.price_id,
                product_id=item.product_id,
                name=item.name,
                quantity=item.quantity,
                unit_price=item.unit_price,
            )
            for item in context.items
        ],
        created_at=created_at,
    )


PURCHASE_MESSAGE = pb.Purchase(attempt_id=ATTEMPT_ID, intent=intent_to_proto(REF), order=order_message(ORDER))
PURCHASE = Purchase(REF.id, ORDER)


@pytest.fixture
def orders() -> OrdersStandIn:
    """Give an orders service that responds as told."""
    return OrdersStandIn()


@pytest.fixture
async def client(orders: OrdersStandIn) -> AsyncIterator[OrdersClient]:
    """Give the gateway's client of it."""
    async with orders.served() as channel:
        yield OrdersClient(channel, timeout_seconds=5)


async def test_a_purchase_is_recorded_with_every_field(client: OrdersClient, orders: OrdersStandIn) -> None:
    """Payment, content and report are sent; the purchase comes back, and if an earlier report was answered so."""
    orders.answer = pb.RecordPurchaseResponse(
        decision=pb.PaymentDecision(purchase=PURCHASE_MESSAGE), already_recorded=True
    )

    decision = await client.record_purchase(PAYMENT, CONTEXT, WEBHOOK)

    [request] = orders.requests
    assert decision == PURCHASE
    assert decision.already_recorded
    assert request == pb.RecordPurchaseRequest(
        payment=pb.Payment(
            intent=intent_to_proto(REF),
            attempt_id=ATTEMPT_ID,
            received=money_to_proto(CONTEXT.total),
            livemode=False,
            intent_created_at=time_to_proto(INTENT_CREATED_AT),
            customer_id="cus_1",
        ),
        context=context_to_proto(CONTEXT),
        report=pb.PaymentReport(channel=pb.REPORT_CHANNEL_WEBHOOK, stripe_event_id="evt_1"),
    )


@pytest.mark.parametrize("context", [CONTEXT, None], ids=["with content", "without"])
async def test_a_payment_is_quarantined(
    client: OrdersClient, orders: OrdersStandIn, context: CheckoutContext | None
) -> None:
    """With its reason, and with its content where there is any."""
    sent_context = context_to_proto(context) if context else None
    quarantined = pb.QuarantinedPayment(reason=pb.QUARANTINE_REASON_ATTEMPT_MISSING, context=sent_context)
    orders.answer = pb.QuarantinePaymentResponse(decision=pb.PaymentDecision(quarantined_payment=quarantined))
    reason = QuarantineReason.ATTEMPT_MISSING

    decision = await client.quarantine(PAYMENT, reason, context, PaymentReport(ReportChannel.BROWSER_RETURN))

    [request] = orders.requests
    assert decision == QuarantinedPayment(reason, content_kept=context is not None)
    assert request.reason == pb.QUARANTINE_REASON_ATTEMPT_MISSING
    assert request.HasField("context") == (context is not None)
    assert request.report == pb.PaymentReport(channel=pb.REPORT_CHANNEL_BROWSER_RETURN)


async def test_an_unreadable_attempt_is_quarantined_with_its_encrypted_content(
    client: OrdersClient, orders: OrdersStandIn
) -> None:
    """Its bytes, key and owner are sent as they are; the answer says if an earlier report was answered so."""
    quarantined = pb.QuarantinedPayment(
        reason=pb.QUARANTINE_REASON_ATTEMPT_UNREADABLE, payment=pb.Payment(attempt_id=ATTEMPT_ID)
    )
    orders.answer = pb.QuarantinePaymentResponse(
        decision=pb.PaymentDecision(quarantined_payment=quarantined), already_recorded=True
    )
    unreadable = UnreadableAttempt(ATTEMPT_ID, "user_1", REF, b"encrypted", "k1", close_reason=None)
    reason = QuarantineReason.ATTEMPT_UNREADABLE

    decision = await client.quarantine(PAYMENT, reason, unreadable, WEBHOOK)

    [request] = orders.requests
    assert decision == QuarantinedPayment(reason, content_kept=False)
    assert isinstance(decision, QuarantinedPayment)
    assert (decision.already_recorded, decision.attempt_id) == (True, ATTEMPT_ID)
    assert request.reason == pb.QUARANTINE_REASON_ATTEMPT_UNREADABLE
    assert request.encrypted_content == pb.EncryptedContent(content=b"encrypted", key_id="k1", user_id="user_1")
    assert not request.HasField("context")


async def test_a_payment_without_a_sum_has_none_on_the_wire(client: OrdersClient, orders: OrdersStandIn) -> None:
    """A SetupIntent received nothing, which differs from zero."""
    orders.answer = pb.QuarantinePaymentResponse(
        decision=pb.PaymentDecision(
            quarantined_payment=pb.QuarantinedPayment(reason=pb.QUARANTINE_REASON_INTENT_MISMATCH)
        )
    )

    await client.quarantine(replace(PAYMENT, received=None), QuarantineReason.INTENT_MISMATCH, None, WEBHOOK)

    assert not orders.requests[0].payment.HasField("received")


async def test_p7_the_content_of_an_erased_payment_counts_as_kept(client: OrdersClient, orders: OrdersStandIn) -> None:
    """It was kept until it was erased on purpose, so the attempt may be deleted."""
    erased = pb.QuarantinedPayment(reason=pb.QUARANTINE_REASON_AMOUNT_MISMATCH, erased_at=Timestamp(seconds=1))
    orders.answer = pb.QuarantinePaymentResponse(decision=pb.PaymentDecision(quarantined_payment=erased))

    decision = await client.quarantine(PAYMENT, QuarantineReason.AMOUNT_MISMATCH, CONTEXT, WEBHOOK)

    assert decision == QuarantinedPayment(QuarantineReason.AMOUNT_MISMATCH, content_kept=True)


async def test_p7_an_erased_order_says_so(client: OrdersClient, orders: OrdersStandIn) -> None:
    """It has no user, and must not be taken for a guest's."""
    message = pb.Purchase()
    message.CopyFrom(PURCHASE_MESSAGE)
    for name in ("contact", "shipping_address", "user_id"):
        message.order.ClearField(name)
    message.order.erased_at.FromSeconds(1)
    orders.answer = pb.GetPurchaseResponse(purchase=message)

    found = await client.find_purchase(ATTEMPT_ID)

    assert found is not None
    assert found.order is not None
    assert (found.user_id, found.order.erased) == (None, True)


async def test_content_that_cannot_be_recorded_is_refused(client: OrdersClient, orders: OrdersStandIn) -> None:
    """INVALID_ARGUMENT from orders is permanent, and not a mistake of the gateway's client."""
    violation = FieldViolation("context.total", "must equal what was received")
    orders.answer = Refusal(grpc.StatusCode.INVALID_ARGUMENT, "invalid_request", InvalidRequest([violation]))

    with pytest.raises(PurchaseRefused, match=r"context\.total must equal"):
        await client.record_purchase(PAYMENT, CONTEXT, WEBHOOK)


async def test_an_attempts_purchase_is_found_or_is_none(client: OrdersClient, orders: OrdersStandIn) -> None:
    """NOT_FOUND is no failure."""
    orders.answer = pb.GetPurchaseResponse(purchase=PURCHASE_MESSAGE)
    found = await client.find_purchase(ATTEMPT_ID)
    orders.answer = Refusal(grpc.StatusCode.NOT_FOUND, "purchase_not_found")
    missing = await client.find_purchase(ATTEMPT_ID)

    assert (found, missing) == (PURCHASE, None)


async def test_a_guests_order_without_shipping_is_read(client: OrdersClient, orders: OrdersStandIn) -> None:
    """Empty fields of the wire are None."""
    bare = replace(
        ORDER,
        user_id=None,
        contact=replace(ORDER.contact, phone=None),
        shipping_address=None,
        shipping_option=None,
    )
    orders.answer = pb.GetOrderResponse(order=order_message(bare))

    assert await client.get_order(bare.id) == bare


async def test_an_unknown_order_is_not_found(client: OrdersClient, orders: OrdersStandIn) -> None:
    """NOT_FOUND is OrderNotFound."""
    orders.answer = Refusal(grpc.StatusCode.NOT_FOUND, "order_not_found")

    with pytest.raises(OrderNotFound):
        await client.get_order(ORDER.id)


@pytest.mark.parametrize(("token", "wire"), [(None, ""), ("next", "next")])
async def test_a_page_of_orders_is_read(
    client: OrdersClient, orders: OrdersStandIn, token: str | None, wire: str
) -> None:
    """Page tokens are passed on unchanged."""
    orders.answer = pb.ListOrdersResponse(orders=[order_message(ORDER)], next_page_token=wire)

    page = await client.list_orders("user_ada", page_size=20, page_token=token)

    assert page == OrderPage((ORDER,), token)
    assert orders.requests == [pb.ListOrdersRequest(user_id="user_ada", page_size=20, page_token=wire)]


async def test_a_word_of_a_newer_version_is_unknown(client: OrdersClient, orders: OrdersStandIn) -> None:
    """It fails neither the other orders of a page nor a decision."""
    odd = order_message(ORDER)
    odd.status = NEWER
    orders.answer = pb.ListOrdersResponse(orders=[odd, order_message(ORDER)])
    page = await client.list_orders("user_ada", page_size=20, page_token=None)
    orders.answer = pb.RecordPurchaseResponse(
        decision=pb.PaymentDecision(quarantined_payment=pb.QuarantinedPayment(reason=NEWER))
    )
    decision = await client.record_purchase(PAYMENT, CONTEXT, WEBHOOK)

    assert page.orders == (replace(ORDER, status=OrderStatus.UNKNOWN), ORDER)
    assert decision == QuarantinedPayment(QuarantineReason.UNKNOWN, content_kept=False)
