"""Products that tests put on sale, and comparisons of Stripe's subscriptions with their rows."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import stripe

from .shop import Cart, Line, Shop
from .stores import Row
from .system import System

if TYPE_CHECKING:
    from stripe.params import PriceCreateParams, ProductCreateParams

_AT_ONCE: Final = 16
_NO_SUCH_PRICE: Final = "price_that_does_not_exist"

Made = TypeVar("Made")


@dataclass(frozen=True)
class BillingInterval:
    """A price's billing interval and trial."""

    interval: Literal["day", "week", "month", "year"]
    interval_count: int = 1
    trial_days: int = 0


@dataclass(frozen=True)
class Product:
    """A product to create, with one price for each currency."""

    name: str
    unit_amounts: Mapping[str, int]
    """Minor units by currency."""
    product_id: str | None = None
    """None lets Stripe choose."""
    billing: BillingInterval | None = None
    """None for a one-time price."""


@dataclass(frozen=True)
class Price:
    """A price at Stripe with its product."""

    id: str
    product_id: str
    name: str
    unit_amount: int
    currency: str
    billing: BillingInterval | None = None


PLANS: Final[Mapping[str, Product]] = {
    "tea": Product("Tea of the month", {"usd": 1200}, billing=BillingInterval("month")),
    "cake": Product("Cake of the month", {"usd": 450}, billing=BillingInterval("month")),
    "almanac": Product("Almanac of the year", {"usd": 9900}, billing=BillingInterval("year")),
    "bread": Product("Bread of every other week", {"usd": 700}, billing=BillingInterval("week", 2)),
    "club": Product("Membership, first two weeks free", {"usd": 1500}, billing=BillingInterval("month", trial_days=14)),
}
"""Recurring products by short name."""

Plans = Mapping[str, Price]


async def put_plans_on_sale(system: System) -> Plans:
    """Create the plans and wait until every gateway sells them."""
    prices = await create_prices(system.stripe, PLANS.values())
    await until_on_sale_everywhere(system, prices)
    return dict(zip(PLANS, prices, strict=True))


def plan_cart(plans: Plans, **quantities: int) -> Cart:
    """Return a cart of plans alone."""
    return Cart([Line(plans[name].id, quantity) for name, quantity in quantities.items()])


def mixed_cart(system: System, plans: Plans, once: Mapping[str, int], recurring: Mapping[str, int]) -> Cart:
    """Return a cart of the sample shop's products, which are shipped, and plans."""
    shipped = system.cart(**once) if once else Cart([])
    lines = [*shipped.lines, *plan_cart(plans, **recurring).lines]
    return Cart(lines, shipping_option_id=shipped.shipping_option_id)


async def create_prices(client: stripe.StripeClient, products: Iterable[Product]) -> list[Price]:
    """Create products with their prices; return the prices product by product, currencies in the order given."""
    created = await run_concurrently([partial(_create, client, product) for product in products])
    return [price for prices in created for price in prices]


async def until_on_sale_everywhere(system: System, prices: Iterable[Price]) -> None:
    """Wait until every gateway sells these prices."""
    async with AsyncExitStack() as opened:
        count = len(system.backend.addresses.gateways)
        shops = [await opened.enter_async_context(system.shop(gateway=number)) for number in range(count)]
        await until_on_sale(shops, prices)


async def until_on_sale(shops: Iterable[Shop], prices: Iterable[Price], *, seconds: float = 60.0) -> None:
    """Wait until each shop's gateway lists these prices."""
    wanted, deadline = {price.id for price in prices}, time.monotonic() + seconds
    for shop in shops:
        while not wanted <= await _on_sale(shop, wanted):
            assert time.monotonic() < deadline, f"{len(wanted)} prices are not on sale within {seconds:g} s"
            await asyncio.sleep(0.1)


async def run_concurrently(jobs: Sequence[Callable[[], Awaitable[Made]]], *, at_once: int = _AT_ONCE) -> list[Made]:
    """Run jobs, `at_once` at a time; return their results in the order of the jobs."""
    results: dict[int, Made] = {}
    waiting = iter(enumerate(jobs))

    async def work() -> None:
        for index, job in waiting:
            results[index] = await job()

    async with asyncio.TaskGroup() as workers:
        for _ in range(at_once):
            workers.create_task(work())
    return [results[index] for index in range(len(jobs))]


