"""Payment decisions of orders for an audit, over gRPC."""

from collections.abc import Mapping, Sequence

import grpc

from checkout.orders.v1 import audit_pb2, audit_pb2_grpc
from payments_gateway.domain.audit import Listing, RecordedPayment, Window
from payments_gateway.rpc.messages import (
    intent_from_proto,
    intent_kind_to_proto,
    money_from_proto,
    time_from_proto,
    time_to_proto,
)
from servicekit.grpc_client import RpcClient


class RecordedPaymentsClient:
    """`RecordedPaymentsPort` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout_seconds: float) -> None:
        self._stub: audit_pb2_grpc.AuditServiceAsyncStub = audit_pb2_grpc.AuditServiceStub(channel)
        self._client = RpcClient("orders", {}, timeout_seconds=timeout_seconds)

    async def page(self, window: Window, after: str | None) -> Listing[RecordedPayment]:
        """Return the largest page that orders gives."""
        response = await self._client.call(
            self._stub.ListPayments,
            audit_pb2.ListPaymentsRequest(
                kind=intent_kind_to_proto(window.kind),
                created_from=time_to_proto(window.created_from),
                page_token=after or "",
            ),
        )
        found = [_payment_from_proto(payment) for payment in response.payments]
        return Listing(found, response.next_page_token or None, looked_at=len(found))

    async def find(self, intent_ids: Sequence[str]) -> Mapping[str, RecordedPayment]:
        """Return the decisions on intents."""
        return await self._find(audit_pb2.FindPaymentsRequest(intent_ids=intent_ids))

    async def find_by_attempt(self, attempt_id: str) -> Mapping[str, RecordedPayment]:
        """Return the decisions of an attempt."""
        return await self._find(audit_pb2.FindPaymentsRequest(attempt_ids=[attempt_id]))

    async def _find(self, request: audit_pb2.FindPaymentsRequest) -> Mapping[str, RecordedPayment]:
        response = await self._client.call(self._stub.FindPayments, request)
        return {payment.intent.id: _payment_from_proto(payment) for payment in response.payments}


def _payment_from_proto(message: audit_pb2.RecordedPayment) -> RecordedPayment:
    return RecordedPayment(
        intent=intent_from_proto(message.intent),
        attempt_id=message.attempt_id,
        received=money_from_proto(message.received) if message.HasField("received") else None,
        livemode=message.livemode,
        intent_created_at=time_from_proto(message.intent_created_at),
        quarantined=message.quarantined,
        refunded=tuple(money_from_proto(amount) for amount in message.refunded),
    )
