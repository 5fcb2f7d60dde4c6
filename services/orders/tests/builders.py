"""Builders of valid requests; a test changes the field that it is about."""

import itertools
import uuid
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import orders_pb2 as pb

MONTH = common_pb2.Recurring.INTERVAL_MONTH
YEAR = common_pb2.Recurring.INTERVAL_YEAR

_numbers = itertools.count(1)


def money(minor_units: int, currency: str = "eur") -> common_pb2.Money:
    """Return an amount."""
    return common_pb2.Money(minor_units=minor_units, currency=currency)


def timestamp(day: int) -> Timestamp:
    """Return a day of May 2026."""
    message = Timestamp()
    message.FromDatetime(datetime(2026, 5, day, tzinfo=UTC))
    return message


def line(number: int, *, quantity: int = 2, unit_minor: int = 1250) -> common_pb2.LineItem:
    """Return a one-time line with a price of its own."""
    return common_pb2.LineItem(
        price_id=f"price_{number}",
        product_id=f"prod_{number}",
        name=f"Ceramic mug no. {number}",
        quantity=quantity,
        unit_price=money(unit_minor),
    )


def recurring_line(
    number: int,
    *,
    interval: common_pb2.Recurring.Interval.ValueType = MONTH,
    interval_count: int = 1,
    trial_days: int = 0,
) -> common_pb2.LineItem:
    """Return a recurring line with a price of its own."""
    item = line(number, quantity=1, unit_minor=900 + number)
    item.recurring.CopyFrom(
        common_pb2.Recurring(interval=interval, interval_count=interval_count, trial_days=trial_days)
    )
    return item


def purchase(
    *, attempt_id: str | None = None, intent_id: str | None = None, lines: int = 3, user_id: str = "user_1"
) -> pb.RecordPurchaseRequest:
    """Return a paid cart with shipping, of a new attempt and a new intent unless given."""
    items = [line(number) for number in range(lines)]
    context = common_pb2.CheckoutContext(
        user_id=user_id,
        contact=common_pb2.Contact(name="Ada Lovelace", email="ada@shop.example", phone="+44 20 7946 0001"),
        shipping_address=common_pb2.Address(
            line1="12 St James's Square", line2="Flat 3", city="London", postal_code="SW1Y 4JH", country="GB"
        ),
        shipping_option=common_pb2.ShippingOption(shipping_rate_id="shr_std", name="Standard", amount=money(490)),
        items=items,
        total=money(490 + sum(item.quantity * item.unit_price.minor_units for item in items)),
        supersedes=str(uuid.uuid4()),
    )
    payment = pb.Payment(
        intent=common_pb2.Intent(id=intent_id or f"pi_{next(_numbers)}", kind=common_pb2.Intent.KIND_PAYMENT),
        attempt_id=attempt_id or str(uuid.uuid4()),
        received=context.total,
    )
    payment.intent_created_at.GetCurrentTime()  # An old payment's subscriptions may exist at Stripe already.
    return pb.RecordPurchaseRequest(payment=payment, context=context, report=_webhook())


def cart(
    *lines: common_pb2.LineItem, user_id: str = "user_1", attempt_id: str | None = None
) -> pb.RecordPurchaseRequest:
    """Return a paid cart of these lines. A setup intent paid if the one-time lines cost nothing."""
    request = purchase(lines=0, user_id=user_id, attempt_id=attempt_id)
    request.context.items.extend(lines)
    if any(item.HasField("recurring") for item in lines):
        request.context.stripe_customer_id = request.payment.customer_id = f"cus_{user_id}"
        request.payment.payment_method_id = "pm_1"
    due = sum(item.quantity * item.unit_price.minor_units for item in lines if not item.HasField("recurring"))
    if due:
        request.context.total.CopyFrom(money(due + 490))
        request.payment.received.CopyFrom(request.context.total)
        return request
    request.context.ClearField("shipping_option")
    request.context.total.CopyFrom(money(0))
    request.payment.ClearField("received")
    request.payment.intent.kind = common_pb2.Intent.KIND_SETUP
    request.payment.intent.id = request.payment.intent.id.replace("pi_", "seti_")
    return request


def mixed_cart(*, user_id: str = "user_1") -> pb.RecordPurchaseRequest:
    """Return a paid cart of one one-time line, two monthly lines and a yearly one."""
    return cart(line(1), recurring_line(2), recurring_line(3), recurring_line(4, interval=YEAR), user_id=user_id)


