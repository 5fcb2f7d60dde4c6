"""gRPC servicer of AuditService."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import grpc

from checkout.orders.v1 import audit_pb2 as pb
from checkout.orders.v1 import audit_pb2_grpc as pb_grpc
from orders.api import audit
from orders.domain.pagination import encode_page_token
from orders.usecases.audit import AuditReader
from orders.usecases.retrying import Retrier

T = TypeVar("T")


class AuditServicer(pb_grpc.AuditServiceServicer):
    """Implements the AuditService contract."""

    def __init__(self, reader: AuditReader, retrier: Retrier) -> None:
        self._reader = reader
        self._retrier = retrier

    async def ListPayments(  # noqa: N802 - the contract's name
        self, request: pb.ListPaymentsRequest, context: grpc.ServicerContext
    ) -> pb.ListPaymentsResponse:
        """List payment decisions by the creation of their intents."""
        asked = audit.payment_range_from_proto(request)
        page = await self._run(context, lambda: self._reader.list_payments(asked))
        return pb.ListPaymentsResponse(
            payments=map(audit.recorded_payment_to_proto, page.rows),
            next_page_token=encode_page_token(audit.PAYMENTS_LIST, page.next),
        )

    async def FindPayments(  # noqa: N802 - the contract's name
        self, request: pb.FindPaymentsRequest, context: grpc.ServicerContext
    ) -> pb.FindPaymentsResponse:
        """Return the decisions on some intents and of some attempts."""
        asked = audit.payment_ids_from_proto(request)
        found = await self._run(context, lambda: self._reader.find_payments(asked))
        return pb.FindPaymentsResponse(payments=map(audit.recorded_payment_to_proto, found))

    async def _run(self, context: grpc.ServicerContext, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        # grpcio's asyncio context returns None, not infinity, if the caller set no deadline.
        remaining: Any = context.time_remaining()
        return await self._retrier.run(work, remaining)
