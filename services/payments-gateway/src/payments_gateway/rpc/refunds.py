"""Copies of refunds and disputes in orders, over gRPC."""

from collections.abc import Mapping
from typing import Final

import grpc

from checkout.orders.v1 import orders_pb2, orders_pb2_grpc
from payments_gateway.domain.errors import VersionConflict
from payments_gateway.domain.refunds import Dispute, DisputeStatus, PaymentNotFound, Refund, RefundStatus
from payments_gateway.domain.stripe_errors import RefusedByOrders
from payments_gateway.rpc.messages import money_to_proto, time_to_proto
from servicekit.enum_codec import EnumCodec
from servicekit.grpc_client import RpcClient
from servicekit.violations import InvalidRequest


class _NoCopy(Exception):
    """There is no copy."""


_ERRORS: Final[Mapping[str, type[Exception]]] = {
    "refund_not_found": _NoCopy,
    "dispute_not_found": _NoCopy,
    "payment_not_found": PaymentNotFound,
    "version_conflict": VersionConflict,
}

_REFUND_STATUSES: Final = EnumCodec(RefundStatus, orders_pb2.RefundStatus)
_DISPUTE_STATUSES: Final = EnumCodec(DisputeStatus, orders_pb2.DisputeStatus)


class RefundsClient:
    """The MirrorRepository port of refunds over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout_seconds: float) -> None:
        self._stub: orders_pb2_grpc.OrdersServiceAsyncStub = orders_pb2_grpc.OrdersServiceStub(channel)
        self._client = RpcClient("orders", _ERRORS, timeout_seconds=timeout_seconds)

    async def version_of(self, object_id: str) -> int:
        """Return the version of a refund's copy; 0 if there is none."""
        request = orders_pb2.GetRefundRequest(stripe_refund_id=object_id)
        try:
            return (await self._client.call(self._stub.GetRefund, request)).refund.version
        except _NoCopy:
            return 0

    async def write(self, shown: Refund, *, intent_id: str, expected_version: int, only_if_decided: bool) -> None:
        """Write a refund's copy if its version is the expected one."""
        refund = orders_pb2.Refund(
            stripe_refund_id=shown.id,
            intent_id=intent_id,
            charge_id=shown.charge_id or "",
            amount=money_to_proto(shown.amount),
            status=_REFUND_STATUSES.to_proto(shown.status),
            created_at=time_to_proto(shown.created_at),
            version=expected_version,
        )
        request = orders_pb2.ApplyRefundRequest(refund=refund, only_if_decided=only_if_decided)
        try:
            await self._client.call(self._stub.ApplyRefund, request)
        except InvalidRequest as refused:
            raise RefusedByOrders from refused


class DisputesClient:
    """The MirrorRepository port of disputes over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout_seconds: float) -> None:
        self._stub: orders_pb2_grpc.OrdersServiceAsyncStub = orders_pb2_grpc.OrdersServiceStub(channel)
        self._client = RpcClient("orders", _ERRORS, timeout_seconds=timeout_seconds)

    async def version_of(self, object_id: str) -> int:
        """Return the version of a dispute's copy; 0 if there is none."""
        request = orders_pb2.GetDisputeRequest(stripe_dispute_id=object_id)
        try:
            return (await self._client.call(self._stub.GetDispute, request)).dispute.version
        except _NoCopy:
            return 0

    async def write(self, shown: Dispute, *, intent_id: str, expected_version: int, only_if_decided: bool) -> None:
        """Write a dispute's copy if its version is the expected one."""
        dispute = orders_pb2.Dispute(
            stripe_dispute_id=shown.id,
            intent_id=intent_id,
            charge_id=shown.charge_id or "",
            amount=money_to_proto(shown.amount),
            status=_DISPUTE_STATUSES.to_proto(shown.status),
            reason=shown.reason or "",
            created_at=time_to_proto(shown.created_at),
            version=expected_version,
        )
        request = orders_pb2.ApplyDisputeRequest(dispute=dispute, only_if_decided=only_if_decided)
        try:
            await self._client.call(self._stub.ApplyDispute, request)
        except InvalidRequest as refused:
            raise RefusedByOrders from refused
