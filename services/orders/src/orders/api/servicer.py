"""The gRPC edge: translate in, call one use case, translate out."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import grpc

from checkout.orders.v1 import orders_pb2 as pb
from checkout.orders.v1 import orders_pb2_grpc as pb_grpc
from orders.api import purchases as requests
from orders.api import refunds as adjustment_messages
from orders.api import subscriptions as subscription_requests
from orders.api.subscriptions import write_subscription
from orders.domain.pagination import write_page_token
from orders.domain.subscriptions import StripeSubscriptionMismatch, SubscriptionNotFound, VersionMismatch
from orders.usecases.customers import CustomerNotFound, Customers
from orders.usecases.purchases import OrderNotFound, PurchaseNotFound, PurchaseReader, PurchaseRecorder
from orders.usecases.quarantine import Quarantine
from orders.usecases.refunds import AdjustmentOvertaken, Adjustments, DisputeNotFound, RefundNotFound
from orders.usecases.retrying import Patience
from orders.usecases.subscriptions import SubscriptionLife, SubscriptionReader
from orders.usecases.unit_of_work import DatabaseUnavailable
from servicekit.errors import ErrorAnswer, ErrorTable
from servicekit.json_logging import bind_attempt

DOMAIN: Final = "orders"
"""Names this service in google.rpc.ErrorInfo."""

SERVICE_NAME: Final = pb.DESCRIPTOR.services_by_name["OrdersService"].full_name

ERRORS: Final[ErrorTable] = {
    DatabaseUnavailable: ErrorAnswer(grpc.StatusCode.UNAVAILABLE, "database_unavailable"),
    PurchaseNotFound: ErrorAnswer(grpc.StatusCode.NOT_FOUND, "purchase_not_found"),
    OrderNotFound: ErrorAnswer(grpc.StatusCode.NOT_FOUND, "order_not_found"),
    RefundNotFound: ErrorAnswer(grpc.StatusCode.NOT_FOUND, "refund_not_found"),
    DisputeNotFound: ErrorAnswer(grpc.StatusCode.NOT_FOUND, "dispute_not_found"),
    AdjustmentOvertaken: ErrorAnswer(grpc.StatusCode.ABORTED, "version_conflict"),
    SubscriptionNotFound: ErrorAnswer(grpc.StatusCode.NOT_FOUND, "subscription_not_found"),
    VersionMismatch: ErrorAnswer(grpc.StatusCode.ABORTED, "version_conflict"),
    StripeSubscriptionMismatch: ErrorAnswer(grpc.StatusCode.FAILED_PRECONDITION, "stripe_subscription_mismatch"),
    CustomerNotFound: ErrorAnswer(grpc.StatusCode.NOT_FOUND, "customer_not_found"),
}
"""How each thing that may happen is told to the caller."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class UseCases:
    """What the service can do."""

    recorder: PurchaseRecorder
    quarantine: Quarantine
    reader: PurchaseReader
    adjustments: Adjustments
    subscriptions: SubscriptionReader
    life: SubscriptionLife
    customers: Customers


