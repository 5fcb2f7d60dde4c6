from decimal import Decimal
from typing import Any

import pytest
import stripe

from stripe_simulator.testing import SimulatedStripe


async def product(sim: SimulatedStripe, **params: Any) -> stripe.Product:
    """Create a product."""
    given: Any = {"name": "Tea", **params}
    return await sim.api.v1.products.create_async(given)


async def price(sim: SimulatedStripe, **params: Any) -> stripe.Price:
    """Create a price, for a product of its own unless one is given."""
    given: Any = {"currency": "usd", "unit_amount": 1200, "product_data": {"name": "Tea"}, **params}
    if "product" in params:
        del given["product_data"]
    return await sim.api.v1.prices.create_async(given)


async def test_products_are_created_updated_listed_and_deleted(sim: SimulatedStripe) -> None:
    """A product's life, with the events that tell of it."""
    made = await product(sim, description="Green", images=["https://shop.example/tea.png"])
    renamed = await sim.api.v1.products.update_async(made.id, {"name": "Green tea", "active": False})
    inactive = await sim.api.v1.products.list_async({"active": False})

    deleted = await sim.api.v1.products.delete_async(made.id)

    assert (made.active, made.description, made.livemode) == (True, "Green", False)
    assert (renamed.name, renamed.active) == ("Green tea", False)
    assert [each.id for each in inactive.data] == [made.id]
    assert deleted.deleted
    assert await sim.event_types() == ["product.created", "product.updated", "product.deleted"]


async def test_an_update_tells_what_was_before(sim: SimulatedStripe) -> None:
    """`previous_attributes` holds the old values of what changed; an update without effect makes no event."""
    made = await product(sim)
    await sim.api.v1.products.update_async(made.id, {"name": "Green tea"})
    await sim.api.v1.products.update_async(made.id, {"name": "Green tea"})

    events = await sim.api.v1.events.list_async({"type": "product.updated"})

    assert len(events.data) == 1
    assert events.data[0].to_dict()["data"]["previous_attributes"]["name"] == "Tea"


async def test_product_ids_can_be_chosen_once(sim: SimulatedStripe) -> None:
    """A chosen id is used, and taken afterwards."""
    made = await product(sim, id="tea")

    with pytest.raises(stripe.InvalidRequestError) as refused:
        await product(sim, id="tea")

    assert made.id == "tea"
    assert refused.value.code == "resource_already_exists"


async def test_one_time_prices(sim: SimulatedStripe) -> None:
    """A price has its amount twice, as integer and as decimal, and the id of its product."""
    tea = await product(sim)

    made = await price(sim, product=tea.id, metadata={"shelf": "a"})

    assert (made.type, made.billing_scheme, made.active, made.recurring) == ("one_time", "per_unit", True, None)
    assert (made.unit_amount, made.unit_amount_decimal) == (1200, Decimal(1200))
    assert (made.product, made.metadata["shelf"]) == (tea.id, "a")


async def test_recurring_prices(sim: SimulatedStripe) -> None:
    """A recurring price tells how often, and has a limit of three years."""
    monthly = await price(sim, recurring={"interval": "month"})

    with pytest.raises(stripe.InvalidRequestError):
        await price(sim, recurring={"interval": "year", "interval_count": 4})

    assert monthly.type == "recurring"
    assert monthly.recurring
    assert (monthly.recurring.interval, monthly.recurring.interval_count) == ("month", 1)
    assert monthly.recurring.usage_type == "licensed"


async def test_fractions_of_a_minor_unit_have_no_integer(sim: SimulatedStripe) -> None:
    """A decimal amount with a fraction leaves `unit_amount` null; a whole one does not."""
    nails: Any = {"currency": "usd", "product_data": {"name": "Nails"}}
    half: Any = {**nails, "unit_amount_decimal": Decimal("0.5")}
    fifty: Any = {**nails, "unit_amount_decimal": Decimal("50.0")}

    fraction = await sim.api.v1.prices.create_async(half)
    whole = await sim.api.v1.prices.create_async(fifty)

    assert (fraction.unit_amount, fraction.unit_amount_decimal) == (None, Decimal("0.5"))
    assert (whole.unit_amount, whole.unit_amount_decimal) == (50, Decimal(50))


async def test_tiers_show_only_when_expanded(sim: SimulatedStripe) -> None:
    """A tiered price has no amount; its tiers are included on demand."""
    tiers: Any = [{"up_to": 10, "unit_amount": 500}, {"up_to": "inf", "unit_amount": 400}]
    params: Any = {
        "currency": "usd",
        "product_data": {"name": "Seats"},
        "billing_scheme": "tiered",
        "tiers_mode": "volume",
        "tiers": tiers,
        "recurring": {"interval": "month"},
    }
    made = await sim.api.v1.prices.create_async(params)

    expanded = await sim.api.v1.prices.retrieve_async(made.id, {"expand": ["tiers"]})

    assert (made.billing_scheme, made.unit_amount) == ("tiered", None)
    assert "tiers" not in made.to_dict()
    assert expanded.tiers
    assert [tier.up_to for tier in expanded.tiers] == [10, None]


