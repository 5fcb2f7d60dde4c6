"""What callers ask, from protobuf into the domain's terms. Everything is checked here, and nowhere else."""

from datetime import UTC, datetime
from uuid import UUID

from google.protobuf.message import DecodeError

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import orders_pb2
from checkout_rules.carts import context_violations
from checkout_rules.fields import is_storable
from checkout_rules.limits import MAX_ATTEMPT_ID_CHARACTERS, MAX_ID_CHARACTERS
from orders.api.carts import context_from_proto
from orders.api.common import (
    write_address,
    write_contact,
    write_intent,
    write_moment,
    write_moment_if_any,
    write_money,
)
from orders.api.field_reader import FieldChecks
from orders.api.paging import UserPage, read_cursor, read_page_size, read_user_page
from orders.api.subscriptions import write_subscription
from orders.domain.checkout import AttemptContent, LineItem, Money, ShippingOption, UnreadableCause
from orders.domain.orders import Order, OrderStatus
from orders.domain.pagination import PageRequest
from orders.domain.payments import Intent, IntentKind, Payment, PaymentReport, ReportChannel
from orders.domain.purchases import Decision, Purchase, QuarantinedPayment, QuarantineReason
from orders.usecases.purchases import PaidAttempt
from servicekit.violations import within

ORDERS_LIST = "orders"
QUARANTINE_LIST = "quarantine"
_QUARANTINE_PAGE = 50
_NOT_YET = datetime.fromtimestamp(0, UTC)

_KINDS = {
    common_pb2.Intent.KIND_PAYMENT: IntentKind.PAYMENT,
    common_pb2.Intent.KIND_SETUP: IntentKind.SETUP,
}
_CHANNELS = {
    orders_pb2.REPORT_CHANNEL_WEBHOOK: ReportChannel.WEBHOOK,
    orders_pb2.REPORT_CHANNEL_BROWSER_RETURN: ReportChannel.BROWSER_RETURN,
    orders_pb2.REPORT_CHANNEL_RECONCILER: ReportChannel.RECONCILER,
}
_REASONS = {
    orders_pb2.QUARANTINE_REASON_ATTEMPT_MISSING: QuarantineReason.ATTEMPT_MISSING,
    orders_pb2.QUARANTINE_REASON_AMOUNT_MISMATCH: QuarantineReason.AMOUNT_MISMATCH,
    orders_pb2.QUARANTINE_REASON_INTENT_MISMATCH: QuarantineReason.INTENT_MISMATCH,
    orders_pb2.QUARANTINE_REASON_DUPLICATE_PAYMENT: QuarantineReason.DUPLICATE_PAYMENT,
    orders_pb2.QUARANTINE_REASON_UNRECORDABLE: QuarantineReason.UNRECORDABLE,
}


def read_paid_attempt(request: orders_pb2.RecordPurchaseRequest) -> PaidAttempt:
    """Read a purchase to record. Its content must be recordable to the last line, and its sums must agree (P5)."""
    checks = FieldChecks()
    payment = _read_payment(checks, request.payment)
    report = _read_report(checks, request.report)
    if not request.HasField("context"):
        checks.objects_to("context", "is required")
        checks.refuse_if_any()
    checks.add(within("context", context_violations(request.context, request.payment.intent.kind)))
    checks.refuse_if_any()
    context = context_from_proto(request.context)
    same = payment.received in (None, context.total)
    checks.objects_to("payment.received", "must equal context.total", unless=same)
    if any(item.recurring for item in context.items):
        known = payment.payment_method_id is not None
        checks.objects_to("payment.payment_method_id", "is required with recurring lines", unless=known)
    content = AttemptContent(context.user_id, request.context.SerializeToString())
    checks.refuse_if_any()
    return PaidAttempt(payment, context, content, report)


def read_quarantined(request: orders_pb2.QuarantinePaymentRequest) -> QuarantinedPayment:
    """Read a payment to set aside. Its content is kept as it came: what cannot be recorded must be kept too (P4)."""
    checks = FieldChecks()
    payment = _read_payment(checks, request.payment)
    reason = _REASONS.get(request.reason)
    checks.objects_to("reason", "is required", unless=reason is not None)
    checks.objects_to(
        "context",
        "must be absent when the attempt is missing",
        unless=reason is not QuarantineReason.ATTEMPT_MISSING or not request.HasField("context"),
    )
    report = _read_report(checks, request.report)
    checks.refuse_if_any()
    content = _seal(request.context) if request.HasField("context") else None
    return QuarantinedPayment(payment, reason or QuarantineReason.UNRECORDABLE, content, report, _NOT_YET)


