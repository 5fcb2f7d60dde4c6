"""Reports of succeeded intents that are valid until a test spoils them."""

import itertools
import uuid

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import orders_pb2 as pb

_numbers = itertools.count(1)


def money(minor_units: int, currency: str = "eur") -> common_pb2.Money:
    """Return an amount."""
    return common_pb2.Money(minor_units=minor_units, currency=currency)


def line(number: int, *, quantity: int = 2, unit_minor: int = 1250) -> common_pb2.LineItem:
    """Return a line, different for each number."""
    return common_pb2.LineItem(
        price_id=f"price_{number}",
        product_id=f"prod_{number}",
        name=f"Ceramic mug no. {number}",
        quantity=quantity,
        unit_price=money(unit_minor),
    )


def context(*, lines: int = 3, user_id: str = "user_1") -> common_pb2.CheckoutContext:
    """Return an attempt's content with shipping."""
    items = [line(number) for number in range(lines)]
    return common_pb2.CheckoutContext(
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


def webhook() -> pb.PaymentReport:
    """Return the report of a payment that a webhook reported."""
    return pb.PaymentReport(channel=pb.REPORT_CHANNEL_WEBHOOK, stripe_event_id=f"evt_{next(_numbers)}")


def purchase(
    *, attempt_id: str | None = None, intent_id: str | None = None, lines: int = 3, user_id: str = "user_1"
) -> pb.RecordPurchaseRequest:
    """Return a purchase to record, of a new attempt and a new intent unless told."""
    content = context(lines=lines, user_id=user_id)
    payment = pb.Payment(
        intent=common_pb2.Intent(id=intent_id or f"pi_{next(_numbers)}", kind=common_pb2.Intent.KIND_PAYMENT),
        attempt_id=attempt_id or str(uuid.uuid4()),
        received=content.total,
        livemode=False,
    )
    return pb.RecordPurchaseRequest(payment=payment, context=content, report=webhook())


def aside(
    report: pb.RecordPurchaseRequest,
    reason: pb.QuarantineReason.ValueType = pb.QUARANTINE_REASON_ATTEMPT_MISSING,
    *,
    with_content: bool = False,
) -> pb.QuarantinePaymentRequest:
    """Return the same payment as one to set aside."""
    content = report.context if with_content else None
    return pb.QuarantinePaymentRequest(payment=report.payment, reason=reason, context=content, report=webhook())
