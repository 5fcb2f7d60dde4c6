"""Things to sell that a test thinks up: made at Stripe, and awaited in the gateways' catalogue."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeVar

import stripe

from .shop import Cart, Line, Shop

if TYPE_CHECKING:
    from stripe.params import PriceCreateParams, ProductCreateParams

_AT_ONCE = 16
_NO_SUCH_PRICE = "price_that_does_not_exist"

Made = TypeVar("Made")


@dataclass(frozen=True)
class Rhythm:
    """How often a price is charged."""

    interval: Literal["day", "week", "month", "year"]
    interval_count: int = 1
    trial_days: int = 0


@dataclass(frozen=True)
class Ware:
    """A product as it is to be, with a price in each of some currencies."""

    name: str
    unit_amounts: dict[str, int]
    """Minor units by currency."""
    product_id: str | None = None
    """Unset lets Stripe choose."""
    rhythm: Rhythm | None = None
    """Unset: it is paid once."""


@dataclass(frozen=True)
class Offer:
    """A price at Stripe, and what it is a price of."""

    price_id: str
    product_id: str
    name: str
    unit_amount: int
    currency: str
    rhythm: Rhythm | None = None


async def make_offers(client: stripe.StripeClient, wares: Iterable[Ware]) -> list[Offer]:
    """Create products with their prices; return them ware by ware, currencies in the order given."""
    made = await few_at_once([partial(_make, client, ware) for ware in wares])
    return [offer for offers in made for offer in offers]


async def make_shipping_rate(client: stripe.StripeClient, *, name: str, amount: int, currency: str) -> str:
    """Create a way to ship and return its id."""
    created = await client.v1.shipping_rates.create_async(
        {"display_name": name, "type": "fixed_amount", "fixed_amount": {"amount": amount, "currency": currency}}
    )
    return created.id


async def until_on_sale(shops: Iterable[Shop], price_ids: Iterable[str], *, seconds: float = 60.0) -> None:
    """Wait until each of the shops' gateways shows all of these prices."""
    wanted, deadline = set(price_ids), time.monotonic() + seconds
    for shop in shops:
        while not wanted <= await _on_sale(shop):
            assert time.monotonic() < deadline, f"{len(wanted)} prices are not on sale within {seconds:g} s"
            await asyncio.sleep(0.1)


async def few_at_once(jobs: Sequence[Callable[[], Awaitable[Made]]], *, at_once: int = _AT_ONCE) -> list[Made]:
    """Do jobs, no more than so many at a time; return their results in the order of the jobs."""
    results: dict[int, Made] = {}
    waiting = iter(enumerate(jobs))

    async def work() -> None:
        for place, job in waiting:
            results[place] = await job()

    async with asyncio.TaskGroup() as workers:
        for _ in range(at_once):
            workers.create_task(work())
    return [results[place] for place in range(len(jobs))]


async def _make(client: stripe.StripeClient, ware: Ware) -> list[Offer]:
    wanted: ProductCreateParams = {"name": ware.name}
    if ware.product_id is not None:
        wanted["id"] = ware.product_id
    product = await client.v1.products.create_async(wanted)
    return [
        await _make_price(client, product, unit_amount, currency, ware.rhythm)
        for currency, unit_amount in ware.unit_amounts.items()
    ]


async def _make_price(
    client: stripe.StripeClient, product: stripe.Product, unit_amount: int, currency: str, rhythm: Rhythm | None
) -> Offer:
    wanted: PriceCreateParams = {"product": product.id, "currency": currency, "unit_amount": unit_amount}
    if rhythm is not None:
        wanted["recurring"] = {"interval": rhythm.interval, "interval_count": rhythm.interval_count}
    if rhythm is not None and rhythm.trial_days:
        wanted["metadata"] = {"trial_days": str(rhythm.trial_days)}
    price = await client.v1.prices.create_async(wanted)
    return Offer(price.id, product.id, product.name, unit_amount, currency, rhythm)


async def _on_sale(shop: Shop) -> set[str]:
    # A cart with a price that a gateway does not know makes it read the catalogue again.
    await shop.initiate(Cart([Line(_NO_SUCH_PRICE)]))
    return {item["priceId"] for item in (await shop.catalogue()).ok()["items"]}
