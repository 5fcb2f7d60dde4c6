"""gRPC servicer: read the request, call one use case, write the response."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import grpc

from checkout.orders.v1 import orders_pb2 as pb
from checkout.orders.v1 import orders_pb2_grpc as pb_grpc
from orders.api import customers, paging, purchases, refunds, subscriptions
from orders.domain.pagination import encode_page_token
from orders.domain.subscriptions import (
    StripeSubscriptionMismatch,
    SubscriptionActivated,
    SubscriptionCancelled,
    SubscriptionNotFound,
)
from orders.usecases.customers import CustomerErased, CustomerNotFound, CustomerService
from orders.usecases.purchases import OrderNotFound, PurchaseNotFound, PurchaseReader, PurchaseRecorder
from orders.usecases.quarantine import QuarantineService
from orders.usecases.refunds import DisputeNotFound, PaymentNotFound, RefundNotFound, RefundService
from orders.usecases.retrying import Retrier
from orders.usecases.subscriptions import SubscriptionReader, SubscriptionWriter
from orders.usecases.unit_of_work import DatabaseUnavailable, VersionConflict
from servicekit.errors import ErrorAnswer, ErrorTable
from servicekit.json_logging import bind_attempt
from servicekit.load_shedding import Criticality

DOMAIN: Final = "orders"
"""Name of this service in google.rpc.ErrorInfo."""

SERVICE_NAME: Final = pb.DESCRIPTOR.services_by_name["OrdersService"].full_name

ERRORS: Final[ErrorTable] = {
    DatabaseUnavailable: ErrorAnswer(grpc.StatusCode.UNAVAILABLE, "database_unavailable"),
    PurchaseNotFound: ErrorAnswer(grpc.StatusCode.NOT_FOUND, "purchase_not_found"),
    OrderNotFound: ErrorAnswer(grpc.StatusCode.NOT_FOUND, "order_not_found"),
    RefundNotFound: ErrorAnswer(grpc.StatusCode.NOT_FOUND, "refund_not_found"),
    PaymentNotFound: ErrorAnswer(grpc.StatusCode.NOT_FOUND, "payment_not_found"),
    DisputeNotFound: ErrorAnswer(grpc.StatusCode.NOT_FOUND, "dispute_not_found"),
    SubscriptionNotFound: ErrorAnswer(grpc.StatusCode.NOT_FOUND, "subscription_not_found"),
    CustomerNotFound: ErrorAnswer(grpc.StatusCode.NOT_FOUND, "customer_not_found"),
    CustomerErased: ErrorAnswer(grpc.StatusCode.FAILED_PRECONDITION, "customer_erased"),
    VersionConflict: ErrorAnswer(grpc.StatusCode.ABORTED, "version_conflict"),
    StripeSubscriptionMismatch: ErrorAnswer(grpc.StatusCode.FAILED_PRECONDITION, "stripe_subscription_mismatch"),
    SubscriptionActivated: ErrorAnswer(grpc.StatusCode.FAILED_PRECONDITION, "subscription_activated"),
    SubscriptionCancelled: ErrorAnswer(grpc.StatusCode.FAILED_PRECONDITION, "subscription_canceled"),
}
"""Status and reason of each exception."""

CRITICALITY: Final = {
    "GetCustomer": Criticality.LOW,
    "PutCustomer": Criticality.LOW,
    "ListOrders": Criticality.NORMAL,
    "ListSubscriptions": Criticality.NORMAL,
    **dict.fromkeys(
        (
            "ListUnfinishedSubscriptions",
            "LogEvents",
            "FindUnloggedEvents",
            "PruneEvents",
            "ClaimDueEventRetries",
            "ClaimCursor",
            "AdvanceCursor",
            "ListPayments",
            "FindPayments",
        ),
        Criticality.BACKGROUND,
    ),
}
"""Rpcs that are refused before the others. A reconciler that claims or lists nothing asks nothing else."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class UseCases:
    """Use cases that the servicer calls."""

    recorder: PurchaseRecorder
    quarantine: QuarantineService
    reader: PurchaseReader
    refunds: RefundService
    subscriptions: SubscriptionReader
    subscription_writer: SubscriptionWriter
    customers: CustomerService


