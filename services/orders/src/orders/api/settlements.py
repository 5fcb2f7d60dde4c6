"""Requests and responses about settlements and steps of operators. Without personal data unless it is asked for."""

import json
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from google.protobuf.message import DecodeError

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import operator_pb2 as pb
from checkout.orders.v1 import orders_pb2
from checkout_rules.carts import context_violations
from checkout_rules.fields import required_text_violations
from orders.api.carts import context_from_proto
from orders.api.field_reader import FieldReader
from orders.api.messages import INTENT_KINDS, timestamp_to_proto
from orders.api.purchases import (
    REASONS,
    content_from_proto,
    order_to_proto,
    payment_to_proto,
    purchase_to_proto,
    quarantined_to_proto,
)
from orders.api.subscriptions import subscription_to_proto
from orders.domain.checkout import AttemptContent, CheckoutContext
from orders.domain.orders import Order, format_order_number, is_order_number
from orders.domain.payments import IntentKind, Payment
from orders.domain.purchases import Decision, Purchase, QuarantinedPayment
from orders.domain.settlements import OperatorAction, OperatorStep, Settlement
from orders.domain.subscriptions import Subscription
from orders.usecases.operator_steps import OrderRefund
from orders.usecases.settlements import SettlementRequest, ShownPayment
from servicekit.enum_codec import EnumCodec
from servicekit.violations import within

_SETTLEMENTS: Final = EnumCodec(Settlement, pb.Settlement)
_MAX_OPERATOR_CHARACTERS: Final = 100
_MAX_REASON_CHARACTERS: Final = 500


@dataclass(frozen=True, slots=True)
class SubscriptionStep:
    """Step about a subscription. Version 0 is any; no payment method keeps the present one."""

    step: OperatorStep
    subscription_id: UUID
    expected_version: int
    payment_method_id: str | None = None


def settlement_from_proto(request: pb.SettlePaymentRequest) -> SettlementRequest:
    """Read a settlement. `read_content` validates the supplied cart, once the payment is known."""
    with FieldReader() as fields:
        step = step_from_proto(fields, request.step)
        intent_id = fields.id("intent_id", request.intent_id)
        settlement = fields.enum("settlement", request.settlement, _SETTLEMENTS)
        with_cart = request.HasField("context")
        fields.require(not with_cart or settlement is Settlement.ORDER, "context", "must be absent unless for an order")
    supplied = content_from_proto(request.context) if with_cart else None
    return SettlementRequest(step, intent_id, settlement, supplied)


def read_content(content: AttemptContent, payment: Payment) -> CheckoutContext:
    """Read the content of a payment, kept or supplied. Raises InvalidRequest if it is no valid purchase of its kind."""
    with FieldReader() as fields:
        known = payment.intent.kind is not IntentKind.UNKNOWN
        fields.require(known, "intent_id", "must be of a kind of intent that this version knows")
        try:
            message = common_pb2.CheckoutContext.FromString(content.serialized)
        except DecodeError:
            message = common_pb2.CheckoutContext()
        kind = INTENT_KINDS.to_proto(payment.intent.kind)
        fields.add(within("context", context_violations(message, kind)))
    return context_from_proto(message)


def step_and_intent_from_proto(
    request: pb.BeginRefundSettlementRequest | pb.AbandonRefundSettlementRequest,
) -> tuple[OperatorStep, str]:
    """Read a step about a payment."""
    with FieldReader() as fields:
        return step_from_proto(fields, request.step), fields.id("intent_id", request.intent_id)


def show_from_proto(request: pb.ShowPaymentRequest) -> tuple[str, OperatorStep | None]:
    """Read a payment to show, and the step that shows its personal data."""
    with FieldReader() as fields:
        personal = step_from_proto(fields, request.personal, "personal") if request.HasField("personal") else None
        return fields.id("intent_id", request.intent_id), personal


def order_key_from_proto(request: pb.FindOrderRequest) -> UUID | str:
    """Read the key of an order: a UUID for its id, a text for its number."""
    with FieldReader() as fields:
        if request.WhichOneof("by") != "number":
            return fields.uuid("order_id", request.order_id)
        fields.require(is_order_number(request.number), "number", "must be an order number")
        return format_order_number(request.number)


def order_refund_from_proto(request: pb.RecordOrderRefundRequest) -> tuple[OperatorStep, OrderRefund]:
    """Read a step of a refund of an order."""
    with FieldReader() as fields:
        step = step_from_proto(fields, request.step)
        refund = OrderRefund(
            order_id=fields.uuid("order_id", request.order_id),
            amount=fields.money("amount", request.amount, present=request.HasField("amount")),
            idempotency_key=fields.id("idempotency_key", request.idempotency_key),
            refund_id=fields.optional_id("stripe_refund_id", request.stripe_refund_id),
            outcome=fields.optional_id("outcome", request.outcome),
        )
    return step, refund


