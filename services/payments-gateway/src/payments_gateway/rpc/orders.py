"""Purchases of orders, over gRPC."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import grpc

from checkout.orders.v1 import orders_pb2, orders_pb2_grpc
from payments_gateway.domain.attempts import CheckoutContext, LineItem, UnreadableAttempt
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
    address_from_proto,
    contact_from_proto,
    context_to_proto,
    intent_to_proto,
    money_from_proto,
    money_to_proto,
    shipping_option_from_proto,
    time_from_proto,
    time_to_proto,
)
from payments_gateway.rpc.subscriptions import subscription_from_proto
from servicekit.enum_codec import EnumCodec
from servicekit.grpc_client import RpcClient
from servicekit.violations import InvalidRequest


class _PurchaseNotFound(Exception):
    """The attempt has no purchase."""


_ERRORS: Final[Mapping[str, type[Exception]]] = {
    "order_not_found": OrderNotFound,
    "purchase_not_found": _PurchaseNotFound,
}

_CHANNELS: Final = EnumCodec(ReportChannel, orders_pb2.ReportChannel)
REASONS: Final = EnumCodec(QuarantineReason, orders_pb2.QuarantineReason)
_STATUSES: Final = EnumCodec(OrderStatus, orders_pb2.OrderStatus)


class OrdersClient:
    """`OrdersPort` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout_seconds: float) -> None:
        self._stub: orders_pb2_grpc.OrdersServiceAsyncStub = orders_pb2_grpc.OrdersServiceStub(channel)
        self._client = RpcClient("orders", _ERRORS, timeout_seconds=timeout_seconds)

    async def record_purchase(
        self, payment: Payment, context: CheckoutContext, report: PaymentReport
    ) -> PaymentDecision:
        """Record the purchase, or return the decision that was made before."""
        request = orders_pb2.RecordPurchaseRequest(
            payment=_payment_to_proto(payment), context=context_to_proto(context), report=_report_to_proto(report)
        )
        try:
            response = await self._client.call(self._stub.RecordPurchase, request)
        except InvalidRequest as refused:
            raise PurchaseRefused(str(refused)) from refused
        return _decision_from_proto(response)

    async def quarantine(
        self,
        payment: Payment,
        reason: QuarantineReason,
        content: CheckoutContext | UnreadableAttempt | None,
        report: PaymentReport,
    ) -> PaymentDecision:
        """Quarantine the payment, or return the decision that was made before."""
        request = orders_pb2.QuarantinePaymentRequest(
            payment=_payment_to_proto(payment),
            reason=REASONS.to_proto(reason),
            context=context_to_proto(content) if isinstance(content, CheckoutContext) else None,
            encrypted_content=_encrypted_to_proto(content) if isinstance(content, UnreadableAttempt) else None,
            report=_report_to_proto(report),
        )
        try:
            response = await self._client.call(self._stub.QuarantinePayment, request)
        except InvalidRequest as refused:
            # The payment must not be lost: fail, so that it is reported again (P3).
            raise QuarantineRefused(str(refused)) from refused
        return _decision_from_proto(response)

    async def find_purchase(self, attempt_id: str) -> Purchase | None:
        """Return the attempt's purchase; None if there is none."""
        try:
            response = await self._client.call(
                self._stub.GetPurchase, orders_pb2.GetPurchaseRequest(attempt_id=attempt_id)
            )
        except _PurchaseNotFound:
            return None
        return purchase_from_proto(response.purchase)

    async def get_order(self, order_id: str) -> Order:
        """Return one order."""
        response = await self._client.call(self._stub.GetOrder, orders_pb2.GetOrderRequest(order_id=order_id))
        return order_from_proto(response.order)

    async def list_orders(self, user_id: str, *, page_size: int, page_token: str | None) -> OrderPage:
        """Return a page of a user's orders."""
        response = await self._client.call(
            self._stub.ListOrders,
            orders_pb2.ListOrdersRequest(user_id=user_id, page_size=page_size, page_token=page_token or ""),
        )
        return OrderPage(tuple(order_from_proto(order) for order in response.orders), response.next_page_token or None)


def _payment_to_proto(payment: Payment) -> orders_pb2.Payment:
    return orders_pb2.Payment(
        intent=intent_to_proto(payment.intent),
        attempt_id=payment.attempt_id,
        received=money_to_proto(payment.received) if payment.received else None,
        livemode=payment.livemode,
        intent_created_at=time_to_proto(payment.intent_created_at),
        payment_method_id=payment.payment_method_id or "",
        customer_id=payment.customer_id or "",
    )


def _report_to_proto(report: PaymentReport) -> orders_pb2.PaymentReport:
    return orders_pb2.PaymentReport(
        channel=_CHANNELS.to_proto(report.channel), stripe_event_id=report.stripe_event_id or ""
    )


def _encrypted_to_proto(attempt: UnreadableAttempt) -> orders_pb2.EncryptedContent:
    return orders_pb2.EncryptedContent(
        content=attempt.encrypted_content, key_id=attempt.key_id, user_id=attempt.user_id or ""
    )


def _decision_from_proto(
    response: orders_pb2.RecordPurchaseResponse | orders_pb2.QuarantinePaymentResponse,
) -> PaymentDecision:
    if response.decision.HasField("purchase"):
        return replace(purchase_from_proto(response.decision.purchase), already_recorded=response.already_recorded)
    quarantined = response.decision.quarantined_payment
    return QuarantinedPayment(
        REASONS.from_proto(quarantined.reason, QuarantineReason.UNKNOWN),
        content_kept=quarantined.HasField("context") or quarantined.HasField("erased_at"),
        attempt_id=quarantined.payment.attempt_id,
        already_recorded=response.already_recorded,
    )


def purchase_from_proto(message: orders_pb2.Purchase) -> Purchase:
    """Read a purchase."""
    return Purchase(
        intent_id=message.intent.id,
        order=order_from_proto(message.order) if message.HasField("order") else None,
        subscriptions=tuple(subscription_from_proto(one) for one in message.subscriptions),
    )


def order_from_proto(message: orders_pb2.Order) -> Order:
    """Read an order."""
    return Order(
        id=message.id,
        number=message.number,
        checkout_attempt_id=message.checkout_attempt_id,
        user_id=message.user_id or None,
        status=_STATUSES.from_proto(message.status, OrderStatus.UNKNOWN),
        total=money_from_proto(message.total),
        contact=contact_from_proto(message.contact),
        shipping_address=address_from_proto(message.shipping_address) if message.HasField("shipping_address") else None,
        shipping_option=shipping_option_from_proto(message.shipping_option)
        if message.HasField("shipping_option")
        else None,
        items=tuple(_item_from_proto(item) for item in message.items),
        created_at=time_from_proto(message.created_at),
        erased=message.HasField("erased_at"),
        refunded=money_from_proto(message.refunded) if message.HasField("refunded") else None,
        disputed=money_from_proto(message.disputed) if message.HasField("disputed") else None,
        adjustment=money_from_proto(message.adjustment) if message.HasField("adjustment") else None,
    )


def _item_from_proto(message: orders_pb2.OrderItem) -> LineItem:
    return LineItem(
        price_id=message.price_id,
        product_id=message.product_id,
        name=message.name,
        quantity=message.quantity,
        unit_price=money_from_proto(message.unit_price),
    )
