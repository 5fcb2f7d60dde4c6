"""Rows to and from what they stand for: one function each way."""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Row, tuple_

from orders.domain.checkout import (
    Address,
    AttemptContent,
    CheckoutContext,
    Contact,
    LineItem,
    Money,
    ShippingOption,
    UnreadableContent,
)
from orders.domain.orders import Order
from orders.domain.payments import Intent, Payment, PaymentReport
from orders.domain.purchases import Outcome, Purchase, QuarantinedPayment
from orders.postgres.content_encryption import ContentSealer

_log = logging.getLogger(__name__)


def purchase_values(payment: Payment, context: CheckoutContext, report: PaymentReport, at: datetime) -> dict[str, Any]:
    """Return the row of a payment that became a purchase. Its content is in the order and the subscriptions.

    A setup received nothing, in the cart's currency: what hangs on it agrees with it like on any payment (P5).
    """
    received = payment.received or Money(0, context.total.currency)
    return {
        **_payment_values(payment, report),
        "amount_minor": received.minor_units,
        "currency": received.currency,
        "outcome": Outcome.PURCHASE,
        "quarantine_reason": None,
        "attempt_content": None,
        "user_id": context.user_id,
        "decided_at": at,
    }


def quarantine_values(quarantined: QuarantinedPayment, sealer: ContentSealer) -> dict[str, Any]:
    """Return the row of a payment that was set aside."""
    intent_id = quarantined.payment.intent.id
    content = quarantined.content
    return {
        **_payment_values(quarantined.payment, quarantined.report),
        "outcome": Outcome.QUARANTINED,
        "quarantine_reason": quarantined.reason,
        "attempt_content": sealer.seal(intent_id, content) if content else None,
        "user_id": content.user_id if content else None,
        "decided_at": quarantined.quarantined_at,
    }


def quarantined_of(row: Row[Any], sealer: ContentSealer) -> QuarantinedPayment:
    """Read a quarantined payment from its row."""
    received = None if row.amount_minor is None else Money(row.amount_minor, row.currency)
    stored = row.attempt_content
    content = None if stored is None else sealer.open(row.intent_id, row.user_id, stored)
    return QuarantinedPayment(
        payment=Payment(
            Intent(row.intent_id, row.kind), row.attempt_id, received, row.livemode, row.stripe_payment_method_id
        ),
        reason=row.quarantine_reason,
        content=content if isinstance(content, AttemptContent) else None,
        report=PaymentReport(row.channel, row.stripe_event_id),
        quarantined_at=row.decided_at,
        resolved_at=row.resolved_at,
        erased_at=row.erased_at,
        unreadable=content if isinstance(content, UnreadableContent) else None,
    )


def quarantine_payload(quarantined: QuarantinedPayment) -> dict[str, Any]:
    """Return what the outbox tells of a quarantined payment (P7)."""
    payment = quarantined.payment
    return {
        "intent_id": payment.intent.id,
        "attempt_id": payment.attempt_id,
        "reason": quarantined.reason.value,
        "amount_minor": payment.received.minor_units if payment.received else None,
        "currency": payment.received.currency if payment.received else None,
    }


def order_values(order: Order) -> dict[str, Any]:
    """Return the row of an order."""
    shipping_minor = order.shipping_option.amount.minor_units if order.shipping_option else 0
    return {
        "id": order.id,
        "number": order.number,
        "checkout_attempt_id": order.checkout_attempt_id,
        "payment_intent_id": order.payment_intent_id,
        "user_id": order.user_id,
        "status": order.status,
        "total_minor": order.total.minor_units,
        "items_minor": sum(item.sum_minor for item in order.items),
        "shipping_minor": shipping_minor,
        "currency": order.total.currency,
        "shipping_rate_id": order.shipping_option.shipping_rate_id if order.shipping_option else None,
        "shipping_rate_name": order.shipping_option.name if order.shipping_option else None,
        "created_at": order.created_at,
        **recipient_values(order.contact, order.shipping_address),
    }


