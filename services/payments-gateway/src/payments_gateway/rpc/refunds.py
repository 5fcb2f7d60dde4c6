"""The copies of refunds and disputes, kept by orders over gRPC."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from checkout.orders.v1 import orders_pb2, orders_pb2_grpc
from payments_gateway.domain.errors import VersionConflict
from payments_gateway.domain.refunds import Dispute, DisputeStatus, Refund, RefundStatus
from payments_gateway.domain.stripe_errors import UnsupportedStripeObject
from payments_gateway.rpc.messages import money_message
from servicekit.grpc_client import RpcClient
from servicekit.violations import InvalidRequest


class _NotKept(Exception):
    """There is no copy yet."""


_ERRORS: Final[Mapping[str, type[Exception]]] = {
    "refund_not_found": _NotKept,
    "dispute_not_found": _NotKept,
    "version_conflict": VersionConflict,
}

_REFUND_STATUSES: Final = {
    RefundStatus.PENDING: orders_pb2.REFUND_STATUS_PENDING,
    RefundStatus.REQUIRES_ACTION: orders_pb2.REFUND_STATUS_REQUIRES_ACTION,
    RefundStatus.SUCCEEDED: orders_pb2.REFUND_STATUS_SUCCEEDED,
    RefundStatus.FAILED: orders_pb2.REFUND_STATUS_FAILED,
    RefundStatus.CANCELED: orders_pb2.REFUND_STATUS_CANCELED,
}

_DISPUTE_STATUSES: Final = {
    DisputeStatus.WARNING_NEEDS_RESPONSE: orders_pb2.DISPUTE_STATUS_WARNING_NEEDS_RESPONSE,
    DisputeStatus.WARNING_UNDER_REVIEW: orders_pb2.DISPUTE_STATUS_WARNING_UNDER_REVIEW,
    DisputeStatus.WARNING_CLOSED: orders_pb2.DISPUTE_STATUS_WARNING_CLOSED,
    DisputeStatus.NEEDS_RESPONSE: orders_pb2.DISPUTE_STATUS_NEEDS_RESPONSE,
    DisputeStatus.UNDER_REVIEW: orders_pb2.DISPUTE_STATUS_UNDER_REVIEW,
    DisputeStatus.WON: orders_pb2.DISPUTE_STATUS_WON,
    DisputeStatus.LOST: orders_pb2.DISPUTE_STATUS_LOST,
    DisputeStatus.PREVENTED: orders_pb2.DISPUTE_STATUS_PREVENTED,
    DisputeStatus.APPEAL_NEEDS_RESPONSE: orders_pb2.DISPUTE_STATUS_APPEAL_NEEDS_RESPONSE,
    DisputeStatus.APPEAL_UNDER_REVIEW: orders_pb2.DISPUTE_STATUS_APPEAL_UNDER_REVIEW,
}


class RefundsClient:
    """The MirrorRepository port of refunds over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout_seconds: float) -> None:
        """Call orders over an open channel."""
        self._stub: orders_pb2_grpc.OrdersServiceAsyncStub = orders_pb2_grpc.OrdersServiceStub(channel)
        self._caller = RpcClient("orders", _ERRORS, timeout_seconds=timeout_seconds)

    async def version_of(self, object_id: str) -> int:
        """Return the version of a refund's copy."""
        request = orders_pb2.GetRefundRequest(stripe_refund_id=object_id)
        try:
            return (await self._caller.call(self._stub.GetRefund, request)).refund.version
        except _NotKept:
            return 0

    async def write(self, shown: Refund, *, intent_id: str, expected_version: int) -> None:
        """Write a refund's copy where its version still holds."""
        refund = orders_pb2.Refund(
            stripe_refund_id=shown.id,
            intent_id=intent_id,
            charge_id=shown.charge_id or "",
            amount=money_message(shown.amount),
            status=_REFUND_STATUSES[shown.status],
            created_at=_moment(shown.created_at),
            version=expected_version,
        )
        try:
            await self._caller.call(self._stub.ApplyRefund, orders_pb2.ApplyRefundRequest(refund=refund))
        except InvalidRequest as refused:
            raise UnsupportedStripeObject from refused


class DisputesClient:
    """The MirrorRepository port of disputes over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout_seconds: float) -> None:
        """Call orders over an open channel."""
        self._stub: orders_pb2_grpc.OrdersServiceAsyncStub = orders_pb2_grpc.OrdersServiceStub(channel)
        self._caller = RpcClient("orders", _ERRORS, timeout_seconds=timeout_seconds)

    async def version_of(self, object_id: str) -> int:
        """Return the version of a dispute's copy."""
        request = orders_pb2.GetDisputeRequest(stripe_dispute_id=object_id)
        try:
            return (await self._caller.call(self._stub.GetDispute, request)).dispute.version
        except _NotKept:
            return 0

    async def write(self, shown: Dispute, *, intent_id: str, expected_version: int) -> None:
        """Write a dispute's copy where its version still holds."""
        dispute = orders_pb2.Dispute(
            stripe_dispute_id=shown.id,
            intent_id=intent_id,
            charge_id=shown.charge_id or "",
            amount=money_message(shown.amount),
            status=_DISPUTE_STATUSES[shown.status],
            reason=shown.reason or "",
            created_at=_moment(shown.created_at),
            version=expected_version,
        )
        try:
            await self._caller.call(self._stub.ApplyDispute, orders_pb2.ApplyDisputeRequest(dispute=dispute))
        except InvalidRequest as refused:
            raise UnsupportedStripeObject from refused


def _moment(at: datetime) -> Timestamp:
    written = Timestamp()
    written.FromDatetime(at)
    return written
