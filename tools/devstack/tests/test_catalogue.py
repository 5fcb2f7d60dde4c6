from collections.abc import Iterator
from pathlib import Path

import pytest
import stripe

from devstack.catalogue import WARES, seed_catalogue
from devstack.services import SIMULATOR, Service
from devstack.stripe_access import StripeAccess


@pytest.fixture
def client(tmp_path: Path) -> Iterator[stripe.StripeClient]:
    """Run a simulator and make a client for it."""
    simulator = Service("stripe-simulator", SIMULATOR, tmp_path / "simulator.log")
    simulator.arguments = lambda port: ("--listen", f"127.0.0.1:{port}", "--secret-key", "sk_test_1")
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
    assert len(prices) == len(WARES)


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
