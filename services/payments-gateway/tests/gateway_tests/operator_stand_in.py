"""OperatorService that gives prepared responses over real gRPC."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.message import Message

from checkout.orders.v1 import operator_pb2 as pb
from checkout.orders.v1 import operator_pb2_grpc
from servicekit.errors import DETAILS_KEY, to_status

from .service_stand_ins import Refusal


class OperatorStandIn(operator_pb2_grpc.OperatorServiceServicer):
    """orders, as operators see it: one answer for each rpc, and one after the other for pages."""

    def __init__(self, *answers: Message | Refusal) -> None:
        self._answers = list(answers)
        self.requests: list[Any] = []

    async def _next(self, request: Message, context: Any) -> Any:
        self.requests.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, Refusal):
            status = to_status(answer.failure, answer.answer, "stand-in")
            await context.abort(answer.answer.code, status.message, ((DETAILS_KEY, status.SerializeToString()),))
        return answer

    ListQuarantine = ShowPayment = SettlePayment = FindOrder = RecordOrderRefund = _next
    BeginRefundSettlement = AbandonRefundSettlement = RetrySubscription = GiveUpSubscription = _next

    @property
    def settled(self) -> pb.SettlePaymentRequest:
        """The settlement that was asked for."""
        (found,) = [each for each in self.requests if isinstance(each, pb.SettlePaymentRequest)]
        return found

    @asynccontextmanager
    async def served_at(self) -> AsyncIterator[str]:
        """Serve on a free port and give the address."""
        server = grpc.aio.server()
        operator_pb2_grpc.add_OperatorServiceServicer_to_server(self, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await server.stop(None)
