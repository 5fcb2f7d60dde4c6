"""Steps of operators, over gRPC."""

from functools import partial
from typing import Final

import grpc

from checkout.orders.v1 import operator_pb2 as pb
from checkout.orders.v1 import operator_pb2_grpc as pb_grpc
from checkout_rules.fields import uuid_violations
from payments_gateway.domain.attempts import CheckoutContext
from payments_gateway.domain.errors import VersionConflict
from payments_gateway.domain.purchases import QuarantineReason
from payments_gateway.domain.settlements import (
    KeptContent,
    NotRefunded,
    OperatorAction,
    OperatorStep,
    OrderRefund,
    PaymentPage,
    PaymentState,
    SettledPayment,
    Settlement,
    ShownOrder,
    ShownPayment,
    StepRefused,
)
from payments_gateway.domain.subscriptions import Subscription, SubscriptionNotFound
from payments_gateway.rpc.messages import (
    context_from_proto,
    context_to_proto,
    intent_from_proto,
    money_from_proto,
    money_to_proto,
    time_from_proto,
)
from payments_gateway.rpc.orders import REASONS, order_from_proto, purchase_from_proto
from payments_gateway.rpc.subscriptions import subscription_from_proto
from servicekit.enum_codec import EnumCodec
from servicekit.grpc_client import ErrorNames, RpcClient

_ERRORS: Final[ErrorNames] = {
    "payment_not_found": partial(StepRefused, "no payment has this intent id"),
    "order_not_found": partial(StepRefused, "there is no such order"),
    "refund_under_way": partial(
        StepRefused, "its refund was begun: --as refunded --refund finishes it, or gives it up if Stripe refuses"
    ),
    "not_refunded": partial(NotRefunded, "it is not refunded in full: --refund asks Stripe for the rest"),
    "nothing_received": partial(StepRefused, "no money was received that could be refunded: write it off"),
    "cart_required": partial(StepRefused, "no readable cart is kept with it: supply one with --cart"),
    "attempt_has_purchase": partial(
        StepRefused, "its checkout has its purchase, paid with another intent: refund it, or write it off"
    ),
    "payment_erased": partial(StepRefused, "its personal data was erased: it becomes no order"),
    "activation_not_failed": partial(StepRefused, "its activation has not failed"),
    "subscription_activated": partial(StepRefused, "it exists at Stripe: cancel it there"),
    "subscription_canceled": partial(StepRefused, "it was cancelled before"),
    "subscription_not_found": SubscriptionNotFound,
    "version_conflict": VersionConflict,
}

_SETTLEMENTS: Final = EnumCodec(Settlement, pb.Settlement)
_CONTENT: Final = {
    pb.CONTENT_STATE_READABLE: KeptContent.READABLE,
    pb.CONTENT_STATE_UNREADABLE: KeptContent.UNREADABLE,
}