def read_attempt_id(request: orders_pb2.GetPurchaseRequest) -> str:
    """Read the attempt whose purchase is asked for."""
    checks = FieldChecks()
    attempt_id = checks.text("attempt_id", request.attempt_id, MAX_ATTEMPT_ID_CHARACTERS)
    checks.refuse_if_any()
    return attempt_id


def read_order_id(request: orders_pb2.GetOrderRequest) -> UUID:
    """Read which order is asked for."""
    checks = FieldChecks()
    order_id = checks.uuid("order_id", request.order_id)
    checks.refuse_if_any()
    return order_id


def read_orders_page(request: orders_pb2.ListOrdersRequest) -> UserPage:
    """Read whose orders, and which page."""
    return read_user_page(request, ORDERS_LIST)


def read_quarantine_page(request: orders_pb2.ListQuarantinedPaymentsRequest) -> PageRequest:
    """Read which page of the quarantined payments."""
    checks = FieldChecks()
    size = read_page_size(checks, request.page_size, _QUARANTINE_PAGE)
    before = read_cursor(checks, QUARANTINE_LIST, request.page_token)
    checks.refuse_if_any()
    return PageRequest(size, before)


def _read_payment(checks: FieldChecks, payment: orders_pb2.Payment) -> Payment:
    intent_id = checks.text("payment.intent.id", payment.intent.id, MAX_ID_CHARACTERS)
    kind = _KINDS.get(payment.intent.kind)
    checks.objects_to("payment.intent.kind", "is required", unless=kind is not None)
    attempt_id = checks.text("payment.attempt_id", payment.attempt_id, MAX_ATTEMPT_ID_CHARACTERS)
    received = _read_received(checks, payment, kind)
    method = checks.optional_text("payment.payment_method_id", payment.payment_method_id, MAX_ID_CHARACTERS)
    return Payment(Intent(intent_id, kind or IntentKind.PAYMENT), attempt_id, received, payment.livemode, method)


def _read_received(checks: FieldChecks, payment: orders_pb2.Payment, kind: IntentKind | None) -> Money | None:
    present = payment.HasField("received")
    if kind is not IntentKind.SETUP:
        return checks.money("payment.received", payment.received, present=present)
    checks.objects_to("payment.received", "must be absent: a setup takes no money", unless=not present)
    return None


def _read_report(checks: FieldChecks, report: orders_pb2.PaymentReport) -> PaymentReport:
    channel = _CHANNELS.get(report.channel)
    checks.objects_to("report.channel", "is required", unless=channel is not None)
    event_id = checks.optional_text("report.stripe_event_id", report.stripe_event_id, MAX_ID_CHARACTERS)
    belongs = channel is None or (event_id is not None) == (channel is ReportChannel.WEBHOOK)
    checks.objects_to("report.stripe_event_id", "goes with a webhook, and only with one", unless=belongs)
    return PaymentReport(channel or ReportChannel.WEBHOOK, event_id)


def _seal(context: common_pb2.CheckoutContext) -> AttemptContent:
    user_id = context.user_id if is_storable(context.user_id, MAX_ID_CHARACTERS) else ""
    return AttemptContent(user_id or None, context.SerializeToString())


_CHANNEL_WORDS = {
    ReportChannel.WEBHOOK: orders_pb2.REPORT_CHANNEL_WEBHOOK,
    ReportChannel.BROWSER_RETURN: orders_pb2.REPORT_CHANNEL_BROWSER_RETURN,
    ReportChannel.RECONCILER: orders_pb2.REPORT_CHANNEL_RECONCILER,
}
_REASON_WORDS = {
    QuarantineReason.ATTEMPT_MISSING: orders_pb2.QUARANTINE_REASON_ATTEMPT_MISSING,
    QuarantineReason.AMOUNT_MISMATCH: orders_pb2.QUARANTINE_REASON_AMOUNT_MISMATCH,
    QuarantineReason.INTENT_MISMATCH: orders_pb2.QUARANTINE_REASON_INTENT_MISMATCH,
    QuarantineReason.DUPLICATE_PAYMENT: orders_pb2.QUARANTINE_REASON_DUPLICATE_PAYMENT,
    QuarantineReason.UNRECORDABLE: orders_pb2.QUARANTINE_REASON_UNRECORDABLE,
}
_CAUSES = {
    UnreadableCause.UNKNOWN_KEY: orders_pb2.UnreadableContent.CAUSE_UNKNOWN_KEY,
    UnreadableCause.NOT_AUTHENTIC: orders_pb2.UnreadableContent.CAUSE_NOT_AUTHENTIC,
}
_STATUSES = {OrderStatus.PAID: orders_pb2.ORDER_STATUS_PAID}


