from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import stripe

from devstack.catalogue import PRODUCTS, seed_catalogue
from devstack.services import SIMULATOR, Service
from devstack.stripe_access import StripeAccess


@pytest.fixture
def client(tmp_path: Path) -> Iterator[stripe.StripeClient]:
    """Run a simulator and make a client for it."""
    with simulated(tmp_path) as client:
        yield client


@contextmanager
def simulated(folder: Path, *options: str) -> Iterator[stripe.StripeClient]:
    """Run a simulator with further options, and make a client for it."""
    simulator = Service("stripe-simulator", SIMULATOR, folder / "simulator.log")
    simulator.arguments = lambda port: ("--listen", f"127.0.0.1:{port}", "--secret-key", "sk_test_1", *options)
    try:
        simulator.start()
        yield StripeAccess(f"http://{simulator.address}", "sk_test_1", "pk_test_1").client()
    finally:
        simulator.stop()


def test_seeding_twice_adds_nothing(client: stripe.StripeClient) -> None:
    """The second run finds the products, prices and shipping rates of the first."""
    first = seed_catalogue(client)

    second = seed_catalogue(client)

    prices = client.v1.prices.list({"limit": 100}).data
    assert first == second
    assert len(prices) == len(PRODUCTS)


def test_the_simulators_sample_shop_is_this_catalogue(tmp_path: Path) -> None:
    """Who tries out the composed system finds what the stack sells, but for what no shop of ours may sell."""
    with simulated(tmp_path, "--sample-shop") as client:
        furnished = _on_sale(client)
        seed_catalogue(client)
        seeded = _on_sale(client)

    unsold = {f"holdfast_{product.slug}" for product in PRODUCTS if product.cheaper_by_the_dozen}
    assert {key: value for key, value in seeded.items() if key not in unsold} == furnished
    assert seeded.keys() - furnished.keys() == unsold


def test_some_wares_are_charged_again_and_again(client: stripe.StripeClient) -> None:
    """By the month, the year and the week, one after a trial; and one in tiers, which no shop of ours sells."""
    seeded = seed_catalogue(client)

    found = {slug: client.v1.prices.retrieve(price_id) for slug, price_id in seeded.prices.items()}
    recurring = {slug: price.recurring.interval for slug, price in found.items() if price.recurring}
    trials = {slug: price.metadata["trial_days"] for slug, price in found.items() if "trial_days" in price.metadata}
    tiered = [slug for slug, price in found.items() if price.billing_scheme == "tiered"]
    assert recurring == {
        "coffee": "month",
        "filters": "month",
        "almanac": "year",
        "gazette": "week",
        "crates": "month",
    }
    assert trials == {"gazette": "14"}
    assert tiered == ["crates"]


def _on_sale(client: stripe.StripeClient) -> dict[str, Any]:
    """Return what each price and shipping rate says, by the name that it is found again by."""
    prices = client.v1.prices.list({"limit": 100}).data
    rates = client.v1.shipping_rates.list({"limit": 100}).data
    names = {
        product.id: (product.name, product.description) for product in client.v1.products.list({"limit": 100}).data
    }
    return {
        **{
            str(price.lookup_key): (
                names[str(price.product)],
                (price.unit_amount, price.currency, price.metadata.to_dict()),
                price.recurring and (price.recurring.interval, price.recurring.interval_count),
            )
            for price in prices
        },
        **{rate.metadata["holdfast"]: (rate.display_name, rate.fixed_amount) for rate in rates},
    }
