"""gRPC servicer of operators: read the request, call one use case, write the response."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import grpc

from checkout.orders.v1 import operator_pb2 as pb
from checkout.orders.v1 import operator_pb2_grpc as pb_grpc
from orders.api import paging, settlements
from orders.domain.pagination import encode_page_token
from orders.usecases.operator_steps import ActivationNotFailed, OperatorSteps
from orders.usecases.retrying import Retrier
from orders.usecases.settlements import (
    AttemptHasPurchase,
    CartRequired,
    NothingReceived,
    NotRefunded,
    PaymentErased,
    RefundUnderWay,
    SettlementService,
)
from servicekit.errors import ErrorAnswer, ErrorTable

ERRORS: Final[ErrorTable] = {
    RefundUnderWay: ErrorAnswer(grpc.StatusCode.FAILED_PRECONDITION, "refund_under_way"),
    NotRefunded: ErrorAnswer(grpc.StatusCode.FAILED_PRECONDITION, "not_refunded"),
    NothingReceived: ErrorAnswer(grpc.StatusCode.FAILED_PRECONDITION, "nothing_received"),
    CartRequired: ErrorAnswer(grpc.StatusCode.FAILED_PRECONDITION, "cart_required"),
    AttemptHasPurchase: ErrorAnswer(grpc.StatusCode.FAILED_PRECONDITION, "attempt_has_purchase"),
    PaymentErased: ErrorAnswer(grpc.StatusCode.FAILED_PRECONDITION, "payment_erased"),
    ActivationNotFailed: ErrorAnswer(grpc.StatusCode.FAILED_PRECONDITION, "activation_not_failed"),
}
"""Status and reason of the exceptions of operators' use cases, beside those of `orders.api.servicer`."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OperatorUseCases:
    """Use cases that the servicer calls."""

    settlements: SettlementService
    steps: OperatorSteps


class OperatorServicer(pb_grpc.OperatorServiceServicer):
    """Implements the OperatorService contract."""

    def __init__(self, use_cases: OperatorUseCases, retrier: Retrier) -> None:
        self._use_cases = use_cases
        self._retrier = retrier

    async def ListQuarantine(  # noqa: N802 - the contract's name
        self, request: pb.ListQuarantineRequest, context: grpc.ServicerContext
    ) -> pb.ListQuarantineResponse:
        """List quarantined payments without their content, newest first."""
        asked, with_resolved = paging.operator_page_from_proto(request), request.all
        listing = self._use_cases.settlements.list_payments
        page = await self._run(context, lambda: listing(asked, with_resolved=with_resolved))
        return pb.ListQuarantineResponse(
            payments=map(settlements.state_to_proto, page.rows),
            next_page_token=encode_page_token(paging.QUARANTINE_LIST, page.next),
        )

    async def ShowPayment(  # noqa: N802 - the contract's name
        self, request: pb.ShowPaymentRequest, context: grpc.ServicerContext
    ) -> pb.ShowPaymentResponse:
        """Return a payment with its content and the steps about it."""
        intent_id, personal = settlements.show_from_proto(request)
        shown = await self._run(context, lambda: self._use_cases.settlements.show(intent_id, personal))
        return settlements.shown_to_proto(shown, personal=personal is not None)

    async def SettlePayment(  # noqa: N802 - the contract's name
        self, request: pb.SettlePaymentRequest, context: grpc.ServicerContext
    ) -> pb.SettlePaymentResponse:
        """Settle a quarantined payment, or return what stands."""
        asked = settlements.settlement_from_proto(request)
        result = await self._run(context, lambda: self._use_cases.settlements.settle(asked))
        return pb.SettlePaymentResponse(
            payment=settlements.state_to_proto(result.decision), already_settled=result.already_settled
        )

    async def BeginRefundSettlement(  # noqa: N802 - the contract's name
        self, request: pb.BeginRefundSettlementRequest, context: grpc.ServicerContext
    ) -> pb.BeginRefundSettlementResponse:
        """Mark a quarantined payment as being refunded."""
        step, intent_id = settlements.step_and_intent_from_proto(request)
        decision = await self._run(context, lambda: self._use_cases.settlements.begin_refund(step, intent_id))
        return pb.BeginRefundSettlementResponse(payment=settlements.state_to_proto(decision))

    async def AbandonRefundSettlement(  # noqa: N802 - the contract's name
        self, request: pb.AbandonRefundSettlementRequest, context: grpc.ServicerContext
    ) -> pb.AbandonRefundSettlementResponse:
        """Give up a refund that Stripe refused."""
        step, intent_id = settlements.step_and_intent_from_proto(request)
        decision = await self._run(context, lambda: self._use_cases.settlements.abandon_refund(step, intent_id))
        return pb.AbandonRefundSettlementResponse(payment=settlements.state_to_proto(decision))

    async def FindOrder(  # noqa: N802 - the contract's name
        self, request: pb.FindOrderRequest, context: grpc.ServicerContext
    ) -> pb.FindOrderResponse:
        """Return an order by its number or id, with the steps about it."""
        key = settlements.order_key_from_proto(request)
        shown = await self._run(context, lambda: self._use_cases.steps.find_order(key))
        return pb.FindOrderResponse(
            order=settlements.order_without_person_to_proto(shown.order),
            actions=map(settlements.action_to_proto, shown.actions),
        )

    async def RecordOrderRefund(  # noqa: N802 - the contract's name
        self, request: pb.RecordOrderRefundRequest, context: grpc.ServicerContext
    ) -> pb.RecordOrderRefundResponse:
        """Record a step of a refund of an order."""
        step, refund = settlements.order_refund_from_proto(request)
        await self._run(context, lambda: self._use_cases.steps.record_refund(step, refund))
        return pb.RecordOrderRefundResponse()

    async def RetrySubscription(  # noqa: N802 - the contract's name
        self, request: pb.RetrySubscriptionRequest, context: grpc.ServicerContext
    ) -> pb.RetrySubscriptionResponse:
        """Let a failed activation begin again."""
        asked = settlements.subscription_retry_from_proto(request)
        subscription = await self._run(
            context,
            lambda: self._use_cases.steps.retry_subscription(
                asked.step, asked.subscription_id, asked.expected_version or None, asked.payment_method_id
            ),
        )
        return pb.RetrySubscriptionResponse(subscription=settlements.subscription_without_person_to_proto(subscription))

    async def GiveUpSubscription(  # noqa: N802 - the contract's name
        self, request: pb.GiveUpSubscriptionRequest, context: grpc.ServicerContext
    ) -> pb.GiveUpSubscriptionResponse:
        """Cancel a subscription whose activation failed."""
        asked = settlements.give_up_from_proto(request)
        subscription = await self._run(
            context,
            lambda: self._use_cases.steps.give_up_subscription(
                asked.step, asked.subscription_id, asked.expected_version
            ),
        )
        return pb.GiveUpSubscriptionResponse(
            subscription=settlements.subscription_without_person_to_proto(subscription)
        )

    async def _run(self, context: grpc.ServicerContext, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        # grpcio's asyncio context returns None, not infinity, if the caller set no deadline.
        remaining: Any = context.time_remaining()
        return await self._retrier.run(work, remaining)
