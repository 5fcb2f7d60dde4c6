"""Mapping between payments and orders and their rows: one function each way."""

import logging
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Row, tuple_

from orders.domain.checkout import (
    Address,
    AttemptContent,
    CheckoutContext,
    Contact,
    EncryptedContent,
    LineItem,
    Money,
    ShippingOption,
    UnreadableContent,
)
from orders.domain.orders import Order
from orders.domain.outbox import OutboxEvent
from orders.domain.payments import Intent, Payment, PaymentReport
from orders.domain.purchases import Outcome, QuarantinedPayment
from orders.postgres.content_encryption import ContentCipher

_log = logging.getLogger(__name__)

_NO_CONTENT: Final[Mapping[str, None]] = MappingProxyType(
    {"attempt_content": None, "encrypted_content": None, "encrypted_key_id": None}
)


def purchase_to_row(payment: Payment, context: CheckoutContext, report: PaymentReport, at: datetime) -> dict[str, Any]:
    """Return the row of `payments` for a purchase. The content is in the order and the subscriptions.

    A setup intent received 0 in the cart's currency, so the currency of its subscriptions is enforced too (P5).
    """
    received = payment.received or Money(0, context.total.currency)
    return {
        **_payment_to_row(payment, report),
        "amount_minor": received.minor_units,
        "currency": received.currency,
        "outcome": Outcome.PURCHASE,
        "stripe_customer_id": None,
        "quarantine_reason": None,
        "reason_before_refund": None,
        **_NO_CONTENT,
        "user_id": context.user_id,
        "decided_at": at,
    }


def quarantined_to_row(quarantined: QuarantinedPayment, cipher: ContentCipher) -> dict[str, Any]:
    """Return the row of `payments` for a quarantined payment."""
    return {
        **_payment_to_row(quarantined.payment, quarantined.report),
        "stripe_customer_id": quarantined.payment.customer_id,
        "outcome": Outcome.QUARANTINED,
        "quarantine_reason": quarantined.reason,
        "reason_before_refund": quarantined.reason_before_refund,
        **content_to_row(quarantined.payment.intent.id, quarantined.content, cipher),
        "decided_at": quarantined.quarantined_at,
        "resolved_at": quarantined.resolved_at,
    }


def content_to_row(
    intent_id: str, content: AttemptContent | EncryptedContent | None, cipher: ContentCipher
) -> dict[str, Any]:
    """Return the columns of a quarantined payment's content, and of the user that it belongs to."""
    columns: dict[str, Any] = {**_NO_CONTENT, "user_id": content.user_id if content else None}
    match content:
        case AttemptContent():
            columns["attempt_content"] = cipher.encrypt(intent_id, content)
        case EncryptedContent(_, encrypted, key_id):
            columns |= {"encrypted_content": encrypted, "encrypted_key_id": key_id}
    return columns


def quarantined_from_row(row: Row[Any], cipher: ContentCipher) -> QuarantinedPayment:
    """Read a quarantined payment."""
    received = None if row.amount_minor is None else Money(row.amount_minor, row.currency)
    content = _content_from_row(row, cipher)
    return QuarantinedPayment(
        payment=Payment(
            intent=Intent(row.intent_id, row.kind),
            attempt_id=row.attempt_id,
            received=received,
            livemode=row.livemode,
            intent_created_at=row.intent_created_at,
            payment_method_id=row.stripe_payment_method_id,
            customer_id=row.stripe_customer_id,
        ),
        reason=row.quarantine_reason,
        content=None if isinstance(content, UnreadableContent) else content,
        report=PaymentReport(row.channel, row.stripe_event_id),
        quarantined_at=row.decided_at,
        erased_at=row.erased_at,
        unreadable=content if isinstance(content, UnreadableContent) else None,
        reason_before_refund=row.reason_before_refund,
        resolved_at=row.resolved_at,
        settlement=row.settlement,
        refund_begun_at=row.refund_begun_at,
    )


def order_to_row(order: Order) -> dict[str, Any]:
    """Return the row of an order."""
    option = order.shipping_option
    return {
        "id": order.id,
        "number": order.number,
        "checkout_attempt_id": order.checkout_attempt_id,
        "payment_intent_id": order.payment_intent_id,
        "user_id": order.user_id,
        "status": order.status,
        "total_minor": order.total.minor_units,
        "items_minor": sum(item.subtotal_minor for item in order.items),
        "shipping_minor": option.amount.minor_units if option else 0,
        "adjustment_minor": order.adjustment_minor,
        "currency": order.total.currency,
        "shipping_rate_id": option.shipping_rate_id if option else None,
        "shipping_rate_name": option.name if option else None,
        "created_at": order.created_at,
        **recipient_to_row(order.contact, order.shipping_address),
    }


