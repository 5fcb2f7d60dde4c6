import asyncio
from typing import Any

import pytest
import stripe

from stripe_simulator.sample_shop import create_sample_shop
from stripe_simulator.testing import SimulatedStripe


async def product(sim: SimulatedStripe, **params: Any) -> stripe.Product:
    """Create a product."""
    given: Any = {"name": "Tea", **params}
    return await sim.api.v1.products.create_async(given)


async def price(sim: SimulatedStripe, **params: Any) -> stripe.Price:
    """Create a price, for a new product unless one is given."""
    given: Any = {"currency": "usd", "unit_amount": 1200, "product_data": {"name": "Tea"}, **params}
    if "product" in params:
        del given["product_data"]
    given = {name: value for name, value in given.items() if value is not None}
    return await sim.api.v1.prices.create_async(given)


async def test_a_product_id_can_be_chosen_once(sim: SimulatedStripe) -> None:
    """The second time it is taken."""
    made = await product(sim, id="tea", description="Green", images=["https://shop.example/tea.png"])

    with pytest.raises(stripe.InvalidRequestError) as refused:
        await product(sim, id="tea")

    assert (made.id, made.active, made.description) == ("tea", True, "Green")
    assert refused.value.code == "resource_already_exists"


async def test_an_update_publishes_the_previous_attributes(sim: SimulatedStripe) -> None:
    """One without effect publishes no event."""
    made = await price(sim, nickname="Old")
    for _ in range(2):
        await sim.api.v1.prices.update_async(made.id, {"nickname": "New", "active": False})

    events = (await sim.api.v1.events.list_async({"type": "price.updated"})).data

    assert [event.to_dict()["data"]["previous_attributes"] for event in events] == [{"nickname": "Old", "active": True}]


async def test_prices_are_one_time_or_recurring(sim: SimulatedStripe) -> None:
    """The amount is an integer and a decimal."""
    tea = await product(sim)

    once = await price(sim, product=tea.id, metadata={"shelf": "a"})
    monthly = await price(sim, recurring={"interval": "month"})

    assert (once.type, once.billing_scheme, once.product, once.recurring) == ("one_time", "per_unit", tea.id, None)
    assert (once.unit_amount, str(once.unit_amount_decimal), once.metadata["shelf"]) == (1200, "1200", "a")
    assert monthly.type == "recurring"
    assert monthly.recurring
    assert (monthly.recurring.interval, monthly.recurring.interval_count) == ("month", 1)


async def test_tiers_are_shown_only_when_expanded(sim: SimulatedStripe) -> None:
    """A tiered price has no amount of its own."""
    made = await price(
        sim,
        unit_amount=None,
        billing_scheme="tiered",
        tiers_mode="volume",
        tiers=[{"up_to": 10, "unit_amount": 500}, {"up_to": "inf", "unit_amount": 400}],
    )

    expanded = await sim.api.v1.prices.retrieve_async(made.id, {"expand": ["tiers"]})

    assert (made.billing_scheme, made.unit_amount) == ("tiered", None)
    assert "tiers" not in made.to_dict()
    assert [tier.up_to for tier in expanded.tiers or ()] == [10, None]


@pytest.mark.parametrize(
    "params",
    [
        {"unit_amount": -1},
        {"unit_amount": None},
        {"tiers_mode": "volume"},
        {"billing_scheme": "tiered"},
        {"product": "prod_nothing"},
        {"currency": "xyz"},
        {"recurring": {"interval": "year", "interval_count": 4}},
    ],
    ids=str,
)
async def test_contradictory_prices_are_refused(sim: SimulatedStripe, params: Any) -> None:
    """Wrong amounts, incomplete tiers, unknown products and currencies, and too long intervals."""
    with pytest.raises(stripe.InvalidRequestError):
        await price(sim, **params)


@pytest.mark.parametrize("name", ["unit_amount", "currency", "product", "recurring"])
async def test_the_amount_of_a_price_is_immutable(sim: SimulatedStripe, name: str) -> None:
    """The update call does not have these parameters."""
    made = await price(sim)
    change: Any = {name: "x"}

    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.api.v1.prices.update_async(made.id, change)

    assert refused.value.code == "parameter_unknown"


async def test_prices_are_filtered(sim: SimulatedStripe) -> None:
    """By activity, currency, product, type, interval and lookup key."""
    tea = await product(sim)
    plain = await price(sim, product=tea.id, lookup_key="tea")
    euro = await price(sim, currency="eur", active=False)
    monthly = await price(sim, recurring={"interval": "month"})
    filters: list[tuple[Any, set[str]]] = [
        ({"active": True}, {plain.id, monthly.id}),
        ({"currency": "eur"}, {euro.id}),
        ({"product": tea.id}, {plain.id}),
        ({"type": "recurring"}, {monthly.id}),
        ({"recurring": {"interval": "month"}}, {monthly.id}),
        ({"recurring": {"interval": "year"}}, set()),
        ({"lookup_keys": ["tea"]}, {plain.id}),
    ]

    found = [await sim.api.v1.prices.list_async(given) for given, _ in filters]

    assert [{each.id for each in page.data} for page in found] == [ids for _, ids in filters]
    with pytest.raises(stripe.InvalidRequestError, match="already uses that lookup key"):
        await price(sim, lookup_key="tea")


async def test_the_sample_shop_is_created_once(sim: SimulatedStripe) -> None:
    """Creating it again adds nothing. Every price but the tiered one can be sold."""
    client = stripe.StripeClient(
        sim.simulator.settings.secret_key,
        base_addresses={"api": sim.simulator.url},
        http_client=stripe.UrllibClient(),
    )

    for _ in range(2):
        await asyncio.to_thread(create_sample_shop, client)

    prices = (await sim.api.v1.prices.list_async({"limit": 100})).data
    rates = (await sim.api.v1.shipping_rates.list_async()).data
    assert len(prices) == len({each.lookup_key for each in prices}) == 9
    assert [each.lookup_key for each in prices if each.unit_amount is None] == ["holdfast_crates"]
    assert {each.metadata["holdfast"] for each in rates} == {"standard", "express"}
    assert len(rates) == 2
