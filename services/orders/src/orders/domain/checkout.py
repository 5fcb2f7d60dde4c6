"""Content of a checkout attempt, as far as an order or a subscription needs it."""

from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Money:
    """Amount in the currency's minor unit, as Stripe counts it."""

    minor_units: int
    currency: str


@dataclass(frozen=True, slots=True)
class Contact:
    """Contact data of the buyer. `phone` is None when the buyer gave none."""

    name: str
    email: str
    phone: str | None


@dataclass(frozen=True, slots=True)
class Address:
    """Postal address in Stripe's terms. Lines that the address does not have are None."""

    line1: str
    line2: str | None
    city: str | None
    state: str | None
    postal_code: str | None
    country: str


@dataclass(frozen=True, slots=True)
class ShippingOption:
    """Stripe ShippingRate that the buyer chose."""

    shipping_rate_id: str
    name: str
    amount: Money


class BillingInterval(StrEnum):
    """Unit of a subscription's billing interval."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"
    UNKNOWN = "unknown"
    """A word that a newer version wrote."""


@dataclass(frozen=True, slots=True)
class Recurring:
    """Billing interval of a recurring price, and the days of trial before its first charge."""

    interval: BillingInterval
    interval_count: int
    trial_days: int

    @property
    def period(self) -> tuple[BillingInterval, int]:
        """Billing interval. Lines with the same period share one subscription."""
        return self.interval, self.interval_count


@dataclass(frozen=True, slots=True)
class LineItem:
    """Line of the cart at the price frozen with the attempt. `recurring` is None for a one-time price."""

    price_id: str
    product_id: str
    name: str
    quantity: int
    unit_price: Money
    recurring: Recurring | None = None

    @property
    def subtotal_minor(self) -> int:
        """Price of the whole line."""
        return self.quantity * self.unit_price.minor_units


@dataclass(frozen=True, slots=True)
class CheckoutContext:
    """Everything that fulfilment needs and Stripe must not carry (P1). `user_id` is None for a guest.

    `stripe_customer_id` names the customer that pays for the recurring lines; None without recurring lines.
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
        """Lines that are paid once, with the intent."""
        return tuple(item for item in self.items if item.recurring is None)

    @property
    def items_minor(self) -> int:
        """Sum of the one-time lines. Stripe Billing charges the recurring ones."""
        return sum(item.subtotal_minor for item in self.one_time_items)

    @property
    def shipping_minor(self) -> int:
        """Price of the shipping; 0 when nothing is shipped."""
        return self.shipping_option.amount.minor_units if self.shipping_option else 0


@dataclass(frozen=True, slots=True)
class AttemptContent:
    """Whole content of an attempt, kept with a quarantined payment for a person to resolve.

    `serialized` is opaque here: content that this version cannot understand must be kept too (P4).
    """

    user_id: str | None
    serialized: bytes


@dataclass(frozen=True, slots=True)
class EncryptedContent:
    """Content of an attempt that checkout-session cannot decrypt now, as it is stored there.

    `key_id` names the key of checkout-session that it is encrypted with; empty if it is unknown.
    """

    user_id: str | None
    encrypted: bytes = field(repr=False)
    key_id: str


class UnreadableCause(StrEnum):
    """Reason why stored content cannot be decrypted."""

    UNKNOWN_KEY = "unknown_key"
    NOT_AUTHENTIC = "not_authentic"


@dataclass(frozen=True, slots=True)
class UnreadableContent:
    """Stored content that cannot be decrypted now. `key_id` names the key that it is encrypted with."""

    key_id: str
    cause: UnreadableCause
