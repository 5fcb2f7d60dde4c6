"""Requests and responses about purchases, orders and quarantined payments."""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from google.protobuf.message import DecodeError

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import orders_pb2
from checkout_rules.carts import context_violations
from checkout_rules.fields import is_storable_id
from checkout_rules.limits import MAX_CONTEXT_BYTES
from orders.api.carts import context_from_proto
from orders.api.field_reader import FieldReader
from orders.api.messages import (
    INTENT_KINDS,
    address_to_proto,
    contact_to_proto,
    intent_to_proto,
    money_to_proto,
    timestamp_to_proto,
)
from orders.api.subscriptions import subscription_to_proto
from orders.domain.checkout import (
    AttemptContent,
    EncryptedContent,
    LineItem,
    Money,
    ShippingOption,
    UnreadableCause,
    UnreadableContent,
)
from orders.domain.orders import Order, OrderStatus
from orders.domain.payments import Intent, IntentKind, Payment, PaymentReport, ReportChannel
from orders.domain.purchases import AWAITING_REASONS, Decision, Purchase, QuarantinedPayment, QuarantineReason
from orders.usecases.purchases import PaidAttempt
from servicekit.enum_codec import EnumCodec
from servicekit.violations import within

_CHANNELS: Final = EnumCodec(ReportChannel, orders_pb2.ReportChannel)
REASONS: Final = EnumCodec(QuarantineReason, orders_pb2.QuarantineReason)
_CAUSES: Final = EnumCodec(UnreadableCause, orders_pb2.UnreadableContent.Cause)
_ORDER_STATUSES: Final = EnumCodec(OrderStatus, orders_pb2.OrderStatus)

_MAX_ENCRYPTED_BYTES: Final = MAX_CONTEXT_BYTES + 8 * 1024
"""With the rest of the attempt, and what the encryption adds."""
_NOT_YET: Final = datetime.fromtimestamp(0, UTC)


def paid_attempt_from_proto(request: orders_pb2.RecordPurchaseRequest) -> PaidAttempt:
    """Read a purchase to record. Its whole content must be valid, and its sums must agree (P5)."""
    with FieldReader() as fields:
        payment = _payment_from_proto(fields, request)
        report = _report_from_proto(fields, request.report)
        if request.HasField("context"):
            fields.add(within("context", context_violations(request.context, request.payment.intent.kind)))
        else:
            fields.require(condition=False, field="context", message="is required")
        fields.raise_if_invalid()
        context = context_from_proto(request.context)
        fields.require(payment.received in (None, context.total), "payment.received", "must equal context.total")
    content = AttemptContent(context.user_id, request.context.SerializeToString())
    return PaidAttempt(payment, context, content, report)


def quarantined_from_proto(request: orders_pb2.QuarantinePaymentRequest) -> QuarantinedPayment:
    """Read a payment to quarantine. Its content is not validated: invalid content must be kept too (P4)."""
    has_context = request.HasField("context")
    with FieldReader() as fields:
        payment = _payment_from_proto(fields, request)
        reason = fields.enum("reason", request.reason, REASONS)
        fields.require(reason is not QuarantineReason.REFUNDED, "reason", "is decided from the payment's refunds")
        possible = reason not in AWAITING_REASONS or not has_context
        fields.require(possible, "context", "must be absent when the attempt is missing or unreadable")
        # No attempt is larger: checkout-session refuses to save one.
        fields.require(
            request.context.ByteSize() <= MAX_CONTEXT_BYTES, "context", f"must have at most {MAX_CONTEXT_BYTES} bytes"
        )
        encrypted = _encrypted_from_proto(fields, request, reason)
        report = _report_from_proto(fields, request.report)
    content = content_from_proto(request.context) if has_context else encrypted
    return QuarantinedPayment(payment, reason, content, report, _NOT_YET)


def attempt_id_from_proto(request: orders_pb2.GetPurchaseRequest) -> str:
    """Read the attempt of a purchase."""
    with FieldReader() as fields:
        return fields.attempt_id("attempt_id", request.attempt_id)


def order_id_from_proto(request: orders_pb2.GetOrderRequest) -> UUID:
    """Read the id of an order."""
    with FieldReader() as fields:
        return fields.uuid("order_id", request.order_id)