class OrdersServicer(pb_grpc.OrdersServiceServicer):
    """Answers the contract's rpcs."""

    def __init__(self, use_cases: UseCases, patience: Patience) -> None:
        self._recorder = use_cases.recorder
        self._quarantine = use_cases.quarantine
        self._reader = use_cases.reader
        self._adjustments = use_cases.adjustments
        self._subscriptions = use_cases.subscriptions
        self._life = use_cases.life
        self._customers = use_cases.customers
        self._patience = patience

    async def RecordPurchase(  # noqa: N802 - the contract's name
        self, request: pb.RecordPurchaseRequest, context: grpc.ServicerContext
    ) -> pb.RecordPurchaseResponse:
        """Record what a succeeded intent bought, once (P3)."""
        paid = requests.read_paid_attempt(request)
        bind_attempt(paid.payment.attempt_id)
        recorded = await self._in_time(context, lambda: self._recorder.record(paid))
        return pb.RecordPurchaseResponse(
            decision=requests.write_decision(recorded.decision), already_recorded=recorded.already_recorded
        )

    async def QuarantinePayment(  # noqa: N802 - the contract's name
        self, request: pb.QuarantinePaymentRequest, context: grpc.ServicerContext
    ) -> pb.QuarantinePaymentResponse:
        """Set a succeeded intent aside for a person to settle."""
        quarantined = requests.read_quarantined(request)
        bind_attempt(quarantined.payment.attempt_id)
        recorded = await self._in_time(context, lambda: self._quarantine.set_aside(quarantined))
        return pb.QuarantinePaymentResponse(
            decision=requests.write_decision(recorded.decision), already_recorded=recorded.already_recorded
        )

    async def ListQuarantinedPayments(  # noqa: N802 - the contract's name
        self, request: pb.ListQuarantinedPaymentsRequest, context: grpc.ServicerContext
    ) -> pb.ListQuarantinedPaymentsResponse:
        """Answer quarantined payments, newest first."""
        asked = requests.read_quarantine_page(request)
        page = await self._in_time(context, lambda: self._quarantine.page(asked))
        return pb.ListQuarantinedPaymentsResponse(
            quarantined_payments=map(requests.write_quarantined, page.rows),
            next_page_token=write_page_token(requests.QUARANTINE_LIST, page.next),
        )

    async def GetPurchase(  # noqa: N802 - the contract's name
        self, request: pb.GetPurchaseRequest, context: grpc.ServicerContext
    ) -> pb.GetPurchaseResponse:
        """Answer the purchase that an attempt became."""
        attempt_id = requests.read_attempt_id(request)
        bind_attempt(attempt_id)
        purchase = await self._in_time(context, lambda: self._reader.purchase_of(attempt_id))
        return pb.GetPurchaseResponse(purchase=requests.write_purchase(purchase))

    async def GetOrder(  # noqa: N802 - the contract's name
        self, request: pb.GetOrderRequest, context: grpc.ServicerContext
    ) -> pb.GetOrderResponse:
        """Answer one order."""
        order_id = requests.read_order_id(request)
        order = await self._in_time(context, lambda: self._reader.order(order_id))
        return pb.GetOrderResponse(order=requests.write_order(order))

    async def ListOrders(  # noqa: N802 - the contract's name
        self, request: pb.ListOrdersRequest, context: grpc.ServicerContext
    ) -> pb.ListOrdersResponse:
        """Answer a user's orders, newest first."""
        asked = requests.read_orders_page(request)
        page = await self._in_time(context, lambda: self._reader.orders_of(asked.user_id, asked.page))
        return pb.ListOrdersResponse(
            orders=map(requests.write_order, page.rows),
            next_page_token=write_page_token(requests.ORDERS_LIST, page.next),
        )

    async def GetRefund(  # noqa: N802 - the contract's name
        self, request: pb.GetRefundRequest, context: grpc.ServicerContext
    ) -> pb.GetRefundResponse:
        """Answer what is known of a refund."""
        refund_id = adjustment_messages.read_refund_id(request)
        refund = await self._in_time(context, lambda: self._adjustments.refund(refund_id))
        return pb.GetRefundResponse(refund=adjustment_messages.write_refund(refund))

    async def ApplyRefund(  # noqa: N802 - the contract's name
        self, request: pb.ApplyRefundRequest, context: grpc.ServicerContext
    ) -> pb.ApplyRefundResponse:
        """Write a refund where the version it names still holds."""
        shown = adjustment_messages.read_refund(request)
        refund = await self._in_time(context, lambda: self._adjustments.apply_refund(shown))
        return pb.ApplyRefundResponse(refund=adjustment_messages.write_refund(refund))

    async def GetDispute(  # noqa: N802 - the contract's name
        self, request: pb.GetDisputeRequest, context: grpc.ServicerContext
    ) -> pb.GetDisputeResponse:
        """Answer what is known of a dispute."""
        dispute_id = adjustment_messages.read_dispute_id(request)
        dispute = await self._in_time(context, lambda: self._adjustments.dispute(dispute_id))
        return pb.GetDisputeResponse(dispute=adjustment_messages.write_dispute(dispute))

    async def ApplyDispute(  # noqa: N802 - the contract's name
        self, request: pb.ApplyDisputeRequest, context: grpc.ServicerContext
    ) -> pb.ApplyDisputeResponse:
        """Write a dispute where the version it names still holds."""
        shown = adjustment_messages.read_dispute(request)
        dispute = await self._in_time(context, lambda: self._adjustments.apply_dispute(shown))
        return pb.ApplyDisputeResponse(dispute=adjustment_messages.write_dispute(dispute))

    async def GetSubscription(  # noqa: N802 - the contract's name
        self, request: pb.GetSubscriptionRequest, context: grpc.ServicerContext
    ) -> pb.GetSubscriptionResponse:
        """Answer one subscription, by either id."""
        key = subscription_requests.read_subscription_key(request)
        read = self._subscriptions
        subscription = await self._in_time(
            context, lambda: read.bound_to(key) if isinstance(key, str) else read.by_id(key)
        )
        return pb.GetSubscriptionResponse(subscription=write_subscription(subscription))

    async def ListSubscriptions(  # noqa: N802 - the contract's name
        self, request: pb.ListSubscriptionsRequest, context: grpc.ServicerContext
    ) -> pb.ListSubscriptionsResponse:
        """Answer a user's subscriptions, newest first."""
        asked = subscription_requests.read_subscriptions_page(request)
        page = await self._in_time(context, lambda: self._subscriptions.of_user(asked.user_id, asked.page))
        return pb.ListSubscriptionsResponse(
            subscriptions=map(write_subscription, page.rows),
            next_page_token=write_page_token(subscription_requests.SUBSCRIPTIONS_LIST, page.next),
        )

    async def BeginActivation(  # noqa: N802 - the contract's name
        self, request: pb.BeginActivationRequest, context: grpc.ServicerContext
    ) -> pb.BeginActivationResponse:
        """Note that a subscription is about to be created at Stripe."""
        begun = subscription_requests.read_begin(request)
        subscription = await self._in_time(
            context, lambda: self._life.begin_activation(begun.subscription_id, begun.abandon_generation)
        )
        return pb.BeginActivationResponse(subscription=write_subscription(subscription))

    async def ActivateSubscription(  # noqa: N802 - the contract's name
        self, request: pb.ActivateSubscriptionRequest, context: grpc.ServicerContext
    ) -> pb.ActivateSubscriptionResponse:
        """Bind a subscription to the Stripe subscription that was made for it, once."""
        subscription_id, sighting = subscription_requests.read_sighting(request)
        subscription = await self._in_time(context, lambda: self._life.activate(subscription_id, sighting))
        return pb.ActivateSubscriptionResponse(subscription=write_subscription(subscription))

    async def FailActivation(  # noqa: N802 - the contract's name
        self, request: pb.FailActivationRequest, context: grpc.ServicerContext
    ) -> pb.FailActivationResponse:
        """Note that Stripe refused for good to create a subscription."""
        refusal = subscription_requests.read_refusal(request)
        subscription = await self._in_time(
            context,
            lambda: self._life.fail(refusal.subscription_id, refusal.expected_version, refusal.failure),
        )
        return pb.FailActivationResponse(subscription=write_subscription(subscription))

    async def ApplySubscriptionState(  # noqa: N802 - the contract's name
        self, request: pb.ApplySubscriptionStateRequest, context: grpc.ServicerContext
    ) -> pb.ApplySubscriptionStateResponse:
        """Write what was read at Stripe, unless it was overtaken."""
        subscription_id, sighting = subscription_requests.read_sighting(request)
        subscription = await self._in_time(context, lambda: self._life.apply(subscription_id, sighting))
        return pb.ApplySubscriptionStateResponse(subscription=write_subscription(subscription))

    async def GetCustomer(  # noqa: N802 - the contract's name
        self, request: pb.GetCustomerRequest, context: grpc.ServicerContext
    ) -> pb.GetCustomerResponse:
        """Answer a user's Stripe customer."""
        user_id = subscription_requests.read_customer_owner(request)
        customer = await self._in_time(context, lambda: self._customers.of_user(user_id))
        return pb.GetCustomerResponse(stripe_customer_id=customer)

    async def PutCustomer(  # noqa: N802 - the contract's name
        self, request: pb.PutCustomerRequest, context: grpc.ServicerContext
    ) -> pb.PutCustomerResponse:
        """Make a Stripe customer a user's: the first writer wins, and everybody is told who that was."""
        claim = subscription_requests.read_customer_claim(request)
        customer = await self._in_time(
            context, lambda: self._customers.put(claim.user_id, claim.stripe_customer_id, claim.replaced)
        )
        return pb.PutCustomerResponse(stripe_customer_id=customer)

    async def _in_time(self, context: grpc.ServicerContext, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        # grpcio's asyncio context says None, not infinity, where the caller set no deadline.
        remaining: Any = context.time_remaining()
        return await self._patience.persist(work, remaining)
