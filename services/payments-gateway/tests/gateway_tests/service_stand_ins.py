"""Servicers of checkout-session and orders that give prepared responses over real gRPC."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import grpc
from google.protobuf.message import Message

from checkout.orders.v1 import orders_pb2_grpc, stripe_events_pb2_grpc
from checkout.session.v1 import checkout_session_pb2_grpc
from servicekit.errors import DETAILS_KEY, ErrorAnswer, to_status
from servicekit.grpc_client import open_channel


class Refusal(Exception):
    """An error that a stand-in returns instead of a message."""

    def __init__(self, code: grpc.StatusCode, reason: str, failure: Exception | None = None) -> None:
        super().__init__(reason)
        self.answer = ErrorAnswer(code, reason)
        self.failure = failure or self


class _StandIn(ABC):
    def __init__(self) -> None:
        self.answer: Message | Refusal = Refusal(grpc.StatusCode.INTERNAL, "no_response_prepared")
        self.requests: list[Any] = []
        self.request_ids: list[Any] = []

    async def next_answer(self, request: Message, context: Any) -> Any:
        """Serve any rpc."""
        self.requests.append(request)
        self.request_ids += [value for name, value in context.invocation_metadata() if name == "x-request-id"]
        if isinstance(self.answer, Refusal):
            status = to_status(self.answer.failure, self.answer.answer, "stand-in")
            code = self.answer.answer.code
            await context.abort(code, status.message, ((DETAILS_KEY, status.SerializeToString()),))
        return self.answer

    @abstractmethod
    def served_at(self) -> AbstractAsyncContextManager[str]:
        """Serve on a free port and give the address."""

    @asynccontextmanager
    async def served(self) -> AsyncIterator[grpc.aio.Channel]:
        """Serve on a free port and give a channel, opened as the gateway opens it."""
        async with self.served_at() as target, open_channel(target) as channel:
            yield channel


class SessionStandIn(_StandIn):
    """checkout-session."""

    SaveAttempt = GetAttempt = CloseAttempt = DeleteAttempt = _StandIn.next_answer
    ClaimDueAttempts = RescheduleAttempts = _StandIn.next_answer
    is_earlier_version = False
    """True for one that does not know DeleteAttempts."""

    async def DeleteAttempts(self, request: Message, context: Any) -> Any:  # noqa: N802 — the contract's name
        """Serve it unless this is an earlier version."""
        if self.is_earlier_version:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
        return await self.next_answer(request, context)

    @asynccontextmanager
    async def served_at(self) -> AsyncIterator[str]:
        """Serve on a free port and give the address."""
        server = grpc.aio.server()
        checkout_session_pb2_grpc.add_CheckoutSessionServiceServicer_to_server(self, server)  # type: ignore[arg-type]  # one method serves all rpcs
        async with _started(server) as target:
            yield target


class OrdersStandIn(_StandIn):
    """orders."""

    RecordPurchase = QuarantinePayment = GetPurchase = GetOrder = ListOrders = _StandIn.next_answer
    ListQuarantinedPayments = _StandIn.next_answer
    GetSubscription = ListSubscriptions = BeginActivation = ActivateSubscription = _StandIn.next_answer
    FailActivation = RetryActivation = ApplySubscriptionState = GetCustomer = PutCustomer = _StandIn.next_answer
    GetRefund = ApplyRefund = GetDispute = ApplyDispute = _StandIn.next_answer
    CancelPendingSubscription = ListUnfinishedSubscriptions = _StandIn.next_answer
    LogEvents = FindUnloggedEvents = PruneEvents = ClaimCursor = AdvanceCursor = _StandIn.next_answer
    PutEventRetry = ClaimDueEventRetries = FinishEventRetry = _StandIn.next_answer

    @asynccontextmanager
    async def served_at(self) -> AsyncIterator[str]:
        """Serve on a free port and give the address."""
        server = grpc.aio.server()
        orders_pb2_grpc.add_OrdersServiceServicer_to_server(self, server)  # type: ignore[arg-type]  # one method serves all rpcs
        stripe_events_pb2_grpc.add_StripeEventsServiceServicer_to_server(self, server)  # type: ignore[arg-type]  # the same
        async with _started(server) as target:
            yield target


@asynccontextmanager
async def _started(server: grpc.aio.Server) -> AsyncIterator[str]:
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)
