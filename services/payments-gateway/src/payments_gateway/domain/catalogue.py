"""What the shop sells: Stripe's prices and shipping rates, as they were when last read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from payments_gateway.domain.attempts import Recurring
from payments_gateway.domain.money import Money


@dataclass(frozen=True)
class Price:
    """A Stripe Price with its Product."""

    id: str
    product_id: str
    name: str
    """The product's name."""
    description: str | None
    image_url: str | None
    unit_price: Money | None
    """None when the price has no whole amount per piece."""
    unsellable_reason: str | None
    """Why it cannot be put into a cart, as a phrase; None when it can."""
    recurring: Recurring | None = None
    """None for a one-time price, and for a recurring one that is not sold."""


@dataclass(frozen=True)
class ShippingRate:
    """A Stripe ShippingRate of a fixed amount."""

    id: str
    name: str
    amount: Money


@dataclass(frozen=True)
class Catalogue:
    """Everything on sale at one moment."""

    prices: Mapping[str, Price]
    """By price id, in the order Stripe lists them."""
    shipping_rates: Mapping[str, ShippingRate]
    """By shipping rate id, in the order Stripe lists them."""

    def sellable_prices(self) -> tuple[Price, ...]:
        """Return the prices that can be put into a cart."""
        return tuple(price for price in self.prices.values() if price.unsellable_reason is None)


class CataloguePort(Protocol):
    """Where the catalogue is read from."""

    async def read(self) -> Catalogue:
        """Read everything that is active now. Raises StripeUnavailable."""
