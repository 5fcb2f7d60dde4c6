"""AuditService over a list of payment decisions, on real gRPC."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import grpc

from checkout.orders.v1 import audit_pb2 as pb
from checkout.orders.v1 import audit_pb2_grpc

_PAGE_SIZE = 1000


class AuditStandIn(audit_pb2_grpc.AuditServiceServicer):
    """Decisions, the last created intent first."""

    def __init__(self, payments: Sequence[pb.RecordedPayment] = ()) -> None:
        self.payments = payments

    async def ListPayments(  # noqa: N802 - the contract's name
        self, request: pb.ListPaymentsRequest, _context: grpc.ServicerContext
    ) -> pb.ListPaymentsResponse:
        start = int(request.page_token or 0)
        rows = self.payments[start : start + _PAGE_SIZE]
        following = str(start + _PAGE_SIZE) if start + _PAGE_SIZE < len(self.payments) else ""
        return pb.ListPaymentsResponse(
            payments=[row for row in rows if row.intent.kind == request.kind], next_page_token=following
        )

    async def FindPayments(  # noqa: N802 - the contract's name
        self, request: pb.FindPaymentsRequest, _context: grpc.ServicerContext
    ) -> pb.FindPaymentsResponse:
        return pb.FindPaymentsResponse(payments=[row for row in self.payments if row.intent.id in request.intent_ids])

    @asynccontextmanager
    async def served_at(self) -> AsyncIterator[str]:
        """Serve on a free port and give the address."""
        server = grpc.aio.server()
        audit_pb2_grpc.add_AuditServiceServicer_to_server(self, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await server.stop(None)
