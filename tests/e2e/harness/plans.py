"""Things that are paid again and again, put on sale beside the seeded catalogue."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

from .operators import Row
from .shop import Cart, Line
from .system import System
from .wares import Offer, Rhythm, Ware, make_offers, until_on_sale

WARES: Final[Mapping[str, Ware]] = {
    "tea": Ware("Tea of the month", {"usd": 1200}, rhythm=Rhythm("month")),
    "cake": Ware("Cake of the month", {"usd": 450}, rhythm=Rhythm("month")),
    "almanac": Ware("Almanac of the year", {"usd": 9900}, rhythm=Rhythm("year")),
    "bread": Ware("Bread of every other week", {"usd": 700}, rhythm=Rhythm("week", 2)),
    "club": Ware("Membership, first two weeks free", {"usd": 1500}, rhythm=Rhythm("month", trial_days=14)),
}

Plans = Mapping[str, Offer]
"""By the ware's short name."""


async def put_on_sale(system: System, wares: Mapping[str, Ware] = WARES) -> Plans:
    """Make the prices, and wait until every gateway sells them."""
    offers = dict(zip(wares, await make_offers(system.stripe, wares.values()), strict=True))
    async with AsyncExitStack() as opened:
        shops = [
            await opened.enter_async_context(system.shop(gateway=number))
            for number in range(len(system.backend.addresses.gateways))
        ]
        await until_on_sale(shops, [offer.price_id for offer in offers.values()])
    return offers


def cart_of(system: System, plans: Plans, once: Mapping[str, int], again: Mapping[str, int]) -> Cart:
    """Fill a cart with seeded wares, which are shipped, and with plans."""
    shipped = system.cart(**once) if once else Cart([])
    lines = [*shipped.lines, *(Line(plans[name].price_id, quantity) for name, quantity in again.items())]
    return Cart(lines, shipping_option_id=shipped.shipping_option_id)


def plan_only(plans: Plans, **quantities: int) -> Cart:
    """Fill a cart with plans alone."""
    return Cart([Line(plans[name].price_id, quantity) for name, quantity in quantities.items()])


async def made_at_stripe(system: System, customer_id: str) -> list[dict[str, Any]]:
    """Return all Stripe subscriptions of a customer, ended ones too, newest first, with their latest invoices."""
    listed = await system.stripe.v1.subscriptions.list_async(
        {"customer": customer_id, "status": "all", "limit": 100, "expand": ["data.latest_invoice"]}
    )
    return [made.to_dict() async for made in listed.auto_paging_iter()]


async def end_all_subscriptions(system: System) -> None:
    """Cancel everything that is still charged, or may be."""
    listed = await system.stripe.v1.subscriptions.list_async({"limit": 100})
    for living in [one async for one in listed.auto_paging_iter()]:
        if living.status != "incomplete_expired":
            await system.stripe.v1.subscriptions.cancel_async(living.id)


async def invoices_at_stripe(system: System, stripe_subscription_id: str) -> list[dict[str, Any]]:
    """Return all invoices of a Stripe subscription, newest first."""
    listed = await system.stripe.v1.invoices.list_async({"subscription": stripe_subscription_id, "limit": 100})
    return [invoice.to_dict() async for invoice in listed.auto_paging_iter()]


def shown(subscription: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a row must say of a Stripe subscription."""
    latest = subscription["latest_invoice"]
    return {
        "stripe_subscription_id": subscription["id"],
        "status": subscription["status"],
        "current_period_end": max(item["current_period_end"] for item in subscription["items"]["data"]),
        "trial_end": subscription["trial_end"],
        "cancel_at_period_end": subscription["cancel_at_period_end"],
        "cancel_at": subscription["cancel_at"],
        "canceled_at": subscription["canceled_at"],
        "ended_at": subscription["ended_at"],
        "latest_invoice_id": latest["id"] if isinstance(latest, Mapping) else latest,
    }


def recorded(row: Row) -> dict[str, Any]:
    """Return what a row does say of its Stripe subscription, spelled as `shown` spells it."""
    moments = ("current_period_end", "trial_end", "cancel_at", "canceled_at", "ended_at")
    return {
        **{name: row[name] for name in ("stripe_subscription_id", "status", "latest_invoice_id")},
        "cancel_at_period_end": row["cancel_at_period_end"],
        **{name: row[name] and int(row[name].timestamp()) for name in moments},
    }


def billed(invoices: Sequence[Mapping[str, Any]]) -> set[tuple[Any, ...]]:
    """Return what rows must say of Stripe's invoices."""
    return {
        (one["id"], one["status"], one["billing_reason"], one["total"], one["amount_paid"], one["attempt_count"])
        for one in invoices
    }


def booked(rows: Sequence[Row]) -> set[tuple[Any, ...]]:
    """Return what rows do say of Stripe's invoices, spelled as `billed` spells it."""
    names = ("stripe_invoice_id", "status", "billing_reason", "total_minor", "amount_paid_minor", "attempt_count")
    return {tuple(row[name] for name in names) for row in rows}
