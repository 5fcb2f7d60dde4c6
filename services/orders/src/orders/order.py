"""An order: what was bought, as it stood when it was paid."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from orders.checkout import Address, CheckoutContext, Contact, LineItem, Money, ShippingOption
from orders.payments import Payment


class OrderStatus(StrEnum):
    """Where an order stands."""

    PAID = "paid"


@dataclass(frozen=True, slots=True)
class Order:
    """A paid order. Its total is the items and the shipping, and equals what Stripe received (P5).

    An erased order says no more who bought: no user, no contact, no address.
    """

    id: UUID
    number: str
    checkout_attempt_id: str
    payment_intent_id: str
    user_id: str | None
    status: OrderStatus
    total: Money
    contact: Contact | None
    shipping_address: Address | None
    shipping_option: ShippingOption | None
    items: tuple[LineItem, ...]
    created_at: datetime
    erased_at: datetime | None = None
    refunded: Money | None = None
    """Sum of the refunds made or under way; None when there is none. Computed when the order is read."""
    disputed: Money | None = None
    """Sum of the disputes open or lost; None when there is none. Computed when the order is read."""


def place_order(payment: Payment, context: CheckoutContext, *, order_id: UUID, number: str, at: datetime) -> Order:
    """Return the order that a succeeded payment makes of an attempt's content."""
    return Order(
        id=order_id,
        number=number,
        checkout_attempt_id=payment.attempt_id,
        payment_intent_id=payment.intent.id,
        user_id=context.user_id,
        status=OrderStatus.PAID,
        total=context.total,
        contact=context.contact,
        shipping_address=context.shipping_address,
        shipping_option=context.shipping_option,
        items=context.one_time_items,
        created_at=at,
    )