class SettlementsClient:
    """`SettlementsPort` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout_seconds: float) -> None:
        self._stub: pb_grpc.OperatorServiceAsyncStub = pb_grpc.OperatorServiceStub(channel)
        self._client = RpcClient("orders", _ERRORS, timeout_seconds=timeout_seconds)

    async def list_quarantined(self, *, with_resolved: bool, page_token: str | None) -> PaymentPage:
        """Return a page of quarantined payments."""
        request = pb.ListQuarantineRequest(all=with_resolved, page_token=page_token or "")
        page = await self._client.call(self._stub.ListQuarantine, request)
        return PaymentPage(tuple(map(_state_from_proto, page.payments)), page.next_page_token or None)

    async def show(self, intent_id: str, personal: OperatorStep | None) -> ShownPayment:
        """Return a payment."""
        request = pb.ShowPaymentRequest(
            intent_id=intent_id, personal=_step_to_proto(personal) if personal is not None else None
        )
        shown = await self._client.call(self._stub.ShowPayment, request)
        actions = tuple(map(_action_from_proto, shown.actions))
        return ShownPayment(_state_from_proto(shown.payment), _context_of(shown), actions)

    async def settle(
        self, step: OperatorStep, intent_id: str, settlement: Settlement, cart: CheckoutContext | None
    ) -> SettledPayment:
        """Settle a payment, or return what stands."""
        request = pb.SettlePaymentRequest(
            step=_step_to_proto(step),
            intent_id=intent_id,
            settlement=_SETTLEMENTS.to_proto(settlement),
            context=context_to_proto(cart) if cart is not None else None,
        )
        settled = await self._client.call(self._stub.SettlePayment, request)
        return SettledPayment(_state_from_proto(settled.payment), settled.already_settled)

    async def begin_refund(self, step: OperatorStep, intent_id: str) -> PaymentState:
        """Bar every other settlement."""
        request = pb.BeginRefundSettlementRequest(step=_step_to_proto(step), intent_id=intent_id)
        return _state_from_proto((await self._client.call(self._stub.BeginRefundSettlement, request)).payment)

    async def abandon_refund(self, step: OperatorStep, intent_id: str) -> PaymentState:
        """Give up a refund."""
        request = pb.AbandonRefundSettlementRequest(step=_step_to_proto(step), intent_id=intent_id)
        return _state_from_proto((await self._client.call(self._stub.AbandonRefundSettlement, request)).payment)

    async def find_order(self, key: str) -> ShownOrder:
        """Return an order: a UUID is its id, and everything else a number."""
        is_id = not uuid_violations("", key)
        request = pb.FindOrderRequest(order_id=key) if is_id else pb.FindOrderRequest(number=key)
        found = await self._client.call(self._stub.FindOrder, request)
        return ShownOrder(
            order_from_proto(found.order), found.order.payment_intent_id, tuple(map(_action_from_proto, found.actions))
        )

    async def record_order_refund(self, step: OperatorStep, refund: OrderRefund) -> None:
        """Record a step of a refund."""
        request = pb.RecordOrderRefundRequest(
            step=_step_to_proto(step),
            order_id=refund.order_id,
            amount=money_to_proto(refund.amount),
            idempotency_key=refund.idempotency_key,
            stripe_refund_id=refund.refund_id or "",
            outcome=refund.outcome or "",
        )
        await self._client.call(self._stub.RecordOrderRefund, request)

    async def retry_subscription(
        self, step: OperatorStep, subscription_id: str, payment_method_id: str | None
    ) -> Subscription:
        """Let a failed activation begin again."""
        request = pb.RetrySubscriptionRequest(
            step=_step_to_proto(step), subscription_id=subscription_id, payment_method_id=payment_method_id or ""
        )
        return subscription_from_proto((await self._client.call(self._stub.RetrySubscription, request)).subscription)

    async def give_up_subscription(
        self, step: OperatorStep, subscription_id: str, expected_version: int
    ) -> Subscription:
        """Cancel a subscription whose activation failed."""
        request = pb.GiveUpSubscriptionRequest(
            step=_step_to_proto(step), subscription_id=subscription_id, expected_version=expected_version
        )
        return subscription_from_proto((await self._client.call(self._stub.GiveUpSubscription, request)).subscription)


def _context_of(shown: pb.ShowPaymentResponse) -> CheckoutContext | None:
    try:
        return context_from_proto(shown.context) if shown.HasField("context") else None
    except KeyError:  # content that orders could not record may be any
        return None


def _step_to_proto(step: OperatorStep) -> pb.OperatorStep:
    return pb.OperatorStep(id=step.id, operator=step.operator, reason=step.reason)


def _state_from_proto(message: pb.PaymentState) -> PaymentState:
    if message.HasField("purchase"):
        bought = message.purchase
        return PaymentState(intent_from_proto(bought.intent), bought.attempt_id, purchase_from_proto(bought))
    payment = message.payment
    return PaymentState(
        intent=intent_from_proto(payment.intent),
        attempt_id=payment.attempt_id,
        received=money_from_proto(payment.received) if payment.HasField("received") else None,
        customer_id=payment.customer_id or None,
        reason=REASONS.from_proto(message.reason, QuarantineReason.UNKNOWN),
        quarantined_at=time_from_proto(message.quarantined_at),
        resolved_at=time_from_proto(message.resolved_at) if message.HasField("resolved_at") else None,
        settlement=_SETTLEMENTS.from_proto(message.settlement, Settlement.UNKNOWN) if message.settlement else None,
        refund_begun_at=time_from_proto(message.refund_begun_at) if message.HasField("refund_begun_at") else None,
        content=_CONTENT.get(message.content, KeptContent.NONE),
    )


def _action_from_proto(message: pb.OperatorAction) -> OperatorAction:
    return OperatorAction(
        at=time_from_proto(message.at),
        operator=message.step.operator,
        action=message.action,
        reason=message.step.reason,
        before=message.before_json,
        after=message.after_json,
    )
