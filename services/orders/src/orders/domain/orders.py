"""Orders and order numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Self
from uuid import UUID

from orders.domain.checkout import Address, CheckoutContext, Contact, LineItem, Money, ShippingOption
from orders.domain.payments import Payment
from orders.domain.refunds import RefundSums


class OrderStatus(StrEnum):
    """Status of an order, which follows its refunds and disputes."""

    PAID = "paid"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    DISPUTED = "disputed"
    UNKNOWN = "unknown"
    """A word that a newer version wrote."""

    @classmethod
    def after(cls, sums: RefundSums, total: Money) -> Self:
        """Return the status of an order. A dispute goes before the refunds, in whatever currency it is."""
        if sums.disputed:
            return cls.DISPUTED
        if sums.cover(total):
            return cls.REFUNDED
        return cls.PARTIALLY_REFUNDED if sums.refunded_in(total.currency) else cls.PAID


@dataclass(frozen=True, slots=True)
class Order:
    """Paid order. Its total is the items, the shipping and the adjustment: the amount that Stripe received (P5).

    An erased order has no user, contact or address.
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
    """Sum of the refunds that succeeded or are under way; None without any. Computed when the order is read."""
    disputed: Money | None = None
    """Sum of the disputes that are open or lost; None without any. Computed when the order is read."""
    adjustment_minor: int = 0
    """Received less the cart, where an operator made an order of a quarantined payment; 0 in every other order."""

    @classmethod
    def from_payment(
        cls,
        payment: Payment,
        context: CheckoutContext,
        sums: RefundSums,
        *,
        order_id: UUID,
        number: str,
        at: datetime,
        adjustment_minor: int = 0,
    ) -> Self:
        """Build the order of a succeeded payment from the content of its attempt and what was refunded before."""
        total = Money(context.total.minor_units + adjustment_minor, context.total.currency)
        return cls(
            id=order_id,
            number=number,
            checkout_attempt_id=payment.attempt_id,
            payment_intent_id=payment.intent.id,
            user_id=context.user_id,
            status=OrderStatus.after(sums, total),
            total=total,
            contact=context.contact,
            shipping_address=context.shipping_address,
            shipping_option=context.shipping_option,
            items=context.one_time_items,
            created_at=at,
            refunded=sums.refunded_in(context.total.currency),
            disputed=sums.disputed_in(context.total.currency),
            adjustment_minor=adjustment_minor,
        )


ALPHABET: Final = "23456789CDFHJKMPQRTVWXY"
"""Characters of an order number: no look-alikes, and no vowels, so that no number is a word."""
_RANDOM_CHARACTERS: Final = 8
_GROUP_CHARACTERS: Final = 3


def generate_order_number(random_below: Callable[[int], int]) -> str:
    """Generate a number such as K7M-2QX-9FW. `random_below(n)` returns a number from 0 to n - 1."""
    values = [random_below(len(ALPHABET)) for _ in range(_RANDOM_CHARACTERS)]
    return format_order_number("".join(ALPHABET[value] for value in [*values, _check_value(values)]))


def format_order_number(text: str) -> str:
    """Return a number in the stored form, whatever its case and grouping."""
    characters = _characters(text)
    groups = range(0, len(characters), _GROUP_CHARACTERS)
    return "-".join(characters[start : start + _GROUP_CHARACTERS] for start in groups)


def is_order_number(text: str) -> bool:
    """Return True if the check character fits. Case and grouping do not matter."""
    characters = _characters(text)
    if len(characters) != _RANDOM_CHARACTERS + 1 or not set(characters) <= set(ALPHABET):
        return False
    values = [ALPHABET.index(character) for character in characters]
    return values[-1] == _check_value(values[:-1])


def _characters(text: str) -> str:
    return text.upper().replace("-", "").replace(" ", "")


def _check_value(values: Sequence[int]) -> int:
    # Weights start at 2: the check character itself has weight 1, so that swapping it with a neighbour is found too.
    weighted = sum(weight * value for weight, value in enumerate(values, start=2))
    return -weighted % len(ALPHABET)
