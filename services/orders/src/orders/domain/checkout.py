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


class BillingInterval(StrEnum):
    """The unit of a subscription's billing interval."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


@dataclass(frozen=True, slots=True)
class Recurring:
    """How often a price charges, and after how many days of trial it begins to."""

    interval: BillingInterval
    interval_count: int
    trial_days: int

    @property
    def period(self) -> tuple[BillingInterval, int]:
        """The billing interval: lines that share it share one subscription."""
        return self.interval, self.interval_count


@dataclass(frozen=True, slots=True)
class LineItem:
    """One line of the cart at the price that was frozen with the attempt. `recurring` is None for a one-time price."""

    price_id: str
    product_id: str
    name: str
    quantity: int
    unit_price: Money
    recurring: Recurring | None = None

    @property
    def sum_minor(self) -> int:
        """What the whole line costs."""
        return self.quantity * self.unit_price.minor_units


@dataclass(frozen=True, slots=True)
class CheckoutContext:
    """Everything that fulfilment needs and Stripe must not carry. `user_id` is None for a guest.

    `stripe_customer_id` is who is charged for the recurring lines; None where there are none.
    """

    user_id: str | None
    contact: Contact
    shipping_address: Address | None
    shipping_option: ShippingOption | None
    items: tuple[LineItem, ...]
    total: Money
    stripe_customer_id: str | None = None

    @property
    def one_time_items(self) -> tuple[LineItem, ...]:
        """The lines that are paid once, with the intent."""
        return tuple(item for item in self.items if item.recurring is None)

    @property
    def items_minor(self) -> int:
        """The sum of the one-time lines; the others are charged by Stripe Billing."""
        return sum(item.sum_minor for item in self.one_time_items)

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
