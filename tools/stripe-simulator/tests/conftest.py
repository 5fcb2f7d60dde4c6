"""A sim for every test: a fresh simulator in this process, driven by the official library over loopback."""

from collections.abc import AsyncIterator, Iterator

import pytest
import stripe

from stripe_simulator.testing import Receiver, SimulatedStripe, listening, simulated_stripe


@pytest.fixture(autouse=True, scope="session")
def _no_telemetry() -> Iterator[None]:
    """Keep the library from writing a telemetry file."""
    before = stripe.enable_telemetry
    stripe.enable_telemetry = False
    yield
    stripe.enable_telemetry = before


@pytest.fixture
async def sim() -> AsyncIterator[SimulatedStripe]:
    """Yield a simulator whose webhook retries are fast."""
    async with simulated_stripe() as ready:
        yield ready


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Yield a webhook receiver."""
    async with listening() as ready:
        yield ready