def order_from_row(row: Row[Any], items: list[LineItem]) -> Order:
    """Read an order from its row, whose columns have the prefix `order_`, and its items."""
    return Order(
        id=row.order_id,
        number=row.order_number,
        checkout_attempt_id=row.order_checkout_attempt_id,
        payment_intent_id=row.order_payment_intent_id,
        user_id=row.order_user_id,
        status=row.order_status,
        total=Money(row.order_total_minor, row.order_currency),
        contact=_contact_from_row(row),
        shipping_address=_address_from_row(row),
        shipping_option=_shipping_option_from_row(row),
        items=tuple(items),
        created_at=row.order_created_at,
        erased_at=row.order_erased_at,
        refunded=_sum_from_row(row, row.order_refunded, "refunds"),
        disputed=_sum_from_row(row, row.order_disputed, "disputes"),
        adjustment_minor=row.order_adjustment_minor,
    )


def order_items_to_rows(order: Order) -> list[dict[str, Any]]:
    """Return the rows of an order's items."""
    return [{"order_id": order.id, **item_to_row(item, position)} for position, item in enumerate(order.items)]


def item_to_row(item: LineItem, position: int) -> dict[str, Any]:
    """Return the row of a line, without the id of its order or subscription."""
    return {
        "position": position,
        "price_id": item.price_id,
        "product_id": item.product_id,
        "name": item.name,
        "quantity": item.quantity,
        "unit_amount_minor": item.unit_price.minor_units,
    }


def order_item_from_row(row: Row[Any]) -> LineItem:
    """Read a line of an order."""
    return LineItem(row.price_id, row.product_id, row.name, row.quantity, Money(row.unit_amount_minor, row.currency))


def recipient_to_row(contact: Contact | None, address: Address | None) -> dict[str, Any]:
    """Return the columns of contact and address."""
    return {
        "contact_name": contact.name if contact else None,
        "contact_email": contact.email if contact else None,
        "contact_phone": contact.phone if contact else None,
        "shipping_line1": address.line1 if address else None,
        "shipping_line2": address.line2 if address else None,
        "shipping_city": address.city if address else None,
        "shipping_state": address.state if address else None,
        "shipping_postal_code": address.postal_code if address else None,
        "shipping_country": address.country if address else None,
    }


def outbox_event_to_row(event: OutboxEvent, at: datetime) -> dict[str, Any]:
    """Return the row of an event."""
    return {"topic": event.topic, "aggregate_id": event.aggregate_id, "payload": event.payload, "created_at": at}


def after_cursor(keyset: tuple[Column[Any], Column[Any]], at: datetime, row_id: object) -> ColumnElement[bool]:
    """Return the condition for the rows after a cursor, in descending order."""
    return tuple_(*keyset) < tuple_(at, row_id)


def _payment_to_row(payment: Payment, report: PaymentReport) -> dict[str, Any]:
    received = payment.received
    return {
        "intent_id": payment.intent.id,
        "kind": payment.intent.kind,
        "attempt_id": payment.attempt_id,
        "amount_minor": received.minor_units if received else None,
        "currency": received.currency if received else None,
        "livemode": payment.livemode,
        "intent_created_at": payment.intent_created_at,
        "channel": report.channel,
        "stripe_event_id": report.stripe_event_id,
        "stripe_payment_method_id": payment.payment_method_id,
    }


def _content_from_row(
    row: Row[Any], cipher: ContentCipher
) -> AttemptContent | EncryptedContent | UnreadableContent | None:
    if row.encrypted_content is not None:
        return EncryptedContent(row.user_id, row.encrypted_content, row.encrypted_key_id)
    if row.attempt_content is None:
        return None
    return cipher.decrypt(row.intent_id, row.user_id, row.attempt_content)


def _contact_from_row(row: Row[Any]) -> Contact | None:
    if row.order_contact_name is None:
        return None
    return Contact(row.order_contact_name, row.order_contact_email, row.order_contact_phone)


def _address_from_row(row: Row[Any]) -> Address | None:
    if row.order_shipping_line1 is None:
        return None
    return Address(
        line1=row.order_shipping_line1,
        line2=row.order_shipping_line2,
        city=row.order_shipping_city,
        state=row.order_shipping_state,
        postal_code=row.order_shipping_postal_code,
        country=row.order_shipping_country,
    )


def _shipping_option_from_row(row: Row[Any]) -> ShippingOption | None:
    if row.order_shipping_rate_id is None:
        return None
    amount = Money(row.order_shipping_minor, row.order_currency)
    return ShippingOption(row.order_shipping_rate_id, row.order_shipping_rate_name, amount)


def _sum_from_row(row: Row[Any], minor_by_currency: Mapping[str, int] | None, summed: str) -> Money | None:
    """Return the sum in the order's currency. Amounts in another currency must not happen, and are logged."""
    sums = dict(minor_by_currency or {})
    minor_units = sums.pop(row.order_currency, 0)
    if sums:
        extra = {"summed": summed, "order": row.order_number, "currencies": sorted(sums)}
        _log.error("refunds or disputes in another currency than the order's are left out of its sums", extra=extra)
    return Money(minor_units, row.order_currency) if minor_units else None
