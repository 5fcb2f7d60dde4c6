"""Rpcs of the services: stored content, which the stores hold encrypted, and what a person decides."""

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import orders_pb2, orders_pb2_grpc
from checkout.session.v1 import checkout_session_pb2, checkout_session_pb2_grpc
from servicekit.grpc_client import open_channel

from .closing import AsyncClosing

if TYPE_CHECKING:
    from checkout.orders.v1.orders_pb2_grpc import OrdersServiceAsyncStub
    from checkout.session.v1.checkout_session_pb2_grpc import CheckoutSessionServiceAsyncStub

_DEADLINE_SECONDS = 30


class RpcReader(AsyncClosing):
    """Client of checkout-session and orders. Both addresses are host:port."""

    def __init__(self, checkout_session: str, orders: str) -> None:
        self._channels = (open_channel(checkout_session), open_channel(orders))
        sessions, orders_channel = self._channels
        self._sessions: CheckoutSessionServiceAsyncStub = checkout_session_pb2_grpc.CheckoutSessionServiceStub(sessions)
        self._orders: OrdersServiceAsyncStub = orders_pb2_grpc.OrdersServiceStub(orders_channel)

    async def close(self) -> None:
        """Close the connections."""
        for channel in self._channels:
            await channel.close()

    async def attempt(self, attempt_id: str) -> checkout_session_pb2.Attempt:
        """Return a stored attempt."""
        request = checkout_session_pb2.GetAttemptRequest(attempt_id=attempt_id)
        return (await self._sessions.GetAttempt(request, timeout=_DEADLINE_SECONDS)).attempt

    async def quarantine_unrecordable(self, contact: Mapping[str, str], user_id: str) -> None:
        """Ask orders for a purchase that it must refuse, and then to quarantine the payment."""
        payment = orders_pb2.Payment(
            intent=common_pb2.Intent(id=f"pi_{uuid.uuid4().hex}", kind=common_pb2.Intent.KIND_PAYMENT),
            attempt_id=str(uuid.uuid4()),
            received=common_pb2.Money(minor_units=5, currency="usd"),
            intent_created_at=Timestamp(seconds=1_900_000_000),
        )
        context = common_pb2.CheckoutContext(user_id=user_id, contact=common_pb2.Contact(**contact))
        report = orders_pb2.PaymentReport(channel=orders_pb2.REPORT_CHANNEL_BROWSER_RETURN)
        try:
            await self._orders.RecordPurchase(
                orders_pb2.RecordPurchaseRequest(payment=payment, context=context, report=report)
            )
        except grpc.aio.AioRpcError as refusal:
            if refusal.code() is not grpc.StatusCode.INVALID_ARGUMENT:
                raise
        reason = orders_pb2.QUARANTINE_REASON_UNRECORDABLE
        await self._orders.QuarantinePayment(
            orders_pb2.QuarantinePaymentRequest(payment=payment, reason=reason, context=context, report=report)
        )

    async def quarantine_as_unrecordable(self, attempt_id: str, intent_id: str, received_minor: int) -> None:
        """Quarantine a payment as the gateway does after orders refused its content, whose sums do not agree."""
        attempt = await self.attempt(attempt_id)
        attempt.context.total.minor_units += 1
        received = common_pb2.Money(minor_units=received_minor, currency=attempt.context.total.currency)
        request = orders_pb2.QuarantinePaymentRequest(
            payment=orders_pb2.Payment(
                intent=common_pb2.Intent(id=intent_id, kind=common_pb2.Intent.KIND_PAYMENT),
                attempt_id=attempt_id,
                received=received,
                intent_created_at=Timestamp(seconds=1_900_000_000),
            ),
            reason=orders_pb2.QUARANTINE_REASON_UNRECORDABLE,
            context=attempt.context,
            report=orders_pb2.PaymentReport(channel=orders_pb2.REPORT_CHANNEL_BROWSER_RETURN),
        )
        await self._orders.QuarantinePayment(request, timeout=_DEADLINE_SECONDS)

    async def retry_activation(self, subscription_id: str, payment_method_id: str = "") -> orders_pb2.Subscription:
        """Let a failed activation begin again, as a person does."""
        request = orders_pb2.RetryActivationRequest(
            subscription_id=subscription_id, payment_method_id=payment_method_id
        )
        return (await self._orders.RetryActivation(request, timeout=_DEADLINE_SECONDS)).subscription

    async def quarantined_content(self, intent_id: str) -> common_pb2.CheckoutContext | None:
        """Return the content that was quarantined with a payment; None when there is none."""
        request = orders_pb2.ListQuarantinedPaymentsRequest()
        while True:
            page = await self._orders.ListQuarantinedPayments(request, timeout=_DEADLINE_SECONDS)
            for listed in page.quarantined_payments:
                if listed.payment.intent.id == intent_id:
                    return listed.context if listed.HasField("context") else None
            if not page.next_page_token:
                return None
            request.page_token = page.next_page_token
