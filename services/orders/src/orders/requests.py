"""What callers ask, from protobuf into the domain's terms. Everything is checked here, and nowhere else."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import orders_pb2
from orders.cart_checks import read_context
from orders.checkout import AttemptContent, Money
from orders.decisions import QuarantinedPayment, QuarantineReason
from orders.field_checks import ATTEMPT_ID_CHARACTERS, ID_CHARACTERS, FieldChecks, storable, uuid_of
from orders.pages import BadPageToken, Cursor, PageRequest, read_page_token
from orders.payments import Intent, IntentKind, Payment, Road, Source
from orders.purchases import PaidAttempt

ORDERS_LIST = "orders"
QUARANTINE_LIST = "quarantine"
_LARGEST_PAGE = 100
_USER_PAGE = 20
_QUARANTINE_PAGE = 50
_FOREIGN_PAGE = "is not one of this list"
_NOT_YET = datetime.fromtimestamp(0, UTC)

_KINDS = {
    common_pb2.Intent.KIND_PAYMENT: IntentKind.PAYMENT,
    common_pb2.Intent.KIND_SETUP: IntentKind.SETUP,
}
_ROADS = {
    orders_pb2.ROAD_WEBHOOK: Road.WEBHOOK,
    orders_pb2.ROAD_BROWSER_RETURN: Road.BROWSER_RETURN,
    orders_pb2.ROAD_RECONCILER: Road.RECONCILER,
}
_REASONS = {
    orders_pb2.QUARANTINE_REASON_ATTEMPT_MISSING: QuarantineReason.ATTEMPT_MISSING,
    orders_pb2.QUARANTINE_REASON_AMOUNT_MISMATCH: QuarantineReason.AMOUNT_MISMATCH,
    orders_pb2.QUARANTINE_REASON_INTENT_MISMATCH: QuarantineReason.INTENT_MISMATCH,
    orders_pb2.QUARANTINE_REASON_DUPLICATE_PAYMENT: QuarantineReason.DUPLICATE_PAYMENT,
    orders_pb2.QUARANTINE_REASON_UNRECORDABLE: QuarantineReason.UNRECORDABLE,
}


@dataclass(frozen=True, slots=True)
class UserPage:
    """Whose orders or subscriptions, and which page of them."""

    user_id: str
    page: PageRequest


def read_paid_attempt(request: orders_pb2.RecordPurchaseRequest) -> PaidAttempt:
    """Read a purchase to record. Its content must be recordable to the last line, and its sums must agree (P5)."""
    checks = FieldChecks()
    payment = _read_payment(checks, request.payment)
    source = _read_source(checks, request.source)
    if not request.HasField("context"):
        checks.objects_to("context", "is required")
        checks.refuse_if_any()
    context = read_context(checks, request.context, payment.intent.kind)
    same = payment.received in (None, context.total)
    checks.objects_to("payment.received", "must equal context.total", unless=same or checks.found_any)
    if any(item.recurring for item in context.items):
        known = payment.payment_method_id is not None
        checks.objects_to("payment.payment_method_id", "is required with recurring lines", unless=known)
    content = AttemptContent(context.user_id, request.context.SerializeToString())
    checks.refuse_if_any()
    return PaidAttempt(payment, context, content, source)


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
    source = _read_source(checks, request.source)
    checks.refuse_if_any()
    content = _seal(request.context) if request.HasField("context") else None
    return QuarantinedPayment(payment, reason or QuarantineReason.UNRECORDABLE, content, source, _NOT_YET)


def read_attempt_id(request: orders_pb2.GetPurchaseRequest) -> str:
    """Read the attempt whose purchase is asked for."""
    checks = FieldChecks()
    attempt_id = checks.text("attempt_id", request.attempt_id, ATTEMPT_ID_CHARACTERS)
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


def read_user_page(
    request: orders_pb2.ListOrdersRequest | orders_pb2.ListSubscriptionsRequest, list_name: str
) -> UserPage:
    """Read whose rows, and which page of them."""
    checks = FieldChecks()
    user_id = checks.text("user_id", request.user_id, ID_CHARACTERS)
    size = _read_page_size(checks, request.page_size, _USER_PAGE)
    before = _read_cursor(checks, list_name, request.page_token)
    checks.objects_to("page_token", _FOREIGN_PAGE, unless=before is None or uuid_of(before.id) is not None)
    checks.refuse_if_any()
    return UserPage(user_id, PageRequest(size, before))


def read_quarantine_page(request: orders_pb2.ListQuarantinedPaymentsRequest) -> PageRequest:
    """Read which page of the quarantined payments."""
    checks = FieldChecks()
    size = _read_page_size(checks, request.page_size, _QUARANTINE_PAGE)
    before = _read_cursor(checks, QUARANTINE_LIST, request.page_token)
    checks.refuse_if_any()
    return PageRequest(size, before)


def _read_payment(checks: FieldChecks, payment: orders_pb2.Payment) -> Payment:
    intent_id = checks.text("payment.intent.id", payment.intent.id, ID_CHARACTERS)
    kind = _KINDS.get(payment.intent.kind)
    checks.objects_to("payment.intent.kind", "is required", unless=kind is not None)
    attempt_id = checks.text("payment.attempt_id", payment.attempt_id, ATTEMPT_ID_CHARACTERS)
    received = _read_received(checks, payment, kind)
    method = checks.optional_text("payment.payment_method_id", payment.payment_method_id, ID_CHARACTERS)
    return Payment(Intent(intent_id, kind or IntentKind.PAYMENT), attempt_id, received, payment.livemode, method)


def _read_received(checks: FieldChecks, payment: orders_pb2.Payment, kind: IntentKind | None) -> Money | None:
    present = payment.HasField("received")
    if kind is not IntentKind.SETUP:
        return checks.money("payment.received", payment.received, present=present)
    checks.objects_to("payment.received", "must be absent: a setup takes no money", unless=not present)
    return None


def _read_source(checks: FieldChecks, source: orders_pb2.Source) -> Source:
    road = _ROADS.get(source.road)
    checks.objects_to("source.road", "is required", unless=road is not None)
    event_id = checks.optional_text("source.stripe_event_id", source.stripe_event_id, ID_CHARACTERS)
    belongs = road is None or (event_id is not None) == (road is Road.WEBHOOK)
    checks.objects_to("source.stripe_event_id", "goes with a webhook, and only with one", unless=belongs)
    return Source(road or Road.WEBHOOK, event_id)


def _read_page_size(checks: FieldChecks, size: int, default: int) -> int:
    checks.objects_to("page_size", f"must be 0 to {_LARGEST_PAGE}", unless=0 <= size <= _LARGEST_PAGE)
    return size or default


def _read_cursor(checks: FieldChecks, list_name: str, token: str) -> Cursor | None:
    try:
        return read_page_token(list_name, token)
    except BadPageToken:
        checks.objects_to("page_token", _FOREIGN_PAGE)
        return None


def _seal(context: common_pb2.CheckoutContext) -> AttemptContent:
    user_id = context.user_id if storable(context.user_id, ID_CHARACTERS) else ""
    return AttemptContent(user_id or None, context.SerializeToString())
