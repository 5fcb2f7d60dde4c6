"""The gRPC edge: translate in, call one use case, translate out."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import grpc

from checkout.orders.v1 import orders_pb2 as pb
from checkout.orders.v1 import orders_pb2_grpc as pb_grpc
from orders import requests, responses
from orders.ledger import DatabaseUnavailable
from orders.pages import write_page_token
from orders.patience import Patience
from orders.purchases import OrderNotFound, PurchaseNotFound, PurchaseReader, PurchaseRecorder
from orders.quarantine import Quarantine
from servicekit.errors import ErrorAnswer, ErrorTable
from servicekit.json_logging import bind_attempt

DOMAIN: Final = "orders"
"""Names this service in google.rpc.ErrorInfo."""

SERVICE_NAME: Final = pb.DESCRIPTOR.services_by_name["OrdersService"].full_name

ERRORS: Final[ErrorTable] = {
    DatabaseUnavailable: ErrorAnswer(grpc.StatusCode.UNAVAILABLE, "database_unavailable"),
    PurchaseNotFound: ErrorAnswer(grpc.StatusCode.NOT_FOUND, "purchase_not_found"),
    OrderNotFound: ErrorAnswer(grpc.StatusCode.NOT_FOUND, "order_not_found"),
}
"""How each thing that may happen is told to the caller."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class UseCases:
    """What the service can do."""

    recorder: PurchaseRecorder
    quarantine: Quarantine
    reader: PurchaseReader


class OrdersServicer(pb_grpc.OrdersServiceServicer):
    """Answers the contract's rpcs."""

    def __init__(self, use_cases: UseCases, patience: Patience) -> None:
        self._recorder = use_cases.recorder
        self._quarantine = use_cases.quarantine
        self._reader = use_cases.reader
        self._patience = patience

    async def RecordPurchase(  # noqa: N802 - the contract's name
        self, request: pb.RecordPurchaseRequest, context: grpc.ServicerContext
    ) -> pb.RecordPurchaseResponse:
        """Record what a succeeded intent bought, once (P3)."""
        paid = requests.read_paid_attempt(request)
        bind_attempt(paid.payment.attempt_id)
        recorded = await self._in_time(context, lambda: self._recorder.record(paid))
        return pb.RecordPurchaseResponse(
            decision=responses.write_decision(recorded.decision), already_recorded=recorded.already_recorded
        )

    async def QuarantinePayment(  # noqa: N802 - the contract's name
        self, request: pb.QuarantinePaymentRequest, context: grpc.ServicerContext
    ) -> pb.QuarantinePaymentResponse:
        """Set a succeeded intent aside for a person to settle."""
        quarantined = requests.read_quarantined(request)
        bind_attempt(quarantined.payment.attempt_id)
        recorded = await self._in_time(context, lambda: self._quarantine.set_aside(quarantined))
        return pb.QuarantinePaymentResponse(
            decision=responses.write_decision(recorded.decision), already_recorded=recorded.already_recorded
        )

    async def ListQuarantinedPayments(  # noqa: N802 - the contract's name
        self, request: pb.ListQuarantinedPaymentsRequest, context: grpc.ServicerContext
    ) -> pb.ListQuarantinedPaymentsResponse:
        """Answer quarantined payments, newest first."""
        asked = requests.read_quarantine_page(request)
        page = await self._in_time(context, lambda: self._quarantine.page(asked))
        return pb.ListQuarantinedPaymentsResponse(
            quarantined_payments=map(responses.write_quarantined, page.rows),
            next_page_token=write_page_token(requests.QUARANTINE_LIST, page.next),
        )

    async def GetPurchase(  # noqa: N802 - the contract's name
        self, request: pb.GetPurchaseRequest, context: grpc.ServicerContext
    ) -> pb.GetPurchaseResponse:
        """Answer the purchase that an attempt became."""
        attempt_id = requests.read_attempt_id(request)
        bind_attempt(attempt_id)
        purchase = await self._in_time(context, lambda: self._reader.purchase_of(attempt_id))
        return pb.GetPurchaseResponse(purchase=responses.write_purchase(purchase))

    async def GetOrder(  # noqa: N802 - the contract's name
        self, request: pb.GetOrderRequest, context: grpc.ServicerContext
    ) -> pb.GetOrderResponse:
        """Answer one order."""
        order_id = requests.read_order_id(request)
        order = await self._in_time(context, lambda: self._reader.order(order_id))
        return pb.GetOrderResponse(order=responses.write_order(order))

    async def ListOrders(  # noqa: N802 - the contract's name
        self, request: pb.ListOrdersRequest, context: grpc.ServicerContext
    ) -> pb.ListOrdersResponse:
        """Answer a user's orders, newest first."""
        asked = requests.read_orders_page(request)
        page = await self._in_time(context, lambda: self._reader.orders_of(asked.user_id, asked.page))
        return pb.ListOrdersResponse(
            orders=map(responses.write_order, page.rows),
            next_page_token=write_page_token(requests.ORDERS_LIST, page.next),
        )

    async def _in_time(self, context: grpc.ServicerContext, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        # grpcio's asyncio context says None, not infinity, where the caller set no deadline.
        remaining: Any = context.time_remaining()
        return await self._patience.persist(work, remaining)
