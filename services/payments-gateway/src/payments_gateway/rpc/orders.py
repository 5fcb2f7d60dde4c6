"""What was bought, kept by orders over gRPC."""

from collections.abc import Mapping
from datetime import UTC
from typing import Final

import grpc

from checkout.orders.v1 import orders_pb2, orders_pb2_grpc
from payments_gateway.domain.attempts import CheckoutContext, LineItem
from payments_gateway.domain.purchases import (
    Order,
    OrderNotFound,
    OrderPage,
    OrderStatus,
    Payment,
    PaymentDecision,
    PaymentReport,
    Purchase,
    PurchaseRefused,
    QuarantinedPayment,
    QuarantineReason,
    QuarantineRefused,
    ReportChannel,
)
from payments_gateway.rpc.messages import (
    context_message,
    intent_message,
    money_message,
    read_address,
    read_contact,
    read_intent,
    read_money,
    read_shipping_option,
)
from payments_gateway.rpc.subscriptions import read_subscription
from servicekit.grpc_client import RpcClient
from servicekit.violations import InvalidRequest


class _PurchaseNotFound(Exception):
    """The attempt became no purchase."""


_ERRORS: Final[Mapping[str, type[Exception]]] = {
    "order_not_found": OrderNotFound,
    "purchase_not_found": _PurchaseNotFound,
}

_CHANNELS: Final = {
    ReportChannel.WEBHOOK: orders_pb2.REPORT_CHANNEL_WEBHOOK,
    ReportChannel.BROWSER_RETURN: orders_pb2.REPORT_CHANNEL_BROWSER_RETURN,
}

_REASONS: Final = {
    QuarantineReason.ATTEMPT_MISSING: orders_pb2.QUARANTINE_REASON_ATTEMPT_MISSING,
    QuarantineReason.AMOUNT_MISMATCH: orders_pb2.QUARANTINE_REASON_AMOUNT_MISMATCH,
    QuarantineReason.INTENT_MISMATCH: orders_pb2.QUARANTINE_REASON_INTENT_MISMATCH,
    QuarantineReason.DUPLICATE_PAYMENT: orders_pb2.QUARANTINE_REASON_DUPLICATE_PAYMENT,
    QuarantineReason.UNRECORDABLE: orders_pb2.QUARANTINE_REASON_UNRECORDABLE,
}
_REASONS_BACK: Final = {wire: reason for reason, wire in _REASONS.items()}

_STATUSES_BACK: Final = {orders_pb2.ORDER_STATUS_PAID: OrderStatus.PAID}


class OrdersClient:
    """`OrdersPort` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout_seconds: float) -> None:
        """Call orders over an open channel."""
        self._stub: orders_pb2_grpc.OrdersServiceAsyncStub = orders_pb2_grpc.OrdersServiceStub(channel)
        self._caller = RpcClient("orders", _ERRORS, timeout_seconds=timeout_seconds)

    async def record_purchase(
        self, payment: Payment, context: CheckoutContext, report: PaymentReport
    ) -> PaymentDecision:
        """Record what the payment bought, or answer what was decided before."""
        request = orders_pb2.RecordPurchaseRequest(
            payment=_payment_message(payment), context=context_message(context), report=_source_message(report)
        )
        try:
            answer = await self._caller.call(self._stub.RecordPurchase, request)
        except InvalidRequest as refused:
            raise PurchaseRefused(str(refused)) from refused
        return _read_decision(answer.decision)

    async def quarantine(
        self, payment: Payment, reason: QuarantineReason, context: CheckoutContext | None, report: PaymentReport
    ) -> PaymentDecision:
        """Set the payment aside, or answer what was decided before."""
        request = orders_pb2.QuarantinePaymentRequest(
            payment=_payment_message(payment),
            reason=_REASONS[reason],
            context=context_message(context) if context else None,
            report=_source_message(report),
        )
        try:
            answer = await self._caller.call(self._stub.QuarantinePayment, request)
        except InvalidRequest as refused:
            # No fault of whoever reported the payment, and it must not be lost: fail loudly, and be asked again (P3).
            raise QuarantineRefused(str(refused)) from refused
        return _read_decision(answer.decision)

    async def find_purchase(self, attempt_id: str) -> Purchase | None:
        """Return what the attempt became."""
        try:
            answer = await self._caller.call(
                self._stub.GetPurchase, orders_pb2.GetPurchaseRequest(attempt_id=attempt_id)
            )
        except _PurchaseNotFound:
            return None
        return _read_purchase(answer.purchase)

    async def get_order(self, order_id: str) -> Order:
        """Return one order."""
        answer = await self._caller.call(self._stub.GetOrder, orders_pb2.GetOrderRequest(order_id=order_id))
        return _read_order(answer.order)

    async def list_orders(self, user_id: str, *, page_size: int, page_token: str | None) -> OrderPage:
        """Return a page of a user's orders."""
        answer = await self._caller.call(
            self._stub.ListOrders,
            orders_pb2.ListOrdersRequest(user_id=user_id, page_size=page_size, page_token=page_token or ""),
        )
        return OrderPage(tuple(_read_order(order) for order in answer.orders), answer.next_page_token or None)


def _payment_message(payment: Payment) -> orders_pb2.Payment:
    return orders_pb2.Payment(
        intent=intent_message(payment.intent),
        attempt_id=payment.attempt_id,
        received=money_message(payment.received) if payment.received else None,
        livemode=payment.livemode,
        payment_method_id=payment.payment_method_id or "",
    )


def _source_message(report: PaymentReport) -> orders_pb2.PaymentReport:
    return orders_pb2.PaymentReport(channel=_CHANNELS[report.channel], stripe_event_id=report.stripe_event_id or "")


def _read_decision(message: orders_pb2.PaymentDecision) -> PaymentDecision:
    if message.HasField("purchase"):
        return _read_purchase(message.purchase)
    set_aside = message.quarantined_payment
    content_kept = set_aside.HasField("context") or set_aside.HasField("erased_at")
    return QuarantinedPayment(_REASONS_BACK[set_aside.reason], content_kept=content_kept)


def _read_purchase(message: orders_pb2.Purchase) -> Purchase:
    return Purchase(
        attempt_id=message.attempt_id,
        intent=read_intent(message.intent),
        order=_read_order(message.order) if message.HasField("order") else None,
        subscriptions=tuple(read_subscription(one) for one in message.subscriptions),
    )


def _read_order(message: orders_pb2.Order) -> Order:
    return Order(
        id=message.id,
        number=message.number,
        checkout_attempt_id=message.checkout_attempt_id,
        user_id=message.user_id or None,
        status=_STATUSES_BACK[message.status],
        total=read_money(message.total),
        contact=read_contact(message.contact),
        shipping_address=read_address(message.shipping_address) if message.HasField("shipping_address") else None,
        shipping_option=read_shipping_option(message.shipping_option) if message.HasField("shipping_option") else None,
        items=tuple(_read_item(item) for item in message.items),
        created_at=message.created_at.ToDatetime(tzinfo=UTC),
        erased=message.HasField("erased_at"),
        refunded=read_money(message.refunded) if message.HasField("refunded") else None,
        disputed=read_money(message.disputed) if message.HasField("disputed") else None,
    )


def _read_item(message: orders_pb2.OrderItem) -> LineItem:
    return LineItem(
        price_id=message.price_id,
        product_id=message.product_id,
        name=message.name,
        quantity=message.quantity,
        unit_price=read_money(message.unit_price),
    )
