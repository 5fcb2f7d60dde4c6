"""Reports of paid carts with recurring lines, and what Stripe shows of their subscriptions."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import orders_pb2 as pb

from .reports import line, money, purchase

MONTH = common_pb2.Recurring.INTERVAL_MONTH
YEAR = common_pb2.Recurring.INTERVAL_YEAR


def recurring_line(
    number: int,
    *,
    interval: common_pb2.Recurring.Interval.ValueType = MONTH,
    interval_count: int = 1,
    trial_days: int = 0,
) -> common_pb2.LineItem:
    """Return a recurring line, different for each number."""
    item = line(number, quantity=1, unit_minor=900 + number)
    item.recurring.CopyFrom(
        common_pb2.Recurring(interval=interval, interval_count=interval_count, trial_days=trial_days)
    )
    return item


def cart(
    *lines: common_pb2.LineItem, user_id: str = "user_1", attempt_id: str | None = None
) -> pb.RecordPurchaseRequest:
    """Return a paid cart of these lines: with a payment if a one-time line costs something, else with a setup."""
    report = purchase(lines=0, user_id=user_id, attempt_id=attempt_id)
    report.context.items.extend(lines)
    if any(item.HasField("recurring") for item in lines):
        report.context.stripe_customer_id = f"cus_{user_id}"
        report.payment.payment_method_id = "pm_1"
    due = sum(item.quantity * item.unit_price.minor_units for item in lines if not item.HasField("recurring"))
    if due:
        report.context.total.CopyFrom(money(due + 490))
        report.payment.received.CopyFrom(report.context.total)
        return report
    report.context.ClearField("shipping_option")
    report.context.total.CopyFrom(money(0))
    report.payment.ClearField("received")
    report.payment.intent.kind = common_pb2.Intent.KIND_SETUP
    report.payment.intent.id = report.payment.intent.id.replace("pi_", "seti_")
    return report


def moment(day: int) -> Timestamp:
    """Return a day of a month."""
    stamp = Timestamp()
    stamp.FromDatetime(datetime(2026, 5, day, tzinfo=UTC))
    return stamp


def shown(
    stripe_id: str = "sub_1",
    status: pb.SubscriptionStatus.ValueType = pb.SUBSCRIPTION_STATUS_ACTIVE,
    *,
    period_end: int = 28,
) -> pb.StripeSubscriptionState:
    """Return a subscription as Stripe may show it."""
    return pb.StripeSubscriptionState(
        stripe_subscription_id=stripe_id,
        status=status,
        current_period_end=moment(period_end),
        latest_invoice_id="in_1",
    )


def invoice(
    invoice_id: str = "in_1", *, status: pb.InvoiceStatus.ValueType = pb.INVOICE_STATUS_PAID, day: int = 1
) -> pb.SubscriptionInvoice:
    """Return an invoice as Stripe may show it."""
    paid = 900 if status == pb.INVOICE_STATUS_PAID else 0
    return pb.SubscriptionInvoice(
        stripe_invoice_id=invoice_id,
        status=status,
        billing_reason="subscription_create",
        total=money(900),
        amount_paid=money(paid),
        attempt_count=1,
        created_at=moment(day),
        period_start=moment(day),
        period_end=moment(28),
    )
