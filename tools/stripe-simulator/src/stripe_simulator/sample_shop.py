"""What somebody who only tries it out finds on sale: products, prices, shipping rates, and who hears of payments.

It is made through the API, as a shop's owner would make it. Names and marks are those that the stack on one machine
looks for, so that it finds everything there and adds nothing.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import stripe

if TYPE_CHECKING:
    from stripe.params import PriceCreateParams

_CURRENCY: Final = "usd"
_MARK: Final = "holdfast"


@dataclass(frozen=True)
class _Ware:
    slug: str
    name: str
    description: str
    amount: int
    """In minor units."""
    interval: Literal["day", "week", "month", "year"] | None = None
    """How often it is charged; None for once."""
    trial_days: int = 0


_WARES: Final = (
    _Ware("mug", "Stoneware mug", "Holds a third of a litre, and holds it fast.", 1800),
    _Ware("notebook", "Pocket notebook", "Ninety-six dotted pages, sewn.", 950),
    _Ware("tote", "Canvas tote", "Carries twelve kilograms of books.", 2400),
    _Ware("poster", "Harbour chart", "Printed on heavy paper, 50 by 70 cm.", 3650),
    _Ware("coffee", "Coffee, every month", "A bag of 250 g, roasted the day before.", 1400, "month"),
    _Ware("filters", "Coffee filters, every month", "Thirty-one, unbleached.", 300, "month"),
    _Ware("almanac", "Nautical almanac, every year", "Sun, moon, stars and tides.", 4200, "year"),
    _Ware("gazette", "Harbour gazette, every week", "The first fortnight is free.", 250, "week", trial_days=14),
)
_SHIPPING: Final = (("standard", "Standard", 500), ("express", "Express", 1500))


def create_sample_shop(client: stripe.StripeClient) -> None:
    """Put the sample shop on sale."""
    for ware in _WARES:
        client.v1.products.create({"id": f"{_MARK}_{ware.slug}", "name": ware.name, "description": ware.description})
        client.v1.prices.create(_price(ware))
    for slug, name, amount in _SHIPPING:
        client.v1.shipping_rates.create(
            {
                "display_name": name,
                "type": "fixed_amount",
                "fixed_amount": {"amount": amount, "currency": _CURRENCY},
                "metadata": {_MARK: slug},
            }
        )


def _price(ware: _Ware) -> "PriceCreateParams":
    params: PriceCreateParams = {
        "product": f"{_MARK}_{ware.slug}",
        "currency": _CURRENCY,
        "unit_amount": ware.amount,
        "lookup_key": f"{_MARK}_{ware.slug}",
    }
    if ware.interval is not None:
        params["recurring"] = {"interval": ware.interval}
    if ware.trial_days:
        params["metadata"] = {"trial_days": str(ware.trial_days)}
    return params
