"""The shop's catalogue: Stripe's prices and shipping rates."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from payments_gateway.domain.attempts import Recurring
from payments_gateway.domain.money import Money

_NEW_PRICE_ID: Final = re.compile(r"price_\w{1,100}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Price:
    """A Stripe Price with its Product."""

    id: str
    product_id: str
    name: str
    """Name of the product."""
    description: str | None
    image_url: str | None
    unit_price: Money | None
    """None for a price without a whole amount per unit."""
    unsellable_reason: str | None
    """Reason for which it cannot be put into a cart, as a phrase; None if it can."""
    recurring: Recurring | None = None
    """None for a one-time price, and for a recurring one that cannot be sold."""


@dataclass(frozen=True, slots=True)
class ShippingRate:
    """A Stripe ShippingRate with a fixed amount."""

    id: str
    name: str
    amount: Money


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything on sale at one time."""

    prices: Mapping[str, Price]
    """By price id, in the order Stripe lists them."""
    shipping_rates: Mapping[str, ShippingRate]
    """By shipping rate id, in the order Stripe lists them."""

    def sellable_prices(self) -> tuple[Price, ...]:
        """Return the prices that can be put into a cart."""
        return tuple(price for price in self.prices.values() if price.unsellable_reason is None)

    def including(self, prices: Iterable[Price]) -> "Catalogue":
        """Return this catalogue with newer prices in front, where Stripe lists them."""
        return Catalogue({**{price.id: price for price in prices}, **self.prices}, self.shipping_rates)


def is_new_price_id(price_id: str) -> bool:
    """Return True if an id has the form that Stripe gives to new prices. Those of old ones may be any text."""
    return _NEW_PRICE_ID.fullmatch(price_id) is not None


class CataloguePort(Protocol):
    """Stripe, as the source of the catalogue."""

    async def read(self) -> Catalogue:
        """Read all active prices and shipping rates. Raises StripeUnavailable."""

    async def find_price(self, price_id: str) -> Price | None:
        """Read an active price; None if there is none. The id passed `is_new_price_id`. Raises StripeUnavailable."""
