"""Sample shop: products, prices and shipping rates for the demo and for tests.

It is created through the API, here or at Stripe itself: `STRIPE_SECRET_KEY=… python -m stripe_simulator.sample_shop`.
Creating it again adds nothing.
"""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import stripe

if TYPE_CHECKING:
    from stripe.params import PriceCreateParams

_CURRENCY: Final = "usd"
_MARK: Final = "holdfast"
"""Prefix of product ids and lookup keys, and the metadata key of shipping rates: Stripe chooses the id of a rate."""


@dataclass(frozen=True, slots=True)
class _Product:
    slug: str
    name: str
    description: str
    amount: int
    """In minor units."""
    interval: Literal["day", "week", "month", "year"] | None = None
    """Billing interval. None for a one-time price."""
    trial_days: int = 0
    tiered: bool = False
    """Tiered prices cannot be sold: no line of a cart has one."""

    @property
    def key(self) -> str:
        return f"{_MARK}_{self.slug}"


_PRODUCTS: Final = (
    _Product("mug", "Stoneware mug", "Holds a third of a litre, and holds it fast.", 1800),
    _Product("notebook", "Pocket notebook", "Ninety-six dotted pages, sewn.", 950),
    _Product("tote", "Canvas tote", "Carries twelve kilograms of books.", 2400),
    _Product("poster", "Harbour chart", "Printed on heavy paper, 50 by 70 cm.", 3650),
    _Product("coffee", "Coffee, every month", "A bag of 250 g, roasted the day before.", 1400, "month"),
    _Product("filters", "Coffee filters, every month", "Thirty-one, unbleached.", 300, "month"),
    _Product("almanac", "Nautical almanac, every year", "Sun, moon, stars and tides.", 4200, "year"),
    _Product("gazette", "Harbour gazette, every week", "The first fortnight is free.", 250, "week", trial_days=14),
    _Product("crates", "Crates by the dozen", "Cheaper by the dozen.", 900, "month", tiered=True),
)
_SHIPPING: Final = (("standard", "Standard", 500), ("express", "Express", 1500))


def create_sample_shop(client: stripe.StripeClient) -> None:
    """Create the products, prices and shipping rates that do not exist yet."""
    for product in _PRODUCTS:
        found = client.v1.prices.list({"lookup_keys": [product.key], "active": True, "limit": 1})
        if not found.data:
            _ensure_product(client, product)
            client.v1.prices.create(_price_params(product))
    rates = client.v1.shipping_rates.list({"active": True, "limit": 100}).auto_paging_iter()
    known_rates = {rate.metadata[_MARK] for rate in rates if _MARK in rate.metadata}
    for slug, name, amount in _SHIPPING:
        if slug not in known_rates:
            client.v1.shipping_rates.create(
                {
                    "display_name": name,
                    "type": "fixed_amount",
                    "fixed_amount": {"amount": amount, "currency": _CURRENCY},
                    "metadata": {_MARK: slug},
                }
            )


def _ensure_product(client: stripe.StripeClient, product: _Product) -> None:
    try:
        client.v1.products.create({"id": product.key, "name": product.name, "description": product.description})
    except stripe.InvalidRequestError as error:
        if error.code != "resource_already_exists":
            raise


def _price_params(product: _Product) -> "PriceCreateParams":
    params: PriceCreateParams = {"product": product.key, "currency": _CURRENCY, "lookup_key": product.key}
    if product.interval is not None:
        params["recurring"] = {"interval": product.interval}
    if product.trial_days:
        params["metadata"] = {"trial_days": str(product.trial_days)}
    if not product.tiered:
        return {**params, "unit_amount": product.amount}
    return {
        **params,
        "billing_scheme": "tiered",
        "tiers_mode": "volume",
        "tiers": [{"up_to": 12, "unit_amount": product.amount}, {"up_to": "inf", "unit_amount": product.amount // 2}],
    }


if __name__ == "__main__":
    stripe.enable_telemetry = False  # it would write a file into the user's home
    create_sample_shop(stripe.StripeClient(os.environ["STRIPE_SECRET_KEY"], http_client=stripe.UrllibClient()))
