"""An order: what was bought, as it stood when it was paid."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from orders.domain.checkout import Address, CheckoutContext, Contact, LineItem, Money, ShippingOption
from orders.domain.payments import Payment


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


ALPHABET = "23456789CDFHJKMPQRTVWXY"
RANDOM_CHARACTERS = 8
GROUP = 3


def draw_order_number(random_below: Callable[[int], int]) -> str:
    """Draw a new order number; `random_below(n)` gives a number from 0 up to, not including, n."""
    values = [random_below(len(ALPHABET)) for _ in range(RANDOM_CHARACTERS)]
    return write_order_number("".join(ALPHABET[value] for value in [*values, _check_value(values)]))


def write_order_number(heard: str) -> str:
    """Write a number as it is stored, however its characters were grouped."""
    characters = _characters(heard)
    return "-".join(characters[start : start + GROUP] for start in range(0, len(characters), GROUP))


def is_order_number(text: str) -> bool:
    """Say whether a number was heard right: the grouping is free, the check character must fit."""
    characters = _characters(text)
    if len(characters) != RANDOM_CHARACTERS + 1 or not set(characters) <= set(ALPHABET):
        return False
    values = [ALPHABET.index(character) for character in characters]
    return values[-1] == _check_value(values[:-1])


def _characters(text: str) -> str:
    return text.upper().replace("-", "").replace(" ", "")


def _check_value(values: Sequence[int]) -> int:
    # Weights from 2 up: the check character itself weighs 1, so that swapping it with a neighbour shows too.
    weighted = sum(weight * value for weight, value in enumerate(values, start=2))
    return -weighted % len(ALPHABET)
