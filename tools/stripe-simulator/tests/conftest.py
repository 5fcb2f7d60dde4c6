"""A fresh simulator in this process for every test, called with the official library over loopback."""

from collections.abc import AsyncIterator, Iterator

import pytest
import stripe

from stripe_simulator.testing import Receiver, SimulatedStripe, simulated_stripe, webhook_receiver


@pytest.fixture(autouse=True, scope="session")
def _no_telemetry() -> Iterator[None]:
    """Keep the library from writing a telemetry file."""
    before = stripe.enable_telemetry
    stripe.enable_telemetry = False
    yield
    stripe.enable_telemetry = before


@pytest.fixture
async def sim() -> AsyncIterator[SimulatedStripe]:
    """Run a simulator whose webhook retries are fast."""
    async with simulated_stripe() as ready:
        yield ready


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Run a webhook receiver."""
    async with webhook_receiver() as ready:
        yield ready