def _payment_from_proto(
    fields: FieldReader, request: orders_pb2.RecordPurchaseRequest | orders_pb2.QuarantinePaymentRequest
) -> Payment:
    message = request.payment
    # A gateway of an earlier version does not send the intent's customer, but the attempt names it, too.
    customer_id = message.customer_id or _storable_id(request.context.stripe_customer_id)
    kind = fields.enum("payment.intent.kind", message.intent.kind, INTENT_KINDS)
    return Payment(
        intent=Intent(fields.id("payment.intent.id", message.intent.id), kind),
        attempt_id=fields.attempt_id("payment.attempt_id", message.attempt_id),
        received=_received_from_proto(fields, message, kind),
        livemode=message.livemode,
        intent_created_at=fields.timestamp(
            "payment.intent_created_at", message.intent_created_at, present=message.HasField("intent_created_at")
        ),
        payment_method_id=fields.optional_id("payment.payment_method_id", message.payment_method_id),
        customer_id=fields.optional_id("payment.customer_id", customer_id),
    )


def _received_from_proto(fields: FieldReader, message: orders_pb2.Payment, kind: IntentKind) -> Money | None:
    present = message.HasField("received")
    if kind is not IntentKind.SETUP:
        return fields.money("payment.received", message.received, present=present)
    fields.require(not present, "payment.received", "must be absent for a setup intent, which takes no money")
    return None


def _report_from_proto(fields: FieldReader, message: orders_pb2.PaymentReport) -> PaymentReport:
    channel = fields.enum("report.channel", message.channel, _CHANNELS)
    event_id = fields.optional_id("report.stripe_event_id", message.stripe_event_id)
    if channel is ReportChannel.WEBHOOK:
        fields.require(event_id, "report.stripe_event_id", "is required for a webhook")
    elif channel is ReportChannel.BROWSER_RETURN:
        fields.require(event_id is None, "report.stripe_event_id", "must be empty for a browser's return")
    return PaymentReport(channel, event_id)


def content_from_proto(context: common_pb2.CheckoutContext) -> AttemptContent:
    """Read the content of an attempt, valid or not."""
    return AttemptContent(_storable_id(context.user_id) or None, context.SerializeToString())


def _encrypted_from_proto(
    fields: FieldReader, request: orders_pb2.QuarantinePaymentRequest, reason: QuarantineReason
) -> EncryptedContent | None:
    message = request.encrypted_content
    if reason is not QuarantineReason.ATTEMPT_UNREADABLE:
        absent = not request.HasField("encrypted_content")
        fields.require(absent, "encrypted_content", "must be absent unless the attempt is unreadable")
        return None
    # Its bytes may be empty: the payment is kept whatever was done to its attempt.
    fields.require(request.HasField("encrypted_content"), "encrypted_content", "is required")
    fields.require(
        len(message.content) <= _MAX_ENCRYPTED_BYTES,
        "encrypted_content.content",
        f"must have at most {_MAX_ENCRYPTED_BYTES} bytes",
    )
    return EncryptedContent(_storable_id(message.user_id) or None, message.content, _storable_id(message.key_id))


def _storable_id(text: str) -> str:
    # A payment is quarantined whatever its content names.
    return text if is_storable_id(text) else ""


def decision_to_proto(decision: Decision) -> orders_pb2.PaymentDecision:
    """Write a payment decision."""
    if isinstance(decision, Purchase):
        return orders_pb2.PaymentDecision(purchase=purchase_to_proto(decision))
    return orders_pb2.PaymentDecision(quarantined_payment=quarantined_to_proto(decision))


def purchase_to_proto(purchase: Purchase) -> orders_pb2.Purchase:
    """Write a purchase."""
    return orders_pb2.Purchase(
        attempt_id=purchase.attempt_id,
        intent=intent_to_proto(purchase.intent),
        order=order_to_proto(purchase.order) if purchase.order else None,
        subscriptions=map(subscription_to_proto, purchase.subscriptions),
    )


