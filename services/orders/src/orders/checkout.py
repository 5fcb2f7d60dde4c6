"""What a buyer checked out: the content of an attempt, as far as an order needs it."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in the currency's minor unit, as Stripe counts it."""

    minor_units: int
    currency: str


@dataclass(frozen=True, slots=True)
class Contact:
    """How the shop reaches the buyer. `phone` is None when the buyer gave none."""

    name: str
    email: str
    phone: str | None


@dataclass(frozen=True, slots=True)
class Address:
    """A postal address in Stripe's terms; what the address does not have is None."""

    line1: str
    line2: str | None
    city: str | None
    state: str | None
    postal_code: str | None
    country: str


@dataclass(frozen=True, slots=True)
class ShippingOption:
    """The Stripe ShippingRate the buyer chose."""

    shipping_rate_id: str
    name: str
    amount: Money


@dataclass(frozen=True, slots=True)
class LineItem:
    """One line of the cart at the price that was frozen with the attempt."""

    price_id: str
    product_id: str
    name: str
    quantity: int
    unit_price: Money

    @property
    def sum_minor(self) -> int:
        """What the whole line costs."""
        return self.quantity * self.unit_price.minor_units


@dataclass(frozen=True, slots=True)
class CheckoutContext:
    """Everything that fulfilment needs and Stripe must not carry. `user_id` is None for a guest."""

    user_id: str | None
    contact: Contact
    shipping_address: Address | None
    shipping_option: ShippingOption | None
    items: tuple[LineItem, ...]
    total: Money

    @property
    def items_minor(self) -> int:
        """The sum of all lines."""
        return sum(item.sum_minor for item in self.items)

    @property
    def shipping_minor(self) -> int:
        """What shipping costs; 0 when nothing is shipped."""
        return self.shipping_option.amount.minor_units if self.shipping_option else 0


@dataclass(frozen=True, slots=True)
class AttemptContent:
    """An attempt's content kept whole for a person to settle, whether or not it could be recorded.

    `serialized` is opaque here: what cannot be understood must still be kept (P4).
    """

    user_id: str | None
    serialized: bytes


class UnreadableCause(StrEnum):
    """Why stored content cannot be read."""

    UNKNOWN_KEY = "unknown_key"
    NOT_AUTHENTIC = "not_authentic"


@dataclass(frozen=True, slots=True)
class UnreadableContent:
    """Content that is stored and stays so, but cannot be read now. `key_id` names the key that it is sealed with."""

    key_id: str
    cause: UnreadableCause