def order_of(row: Row[Any], items: list[LineItem]) -> Order:
    """Read an order from its row and its items."""
    return Order(
        id=row.order_id,
        number=row.order_number,
        checkout_attempt_id=row.order_checkout_attempt_id,
        payment_intent_id=row.order_payment_intent_id,
        user_id=row.order_user_id,
        status=row.order_status,
        total=Money(row.order_total_minor, row.order_currency),
        contact=contact_of(row, "order_"),
        shipping_address=address_of(row, "order_"),
        shipping_option=_shipping_option_of(row),
        items=tuple(items),
        created_at=row.order_created_at,
        erased_at=row.order_erased_at,
        refunded=_sum_of(row, row.order_refunded, "refunds"),
        disputed=_sum_of(row, row.order_disputed, "disputes"),
    )


def purchase_payload(purchase: Purchase) -> dict[str, Any]:
    """Return what the outbox tells of a purchase (P7). Without an order nothing was paid yet."""
    total = purchase.order.total if purchase.order else Money(0, purchase.subscriptions[0].currency)
    payload: dict[str, Any] = {
        "attempt_id": purchase.attempt_id,
        "intent_id": purchase.intent.id,
        "total_minor": total.minor_units,
        "currency": total.currency,
    }
    if purchase.order:
        payload["order_id"] = str(purchase.order.id)
    if purchase.subscriptions:
        payload["subscription_ids"] = [str(each.id) for each in purchase.subscriptions]
    return payload


def item_values(order: Order) -> list[dict[str, Any]]:
    """Return the rows of an order's items."""
    return [{"order_id": order.id, **line_values(item, position)} for position, item in enumerate(order.items)]


def line_values(item: LineItem, position: int) -> dict[str, Any]:
    """Return the row of a line, but for what it belongs to."""
    return {
        "position": position,
        "price_id": item.price_id,
        "product_id": item.product_id,
        "name": item.name,
        "quantity": item.quantity,
        "unit_amount_minor": item.unit_price.minor_units,
    }


def item_of(row: Row[Any]) -> LineItem:
    """Read a line from its row."""
    return LineItem(row.price_id, row.product_id, row.name, row.quantity, Money(row.unit_amount_minor, row.currency))


def recipient_values(contact: Contact | None, address: Address | None) -> dict[str, Any]:
    """Return the columns that say who gets what was bought, and where."""
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


def contact_of(row: Row[Any], prefix: str = "") -> Contact | None:
    """Read the contact from columns whose names begin with the prefix; None from an erased row."""
    name, email, phone = (getattr(row, f"{prefix}contact_{part}") for part in ("name", "email", "phone"))
    return None if name is None else Contact(name, email, phone)


def address_of(row: Row[Any], prefix: str = "") -> Address | None:
    """Read the address from columns whose names begin with the prefix; None where nothing is shipped."""
    parts = ("line1", "line2", "city", "state", "postal_code", "country")
    columns: dict[str, Any] = {part: getattr(row, f"{prefix}shipping_{part}") for part in parts}
    return None if columns["line1"] is None else Address(**columns)


def below(place: tuple[Column[Any], Column[Any]], at: datetime, row_id: object) -> ColumnElement[bool]:
    """Return the condition for the rows after a cursor, newest first."""
    return tuple_(*place) < tuple_(at, row_id)


def _payment_values(payment: Payment, report: PaymentReport) -> dict[str, Any]:
    received = payment.received
    return {
        "intent_id": payment.intent.id,
        "kind": payment.intent.kind,
        "attempt_id": payment.attempt_id,
        "amount_minor": received.minor_units if received else None,
        "currency": received.currency if received else None,
        "livemode": payment.livemode,
        "channel": report.channel,
        "stripe_event_id": report.stripe_event_id,
        "stripe_payment_method_id": payment.payment_method_id,
    }


def _sum_of(row: Row[Any], sums_minor: Mapping[str, int] | None, what: str) -> Money | None:
    """Return the sum in the order's currency. What is in another one has no place in it, and must not happen."""
    sums = dict(sums_minor or {})
    in_orders_currency = sums.pop(row.order_currency, 0)
    if sums:
        extra = {"what": what, "order": row.order_number, "currencies": sorted(sums)}
        _log.error("amounts of another currency than the order's are left out of its sums", extra=extra)
    return Money(in_orders_currency, row.order_currency) if in_orders_currency else None


def _shipping_option_of(row: Row[Any]) -> ShippingOption | None:
    if row.order_shipping_rate_id is None:
        return None
    amount = Money(row.order_shipping_minor, row.order_currency)
    return ShippingOption(row.order_shipping_rate_id, row.order_shipping_rate_name, amount)