def write_decision(decision: Decision) -> orders_pb2.PaymentDecision:
    """Write what a succeeded intent became."""
    if isinstance(decision, Purchase):
        return orders_pb2.PaymentDecision(purchase=write_purchase(decision))
    return orders_pb2.PaymentDecision(quarantined_payment=write_quarantined(decision))


def write_purchase(purchase: Purchase) -> orders_pb2.Purchase:
    """Write what an attempt became."""
    return orders_pb2.Purchase(
        attempt_id=purchase.attempt_id,
        intent=write_intent(purchase.intent),
        order=write_order(purchase.order) if purchase.order else None,
        subscriptions=map(write_subscription, purchase.subscriptions),
    )


def write_quarantined(quarantined: QuarantinedPayment) -> orders_pb2.QuarantinedPayment:
    """Write a payment set aside, with the attempt's content as it came."""
    context, unreadable = _write_content(quarantined)
    return orders_pb2.QuarantinedPayment(
        payment=_write_payment(quarantined.payment),
        reason=_REASON_WORDS[quarantined.reason],
        context=context,
        report=_write_report(quarantined.report),
        quarantined_at=write_moment(quarantined.quarantined_at),
        erased_at=write_moment_if_any(quarantined.erased_at),
        unreadable_content=unreadable,
    )


def write_order(order: Order) -> orders_pb2.Order:
    """Write one order."""
    return orders_pb2.Order(
        id=str(order.id),
        number=order.number,
        checkout_attempt_id=order.checkout_attempt_id,
        payment_intent_id=order.payment_intent_id,
        user_id=order.user_id or "",
        status=_STATUSES[order.status],
        total=write_money(order.total),
        contact=write_contact(order.contact) if order.contact else None,
        shipping_address=write_address(order.shipping_address) if order.shipping_address else None,
        shipping_option=_write_shipping_option(order.shipping_option) if order.shipping_option else None,
        items=map(_write_item, order.items),
        created_at=write_moment(order.created_at),
        refunded=write_money(order.refunded) if order.refunded else None,
        disputed=write_money(order.disputed) if order.disputed else None,
        erased_at=write_moment_if_any(order.erased_at),
    )


def _write_content(
    quarantined: QuarantinedPayment,
) -> tuple[common_pb2.CheckoutContext | None, orders_pb2.UnreadableContent | None]:
    """Write the content or why it cannot be read. A payment is listed whatever became of its content."""
    if quarantined.unreadable:
        unreadable = quarantined.unreadable
        return None, orders_pb2.UnreadableContent(key_id=unreadable.key_id, cause=_CAUSES[unreadable.cause])
    if quarantined.content is None:
        return None, None
    try:
        return common_pb2.CheckoutContext.FromString(quarantined.content.serialized), None
    except DecodeError:  # what is in the clear, anybody with the database may have changed
        return None, orders_pb2.UnreadableContent(cause=orders_pb2.UnreadableContent.CAUSE_NOT_AUTHENTIC)


def _write_payment(payment: Payment) -> orders_pb2.Payment:
    return orders_pb2.Payment(
        intent=write_intent(payment.intent),
        attempt_id=payment.attempt_id,
        received=write_money(payment.received) if payment.received else None,
        livemode=payment.livemode,
        payment_method_id=payment.payment_method_id or "",
    )


def _write_report(report: PaymentReport) -> orders_pb2.PaymentReport:
    return orders_pb2.PaymentReport(
        channel=_CHANNEL_WORDS[report.channel], stripe_event_id=report.stripe_event_id or ""
    )


def _write_shipping_option(option: ShippingOption) -> common_pb2.ShippingOption:
    return common_pb2.ShippingOption(
        shipping_rate_id=option.shipping_rate_id, name=option.name, amount=write_money(option.amount)
    )


def _write_item(item: LineItem) -> orders_pb2.OrderItem:
    return orders_pb2.OrderItem(
        price_id=item.price_id,
        product_id=item.product_id,
        name=item.name,
        quantity=item.quantity,
        unit_price=write_money(item.unit_price),
    )
