"""A small shop at Stripe: products, prices and shipping rates. Seeding it again adds nothing."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import stripe

if TYPE_CHECKING:
    from stripe.params import PriceCreateParams, PriceCreateParamsTier

CURRENCY = "usd"
_MARK = "holdfast"
"""Metadata key by which a shipping rate is found again: Stripe lets nobody choose its id."""


@dataclass(frozen=True)
class Cycle:
    """How often a price is charged."""

    interval: Literal["day", "week", "month", "year"]
    trial_days: int = 0
    """Days before the first charge; the price carries them as metadata."""


@dataclass(frozen=True)
class Product:
    """A product with one price."""

    slug: str
    name: str
    description: str
    unit_amount: int
    """In minor units."""
    cycle: Cycle | None = None
    """None for a price that is charged once."""
    cheaper_by_the_dozen: bool = False
    """Priced in tiers, so that the shop must not sell it: no line of a cart has such a price."""

    @property
    def product_id(self) -> str:
        """The product's id at Stripe, which its maker may choose."""
        return f"{_MARK}_{self.slug}"

    @property
    def lookup_key(self) -> str:
        """The name by which its price is found again."""
        return f"{_MARK}_{self.slug}"


@dataclass(frozen=True)
class Shipping:
    """A way to ship, at a fixed amount."""

    slug: str
    name: str
    amount: int
    """In minor units."""


@dataclass(frozen=True)
class SeededCatalogue:
    """What Stripe calls the seeded things."""

    prices: dict[str, str]
    """Price id by product."""
    shipping_rates: dict[str, str]
    """Shipping rate id by way to ship."""


PRODUCTS = (
    Product("mug", "Stoneware mug", "Holds a third of a litre, and holds it fast.", 1800),
    Product("notebook", "Pocket notebook", "Ninety-six dotted pages, sewn.", 950),
    Product("tote", "Canvas tote", "Carries twelve kilograms of books.", 2400),
    Product("poster", "Harbour chart", "Printed on heavy paper, 50 by 70 cm.", 3650),
    Product("coffee", "Coffee, every month", "A bag of 250 g, roasted the day before.", 1400, Cycle("month")),
    Product("filters", "Coffee filters, every month", "Thirty-one, unbleached.", 300, Cycle("month")),
    Product("almanac", "Nautical almanac, every year", "Sun, moon, stars and tides.", 4200, Cycle("year")),
    Product(
        "gazette", "Harbour gazette, every week", "The first fortnight is free.", 250, Cycle("week", trial_days=14)
    ),
    Product(
        "crates", "Crates by the dozen", "Cheaper the more of them.", 900, Cycle("month"), cheaper_by_the_dozen=True
    ),
)
SHIPPING = (Shipping("standard", "Standard", 500), Shipping("express", "Express", 1500))


def seed_catalogue(client: stripe.StripeClient) -> SeededCatalogue:
    """Create what is missing and return the ids of all."""
    prices = {product.slug: _price_id(client, product) for product in PRODUCTS}
    known_rates = _known_shipping_rates(client)
    rates = {way.slug: known_rates.get(way.slug) or _new_shipping_rate(client, way) for way in SHIPPING}
    return SeededCatalogue(prices, rates)


def _price_id(client: stripe.StripeClient, product: Product) -> str:
    found = client.v1.prices.list({"lookup_keys": [product.lookup_key], "active": True, "limit": 1})
    if found.data:
        return found.data[0].id
    _ensure_product(client, product)
    return client.v1.prices.create(_price_params(product)).id


def _price_params(product: Product) -> "PriceCreateParams":
    params: PriceCreateParams = {
        "product": product.product_id,
        "currency": CURRENCY,
        "lookup_key": product.lookup_key,
    }
    if product.cycle is not None:
        params["recurring"] = {"interval": product.cycle.interval}
    if product.cycle is not None and product.cycle.trial_days:
        params["metadata"] = {"trial_days": str(product.cycle.trial_days)}
    if not product.cheaper_by_the_dozen:
        return {**params, "unit_amount": product.unit_amount}
    tiers: list[PriceCreateParamsTier] = [
        {"up_to": 12, "unit_amount": product.unit_amount},
        {"up_to": "inf", "unit_amount": product.unit_amount // 2},
    ]
    return {**params, "billing_scheme": "tiered", "tiers_mode": "volume", "tiers": tiers}


def _ensure_product(client: stripe.StripeClient, product: Product) -> None:
    try:
        client.v1.products.create({"id": product.product_id, "name": product.name, "description": product.description})
    except stripe.InvalidRequestError as refusal:
        if refusal.code != "resource_already_exists":
            raise


def _known_shipping_rates(client: stripe.StripeClient) -> dict[str, str]:
    rates = client.v1.shipping_rates.list({"active": True, "limit": 100})
    return {rate.metadata[_MARK]: rate.id for rate in rates.auto_paging_iter() if _MARK in rate.metadata}


def _new_shipping_rate(client: stripe.StripeClient, way: Shipping) -> str:
    created = client.v1.shipping_rates.create(
        {
            "display_name": way.name,
            "type": "fixed_amount",
            "fixed_amount": {"amount": way.amount, "currency": CURRENCY},
            "metadata": {_MARK: way.slug},
        }
    )
    return created.id