async def subscriptions_at_stripe(system: System, customer_id: str | None = None) -> list[dict[str, Any]]:
    """Return all Stripe subscriptions, or a customer's, ended ones too, newest first, with their latest invoices."""
    query: Any = {"status": "all", "limit": 100, "expand": ["data.latest_invoice"]}
    listed = await system.stripe.v1.subscriptions.list_async(query | ({"customer": customer_id} if customer_id else {}))
    return [subscription.to_dict() async for subscription in listed.auto_paging_iter()]


async def invoices_at_stripe(system: System, stripe_subscription_id: str) -> list[dict[str, Any]]:
    """Return all invoices of a Stripe subscription, newest first."""
    listed = await system.stripe.v1.invoices.list_async({"subscription": stripe_subscription_id, "limit": 100})
    return [invoice.to_dict() async for invoice in listed.auto_paging_iter()]


def stripe_state(subscription: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of a Stripe subscription that its row must show."""
    latest = subscription["latest_invoice"]
    names = ("status", "trial_end", "cancel_at_period_end", "cancel_at", "canceled_at", "ended_at")
    return {
        **{name: subscription[name] for name in names},
        "stripe_subscription_id": subscription["id"],
        "current_period_end": max(item["current_period_end"] for item in subscription["items"]["data"]),
        "latest_invoice_id": latest["id"] if isinstance(latest, Mapping) else latest,
    }


def recorded_state(row: Row) -> dict[str, Any]:
    """Return a row's state in the form of `stripe_state`."""
    times = ("current_period_end", "trial_end", "cancel_at", "canceled_at", "ended_at")
    names = ("stripe_subscription_id", "status", "latest_invoice_id", "cancel_at_period_end")
    return {name: row[name] for name in names} | {name: row[name] and int(row[name].timestamp()) for name in times}


_INVOICE_COLUMNS: Final = {
    "stripe_invoice_id": "id",
    "status": "status",
    "billing_reason": "billing_reason",
    "total_minor": "total",
    "amount_paid_minor": "amount_paid",
    "currency": "currency",
    "attempt_count": "attempt_count",
    "created_at": "created",
    "period_start": "period_start",
    "period_end": "period_end",
    "next_payment_attempt": "next_payment_attempt",
}
"""Fields of Stripe's invoices by the columns of their rows, all but the subscription."""


def stripe_invoices(invoices: Sequence[Mapping[str, Any]]) -> set[tuple[Any, ...]]:
    """Return the values of Stripe's invoices that their rows must show.

    A draft's next attempt is left out: it moves without an event while `invoice.created` is not acknowledged.
    """
    return {_shown(invoice, _INVOICE_COLUMNS.values()) for invoice in invoices}


def recorded_invoices(rows: Sequence[Row]) -> set[tuple[Any, ...]]:
    """Return the rows' values in the form of `stripe_invoices`."""
    assert all(row.keys() - {"subscription_id"} == _INVOICE_COLUMNS.keys() for row in rows)
    return {_shown(row, _INVOICE_COLUMNS) for row in rows}


def _shown(invoice: Mapping[str, Any], names: Iterable[str]) -> tuple[Any, ...]:
    known = {**invoice, "next_payment_attempt": None} if invoice["status"] == "draft" else invoice
    return tuple(_seconds(known[name]) for name in names)


def _seconds(value: Any) -> Any:
    return int(value.timestamp()) if isinstance(value, datetime) else value


async def _create(client: stripe.StripeClient, product: Product) -> list[Price]:
    wanted: ProductCreateParams = {"name": product.name}
    if product.product_id is not None:
        wanted["id"] = product.product_id
    created = await client.v1.products.create_async(wanted)
    return [
        await _create_price(client, created, unit_amount, currency, product.billing)
        for currency, unit_amount in product.unit_amounts.items()
    ]


async def _create_price(
    client: stripe.StripeClient,
    product: stripe.Product,
    unit_amount: int,
    currency: str,
    billing: BillingInterval | None,
) -> Price:
    wanted: PriceCreateParams = {"product": product.id, "currency": currency, "unit_amount": unit_amount}
    if billing is not None:
        wanted["recurring"] = {"interval": billing.interval, "interval_count": billing.interval_count}
    if billing is not None and billing.trial_days:
        wanted["metadata"] = {"trial_days": str(billing.trial_days)}
    price = await client.v1.prices.create_async(wanted)
    return Price(price.id, product.id, product.name, unit_amount, currency, billing)


async def _on_sale(shop: Shop, wanted: set[str]) -> set[str]:
    # A cart makes the gateway look new prices up. The unknown one keeps it from beginning a checkout.
    await shop.initiate(Cart([Line(price_id) for price_id in (*wanted, _NO_SUCH_PRICE)]))
    return {item["priceId"] for item in (await shop.catalogue()).ok()["items"]}