class OrdersServicer(pb_grpc.OrdersServiceServicer):
    """Implements the OrdersService contract."""

    def __init__(self, use_cases: UseCases, retrier: Retrier) -> None:
        self._use_cases = use_cases
        self._retrier = retrier

    async def RecordPurchase(  # noqa: N802 - the contract's name
        self, request: pb.RecordPurchaseRequest, context: grpc.ServicerContext
    ) -> pb.RecordPurchaseResponse:
        """Record the purchase of a succeeded intent, once (P3)."""
        paid = purchases.paid_attempt_from_proto(request)
        bind_attempt(paid.payment.attempt_id)
        result = await self._run(context, lambda: self._use_cases.recorder.record(paid))
        return pb.RecordPurchaseResponse(
            decision=purchases.decision_to_proto(result.decision), already_recorded=result.already_recorded
        )

    async def QuarantinePayment(  # noqa: N802 - the contract's name
        self, request: pb.QuarantinePaymentRequest, context: grpc.ServicerContext
    ) -> pb.QuarantinePaymentResponse:
        """Quarantine a succeeded intent for a person to resolve."""
        quarantined = purchases.quarantined_from_proto(request)
        bind_attempt(quarantined.payment.attempt_id)
        result = await self._run(context, lambda: self._use_cases.quarantine.quarantine(quarantined))
        return pb.QuarantinePaymentResponse(
            decision=purchases.decision_to_proto(result.decision), already_recorded=result.already_recorded
        )

    async def ListQuarantinedPayments(  # noqa: N802 - the contract's name
        self, request: pb.ListQuarantinedPaymentsRequest, context: grpc.ServicerContext
    ) -> pb.ListQuarantinedPaymentsResponse:
        """List quarantined payments, newest first."""
        page_request = paging.quarantine_page_from_proto(request)
        page = await self._run(context, lambda: self._use_cases.quarantine.list_payments(page_request))
        return pb.ListQuarantinedPaymentsResponse(
            quarantined_payments=map(purchases.quarantined_to_proto, page.rows),
            next_page_token=encode_page_token(paging.QUARANTINE_LIST, page.next),
        )

    async def GetPurchase(  # noqa: N802 - the contract's name
        self, request: pb.GetPurchaseRequest, context: grpc.ServicerContext
    ) -> pb.GetPurchaseResponse:
        """Return the purchase of an attempt."""
        attempt_id = purchases.attempt_id_from_proto(request)
        bind_attempt(attempt_id)
        purchase = await self._run(context, lambda: self._use_cases.reader.get_purchase(attempt_id))
        return pb.GetPurchaseResponse(purchase=purchases.purchase_to_proto(purchase))

    async def GetOrder(  # noqa: N802 - the contract's name
        self, request: pb.GetOrderRequest, context: grpc.ServicerContext
    ) -> pb.GetOrderResponse:
        """Return one order."""
        order_id = purchases.order_id_from_proto(request)
        order = await self._run(context, lambda: self._use_cases.reader.get_order(order_id))
        return pb.GetOrderResponse(order=purchases.order_to_proto(order))

    async def ListOrders(  # noqa: N802 - the contract's name
        self, request: pb.ListOrdersRequest, context: grpc.ServicerContext
    ) -> pb.ListOrdersResponse:
        """List a user's orders, newest first."""
        asked = paging.orders_page_from_proto(request)
        page = await self._run(context, lambda: self._use_cases.reader.list_orders(asked.user_id, asked.page))
        return pb.ListOrdersResponse(
            orders=map(purchases.order_to_proto, page.rows),
            next_page_token=encode_page_token(paging.ORDERS_LIST, page.next),
        )

    async def GetRefund(  # noqa: N802 - the contract's name
        self, request: pb.GetRefundRequest, context: grpc.ServicerContext
    ) -> pb.GetRefundResponse:
        """Return a refund."""
        refund_id = refunds.refund_id_from_proto(request)
        refund = await self._run(context, lambda: self._use_cases.refunds.get_refund(refund_id))
        return pb.GetRefundResponse(refund=refunds.refund_to_proto(refund))

    async def ApplyRefund(  # noqa: N802 - the contract's name
        self, request: pb.ApplyRefundRequest, context: grpc.ServicerContext
    ) -> pb.ApplyRefundResponse:
        """Write a refund if its row still has the version."""
        shown = refunds.refund_from_proto(request)
        refund = await self._run(
            context,
            lambda: self._use_cases.refunds.apply_refund(shown, only_if_decided=request.only_if_decided),
        )
        return pb.ApplyRefundResponse(refund=refunds.refund_to_proto(refund))

    async def GetDispute(  # noqa: N802 - the contract's name
        self, request: pb.GetDisputeRequest, context: grpc.ServicerContext
    ) -> pb.GetDisputeResponse:
        """Return a dispute."""
        dispute_id = refunds.dispute_id_from_proto(request)
        dispute = await self._run(context, lambda: self._use_cases.refunds.get_dispute(dispute_id))
        return pb.GetDisputeResponse(dispute=refunds.dispute_to_proto(dispute))

    async def ApplyDispute(  # noqa: N802 - the contract's name
        self, request: pb.ApplyDisputeRequest, context: grpc.ServicerContext
    ) -> pb.ApplyDisputeResponse:
        """Write a dispute if its row still has the version."""
        shown = refunds.dispute_from_proto(request)
        dispute = await self._run(
            context,
            lambda: self._use_cases.refunds.apply_dispute(shown, only_if_decided=request.only_if_decided),
        )
        return pb.ApplyDisputeResponse(dispute=refunds.dispute_to_proto(dispute))

    async def GetSubscription(  # noqa: N802 - the contract's name
        self, request: pb.GetSubscriptionRequest, context: grpc.ServicerContext
    ) -> pb.GetSubscriptionResponse:
        """Return one subscription, by our id or Stripe's."""
        key = subscriptions.subscription_key_from_proto(request)
        reader = self._use_cases.subscriptions
        subscription = await self._run(
            context, lambda: reader.get_by_stripe_id(key) if isinstance(key, str) else reader.get(key)
        )
        return pb.GetSubscriptionResponse(subscription=subscriptions.subscription_to_proto(subscription))

    async def ListSubscriptions(  # noqa: N802 - the contract's name
        self, request: pb.ListSubscriptionsRequest, context: grpc.ServicerContext
    ) -> pb.ListSubscriptionsResponse:
        """List a user's subscriptions, newest first."""
        asked = paging.subscriptions_page_from_proto(request)
        page = await self._run(context, lambda: self._use_cases.subscriptions.list_of_user(asked.user_id, asked.page))
        return pb.ListSubscriptionsResponse(
            subscriptions=map(subscriptions.subscription_to_proto, page.rows),
            next_page_token=encode_page_token(paging.SUBSCRIPTIONS_LIST, page.next),
        )

    async def ListUnfinishedSubscriptions(  # noqa: N802 - the contract's name
        self, request: pb.ListUnfinishedSubscriptionsRequest, context: grpc.ServicerContext
    ) -> pb.ListUnfinishedSubscriptionsResponse:
        """List subscriptions that are still to be activated or cancelled at Stripe, oldest first."""
        asked = paging.unfinished_page_from_proto(request)
        reader = self._use_cases.subscriptions
        page = await self._run(context, lambda: reader.list_unfinished(asked.created_before, asked.page))
        return pb.ListUnfinishedSubscriptionsResponse(
            subscription_ids=[str(each.id) for each in page.rows],
            next_page_token=encode_page_token(paging.UNFINISHED_LIST, page.next),
        )

    async def BeginActivation(  # noqa: N802 - the contract's name
        self, request: pb.BeginActivationRequest, context: grpc.ServicerContext
    ) -> pb.BeginActivationResponse:
        """Record that a subscription is about to be created at Stripe."""
        begin = subscriptions.begin_activation_from_proto(request)
        subscription = await self._run(
            context,
            lambda: self._use_cases.subscription_writer.begin_activation(
                begin.subscription_id, begin.abandon_generation
            ),
        )
        return pb.BeginActivationResponse(subscription=subscriptions.subscription_to_proto(subscription))

    async def ActivateSubscription(  # noqa: N802 - the contract's name
        self, request: pb.ActivateSubscriptionRequest, context: grpc.ServicerContext
    ) -> pb.ActivateSubscriptionResponse:
        """Bind a subscription to its Stripe subscription, once."""
        subscription_id, snapshot = subscriptions.snapshot_from_proto(request)
        subscription = await self._run(
            context, lambda: self._use_cases.subscription_writer.activate(subscription_id, snapshot)
        )
        return pb.ActivateSubscriptionResponse(subscription=subscriptions.subscription_to_proto(subscription))

    async def CancelPendingSubscription(  # noqa: N802 - the contract's name
        self, request: pb.CancelPendingSubscriptionRequest, context: grpc.ServicerContext
    ) -> pb.CancelPendingSubscriptionResponse:
        """Cancel a subscription that is not created at Stripe yet."""
        cancel = subscriptions.pending_cancel_from_proto(request)
        subscription = await self._run(
            context,
            lambda: self._use_cases.subscription_writer.cancel_pending(cancel.subscription_id, cancel.expected_version),
        )
        return pb.CancelPendingSubscriptionResponse(subscription=subscriptions.subscription_to_proto(subscription))

    async def FailActivation(  # noqa: N802 - the contract's name
        self, request: pb.FailActivationRequest, context: grpc.ServicerContext
    ) -> pb.FailActivationResponse:
        """Record that Stripe definitely refused to create a subscription."""
        failed = subscriptions.activation_failure_from_proto(request)
        subscription = await self._run(
            context,
            lambda: self._use_cases.subscription_writer.fail(
                failed.subscription_id, failed.expected_version, failed.failure
            ),
        )
        return pb.FailActivationResponse(subscription=subscriptions.subscription_to_proto(subscription))

    async def RetryActivation(  # noqa: N802 - the contract's name
        self, request: pb.RetryActivationRequest, context: grpc.ServicerContext
    ) -> pb.RetryActivationResponse:
        """Let a failed activation begin again."""
        retry = subscriptions.activation_retry_from_proto(request)
        subscription = await self._run(
            context,
            lambda: self._use_cases.subscription_writer.retry(
                retry.subscription_id, retry.expected_version, retry.payment_method_id
            ),
        )
        return pb.RetryActivationResponse(subscription=subscriptions.subscription_to_proto(subscription))

    async def ApplySubscriptionState(  # noqa: N802 - the contract's name
        self, request: pb.ApplySubscriptionStateRequest, context: grpc.ServicerContext
    ) -> pb.ApplySubscriptionStateResponse:
        """Write a state that was read at Stripe if the row still has the version."""
        subscription_id, snapshot = subscriptions.snapshot_from_proto(request)
        subscription = await self._run(
            context, lambda: self._use_cases.subscription_writer.apply(subscription_id, snapshot)
        )
        return pb.ApplySubscriptionStateResponse(subscription=subscriptions.subscription_to_proto(subscription))

    async def GetCustomer(  # noqa: N802 - the contract's name
        self, request: pb.GetCustomerRequest, context: grpc.ServicerContext
    ) -> pb.GetCustomerResponse:
        """Return a user's Stripe customer of one currency."""
        owner = customers.customer_owner_from_proto(request)
        customer_id = await self._run(context, lambda: self._use_cases.customers.get(owner))
        return pb.GetCustomerResponse(stripe_customer_id=customer_id)

    async def PutCustomer(  # noqa: N802 - the contract's name
        self, request: pb.PutCustomerRequest, context: grpc.ServicerContext
    ) -> pb.PutCustomerResponse:
        """Assign a Stripe customer to a user: the first writer wins, and everybody receives the winner."""
        asked = customers.customer_assignment_from_proto(request)
        customer_id = await self._run(
            context, lambda: self._use_cases.customers.put(asked.owner, asked.stripe_customer_id, asked.replaced)
        )
        return pb.PutCustomerResponse(stripe_customer_id=customer_id)

    async def _run(self, context: grpc.ServicerContext, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        # grpcio's asyncio context returns None, not infinity, if the caller set no deadline.
        remaining: Any = context.time_remaining()
        return await self._retrier.run(work, remaining)