@pytest.mark.parametrize(
    "params",
    [
        {"unit_amount": -1},
        {"unit_amount_decimal": Decimal(5)},
        {"tiers_mode": "volume"},
        {"billing_scheme": "tiered"},
        {"product": "prod_nothing"},
        {"currency": "xyz"},
    ],
    ids=str,
)
async def test_contradictory_prices_are_refused(sim: SimulatedStripe, params: Any) -> None:
    """Negative amounts, two amounts, half a tier table, unknown products and currencies."""
    with pytest.raises(stripe.InvalidRequestError):
        await price(sim, **params)


@pytest.mark.parametrize("name", ["unit_amount", "currency", "product", "recurring"])
async def test_a_price_never_changes_its_amount(sim: SimulatedStripe, name: str) -> None:
    """What a price asks for is immutable: the update call does not know the parameters."""
    made = await price(sim)
    change: Any = {name: "x"}

    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.api.v1.prices.update_async(made.id, change)

    assert refused.value.code == "parameter_unknown"


async def test_prices_are_deactivated_and_annotated(sim: SimulatedStripe) -> None:
    """`active`, nickname and metadata do change."""
    made = await price(sim)

    updated = await sim.api.v1.prices.update_async(made.id, {"active": False, "nickname": "Old"})

    assert (updated.active, updated.nickname) == (False, "Old")
    assert (await sim.event_types())[-1] == "price.updated"


async def test_prices_are_listed_by_what_they_are(sim: SimulatedStripe) -> None:
    """Lists filter by activity, currency, product, type, interval and lookup key."""
    tea = await product(sim)
    plain = await price(sim, product=tea.id, lookup_key="tea")
    euro = await price(sim, currency="eur", active=False)
    monthly = await price(sim, recurring={"interval": "month"})
    filters: list[tuple[Any, set[str]]] = [
        ({"active": True}, {plain.id, monthly.id}),
        ({"active": False}, {euro.id}),
        ({"currency": "eur"}, {euro.id}),
        ({"product": tea.id}, {plain.id}),
        ({"type": "recurring"}, {monthly.id}),
        ({"recurring": {"interval": "month"}}, {monthly.id}),
        ({"recurring": {"interval": "year"}}, set()),
        ({"lookup_keys": ["tea"]}, {plain.id}),
    ]

    found = [await sim.api.v1.prices.list_async(given) for given, _ in filters]

    assert [{each.id for each in page.data} for page in found] == [ids for _, ids in filters]


async def test_lookup_keys_belong_to_one_price(sim: SimulatedStripe) -> None:
    """A key that is taken is refused, or transferred when that is asked for."""
    first = await price(sim, lookup_key="tea")
    with pytest.raises(stripe.InvalidRequestError, match="already uses that lookup key"):
        await price(sim, lookup_key="tea")

    second = await price(sim, lookup_key="tea", transfer_lookup_key=True)

    assert second.lookup_key == "tea"
    assert (await sim.api.v1.prices.retrieve_async(first.id)).lookup_key is None


async def test_a_product_with_prices_cannot_be_deleted(sim: SimulatedStripe) -> None:
    """Prices hold on to their product."""
    made = await price(sim)

    with pytest.raises(stripe.InvalidRequestError, match="one or more user-created prices"):
        await sim.api.v1.products.delete_async(str(made.product))


async def test_shipping_rates(sim: SimulatedStripe) -> None:
    """Rates have a name and a fixed amount, and are switched off rather than deleted."""
    amount: Any = {"amount": 500, "currency": "usd"}
    estimate: Any = {"minimum": {"unit": "business_day", "value": 2}}
    rate = await sim.api.v1.shipping_rates.create_async(
        {"display_name": "Ground", "type": "fixed_amount", "fixed_amount": amount, "delivery_estimate": estimate}
    )
    off = await sim.api.v1.shipping_rates.update_async(rate.id, {"active": False})

    active = await sim.api.v1.shipping_rates.list_async({"active": True})

    assert rate.id.startswith("shr_")
    assert rate.fixed_amount
    assert (rate.fixed_amount.amount, rate.fixed_amount.currency) == (500, "usd")
    assert (off.active, active.data) == (False, [])
    assert (await sim.api.v1.shipping_rates.retrieve_async(rate.id)).display_name == "Ground"