def subscription_retry_from_proto(request: pb.RetrySubscriptionRequest) -> SubscriptionStep:
    """Read a failed activation to begin again."""
    with FieldReader() as fields:
        return SubscriptionStep(
            step=step_from_proto(fields, request.step),
            subscription_id=fields.uuid("subscription_id", request.subscription_id),
            expected_version=fields.version("expected_version", request.expected_version, least=0),
            payment_method_id=fields.optional_id("payment_method_id", request.payment_method_id),
        )


def give_up_from_proto(request: pb.GiveUpSubscriptionRequest) -> SubscriptionStep:
    """Read a subscription to give up."""
    with FieldReader() as fields:
        return SubscriptionStep(
            step=step_from_proto(fields, request.step),
            subscription_id=fields.uuid("subscription_id", request.subscription_id),
            expected_version=fields.version("expected_version", request.expected_version),
        )


def step_from_proto(fields: FieldReader, message: pb.OperatorStep, field: str = "step") -> OperatorStep:
    """Read an operator's step."""
    fields.add(required_text_violations(f"{field}.operator", message.operator, _MAX_OPERATOR_CHARACTERS))
    fields.add(required_text_violations(f"{field}.reason", message.reason, _MAX_REASON_CHARACTERS))
    return OperatorStep(fields.uuid(f"{field}.id", message.id), message.operator, message.reason)


def state_to_proto(decision: Decision) -> pb.PaymentState:
    """Write a payment as it stands, without personal data."""
    if isinstance(decision, Purchase):
        return _purchase_state_to_proto(decision)
    return pb.PaymentState(
        payment=payment_to_proto(decision.payment),
        reason=REASONS.to_proto(decision.reason),
        quarantined_at=timestamp_to_proto(decision.quarantined_at),
        resolved_at=timestamp_to_proto(decision.resolved_at),
        settlement=_SETTLEMENTS.to_proto(decision.settlement) if decision.settlement else pb.SETTLEMENT_UNSPECIFIED,
        refund_begun_at=timestamp_to_proto(decision.refund_begun_at),
        content=_content_state(decision),
        erased_at=timestamp_to_proto(decision.erased_at),
    )


def shown_to_proto(shown: ShownPayment, *, personal: bool) -> pb.ShowPaymentResponse:
    """Write a payment with its content and the steps about it."""
    decision = shown.decision
    message = orders_pb2.QuarantinedPayment() if isinstance(decision, Purchase) else quarantined_to_proto(decision)
    if not personal:
        for field in ("user_id", "contact", "shipping_address"):
            message.context.ClearField(field)
    return pb.ShowPaymentResponse(
        payment=state_to_proto(decision),
        context=message.context if message.HasField("context") else None,
        actions=map(action_to_proto, shown.actions),
    )


def order_without_person_to_proto(order: Order) -> orders_pb2.Order:
    """Write an order without personal data."""
    return order_to_proto(replace(order, user_id=None, contact=None, shipping_address=None))


def subscription_without_person_to_proto(subscription: Subscription) -> orders_pb2.Subscription:
    """Write a subscription without personal data."""
    return subscription_to_proto(replace(subscription, user_id=None))


def action_to_proto(action: OperatorAction) -> pb.OperatorAction:
    """Write the record of a step."""
    step = action.step
    return pb.OperatorAction(
        step=pb.OperatorStep(id=str(step.id), operator=step.operator, reason=step.reason),
        at=timestamp_to_proto(action.at),
        action=action.verb.value,
        subject=action.subject,
        before_json=json.dumps(dict(action.before)),
        after_json=json.dumps(dict(action.after)),
    )


def _purchase_state_to_proto(purchase: Purchase) -> pb.PaymentState:
    order = purchase.order and replace(purchase.order, user_id=None, contact=None, shipping_address=None)
    subscriptions = tuple(replace(each, user_id=None) for each in purchase.subscriptions)
    return pb.PaymentState(purchase=purchase_to_proto(replace(purchase, order=order, subscriptions=subscriptions)))


def _content_state(quarantined: QuarantinedPayment) -> pb.ContentState.ValueType:
    if isinstance(quarantined.content, AttemptContent):
        return pb.CONTENT_STATE_READABLE
    if quarantined.content is not None or quarantined.unreadable is not None:
        return pb.CONTENT_STATE_UNREADABLE
    return pb.CONTENT_STATE_UNSPECIFIED