def quarantined_to_proto(quarantined: QuarantinedPayment) -> orders_pb2.QuarantinedPayment:
    """Write a quarantined payment, whether or not its content can be read."""
    context, unreadable = _content_to_proto(quarantined)
    return orders_pb2.QuarantinedPayment(
        payment=payment_to_proto(quarantined.payment),
        reason=REASONS.to_proto(quarantined.reason),
        context=context,
        report=_report_to_proto(quarantined.report),
        quarantined_at=timestamp_to_proto(quarantined.quarantined_at),
        erased_at=timestamp_to_proto(quarantined.erased_at),
        unreadable_content=unreadable,
        resolved_at=timestamp_to_proto(quarantined.resolved_at),
    )


def order_to_proto(order: Order) -> orders_pb2.Order:
    """Write an order."""
    return orders_pb2.Order(
        id=str(order.id),
        number=order.number,
        checkout_attempt_id=order.checkout_attempt_id,
        payment_intent_id=order.payment_intent_id,
        user_id=order.user_id or "",
        status=_ORDER_STATUSES.to_proto(order.status),
        total=money_to_proto(order.total),
        contact=contact_to_proto(order.contact) if order.contact else None,
        shipping_address=address_to_proto(order.shipping_address) if order.shipping_address else None,
        shipping_option=_shipping_option_to_proto(order.shipping_option) if order.shipping_option else None,
        items=map(_item_to_proto, order.items),
        created_at=timestamp_to_proto(order.created_at),
        refunded=money_to_proto(order.refunded) if order.refunded else None,
        disputed=money_to_proto(order.disputed) if order.disputed else None,
        erased_at=timestamp_to_proto(order.erased_at),
        adjustment=_adjustment_to_proto(order),
    )


def _adjustment_to_proto(order: Order) -> common_pb2.Money | None:
    adjustment = Money(order.adjustment_minor, order.total.currency)
    return money_to_proto(adjustment) if adjustment.minor_units else None


def _content_to_proto(
    quarantined: QuarantinedPayment,
) -> tuple[common_pb2.CheckoutContext | None, orders_pb2.UnreadableContent | None]:
    match quarantined.unreadable or quarantined.content:
        case UnreadableContent(key_id, cause):
            return None, _unreadable_to_proto(key_id, cause)
        case EncryptedContent(_, _, key_id):
            return None, orders_pb2.UnreadableContent(key_id=key_id)
        case AttemptContent(_, serialized):
            try:
                return common_pb2.CheckoutContext.FromString(serialized), None
            except DecodeError:  # Unencrypted content can be changed by anybody with access to the database.
                return None, _unreadable_to_proto("", UnreadableCause.NOT_AUTHENTIC)
    return None, None


def _unreadable_to_proto(key_id: str, cause: UnreadableCause) -> orders_pb2.UnreadableContent:
    return orders_pb2.UnreadableContent(key_id=key_id, cause=_CAUSES.to_proto(cause))


def payment_to_proto(payment: Payment) -> orders_pb2.Payment:
    """Write a succeeded intent."""
    return orders_pb2.Payment(
        intent=intent_to_proto(payment.intent),
        attempt_id=payment.attempt_id,
        received=money_to_proto(payment.received) if payment.received else None,
        livemode=payment.livemode,
        intent_created_at=timestamp_to_proto(payment.intent_created_at),
        payment_method_id=payment.payment_method_id or "",
        customer_id=payment.customer_id or "",
    )


def _report_to_proto(report: PaymentReport) -> orders_pb2.PaymentReport:
    channel = _CHANNELS.to_proto(report.channel)
    return orders_pb2.PaymentReport(channel=channel, stripe_event_id=report.stripe_event_id or "")


def _shipping_option_to_proto(option: ShippingOption) -> common_pb2.ShippingOption:
    return common_pb2.ShippingOption(
        shipping_rate_id=option.shipping_rate_id, name=option.name, amount=money_to_proto(option.amount)
    )


def _item_to_proto(item: LineItem) -> orders_pb2.OrderItem:
    return orders_pb2.OrderItem(
        price_id=item.price_id,
        product_id=item.product_id,
        name=item.name,
        quantity=item.quantity,
        unit_price=money_to_proto(item.unit_price),
    )