def quarantine(
    request: pb.RecordPurchaseRequest,
    reason: pb.QuarantineReason.ValueType = pb.QUARANTINE_REASON_ATTEMPT_MISSING,
    *,
    with_content: bool = False,
) -> pb.QuarantinePaymentRequest:
    """Return a request to quarantine the same payment."""
    content = request.context if with_content else None
    return pb.QuarantinePaymentRequest(payment=request.payment, reason=reason, context=content, report=_webhook())


def unreadable(
    request: pb.RecordPurchaseRequest, content: bytes = b"encrypted elsewhere", *, key_id: str = "s1"
) -> pb.QuarantinePaymentRequest:
    """Return a request to quarantine the same payment with the encrypted content of its attempt."""
    quarantined = quarantine(request, pb.QUARANTINE_REASON_ATTEMPT_UNREADABLE)
    user_id = request.context.user_id
    quarantined.encrypted_content.CopyFrom(pb.EncryptedContent(content=content, key_id=key_id, user_id=user_id))
    return quarantined


def quarantine_with_content(*, user_id: str = "user_1") -> pb.QuarantinePaymentRequest:
    """Return a request to quarantine a new payment, with its content."""
    return quarantine(purchase(user_id=user_id), pb.QUARANTINE_REASON_AMOUNT_MISMATCH, with_content=True)


def stripe_state(
    stripe_id: str = "sub_1",
    status: pb.SubscriptionStatus.ValueType = pb.SUBSCRIPTION_STATUS_ACTIVE,
    *,
    period_end: int = 28,
) -> pb.StripeSubscriptionState:
    """Return the state of a Stripe subscription."""
    return pb.StripeSubscriptionState(
        stripe_subscription_id=stripe_id,
        status=status,
        current_period_end=timestamp(period_end),
        latest_invoice_id="in_1",
        items=[billed_item(current_period_end=timestamp(period_end))],
        default_payment_method_id="pm_1",
        collection_method="charge_automatically",
    )


def billed_item(item_id: str = "si_1", **changes: Any) -> pb.BilledItem:
    """Return an item that Stripe bills each month."""
    item = pb.BilledItem(
        stripe_item_id=item_id,
        price_id="price_2",
        product_id="prod_2",
        name="Ceramic mug no. 2",
        quantity=1,
        unit_amount_minor=902,
        currency="eur",
        interval=MONTH,
        interval_count=1,
    )
    item.MergeFrom(pb.BilledItem(**changes))
    return item


def discount(**changes: Any) -> pb.Discount:
    """Return a discount without a percentage or an amount."""
    return pb.Discount(stripe_discount_id="di_1", coupon_id="SPRING", name="Spring", **changes)


def invoice(
    invoice_id: str = "in_1", *, status: pb.InvoiceStatus.ValueType = pb.INVOICE_STATUS_PAID, day: int = 1
) -> pb.SubscriptionInvoice:
    """Return an invoice of a subscription."""
    return pb.SubscriptionInvoice(
        stripe_invoice_id=invoice_id,
        status=status,
        billing_reason="subscription_create",
        total=money(900),
        amount_paid=money(900 if status == pb.INVOICE_STATUS_PAID else 0),
        attempt_count=1,
        created_at=timestamp(day),
        period_start=timestamp(day),
        period_end=timestamp(28),
    )


def refund(intent_id: str, refund_id: str = "re_1", **changes: Any) -> pb.ApplyRefundRequest:
    """Return a refund to write."""
    written = pb.Refund(
        stripe_refund_id=refund_id,
        intent_id=intent_id,
        charge_id="ch_1",
        amount=money(500),
        status=pb.REFUND_STATUS_SUCCEEDED,
        created_at=timestamp(4),
    )
    written.MergeFrom(pb.Refund(**changes))
    return pb.ApplyRefundRequest(refund=written)


def dispute(intent_id: str, dispute_id: str = "du_1", **changes: Any) -> pb.ApplyDisputeRequest:
    """Return a dispute to write."""
    written = pb.Dispute(
        stripe_dispute_id=dispute_id,
        intent_id=intent_id,
        charge_id="ch_1",
        amount=money(7990),
        status=pb.DISPUTE_STATUS_NEEDS_RESPONSE,
        reason="fraudulent",
        created_at=timestamp(4),
    )
    written.MergeFrom(pb.Dispute(**changes))
    return pb.ApplyDisputeRequest(dispute=written)


def _webhook() -> pb.PaymentReport:
    return pb.PaymentReport(channel=pb.REPORT_CHANNEL_WEBHOOK, stripe_event_id=f"evt_{next(_numbers)}")
