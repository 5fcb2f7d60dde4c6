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
