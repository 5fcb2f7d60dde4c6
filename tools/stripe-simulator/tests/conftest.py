"""A stage for every test: a fresh simulator in this process, driven by the official library over loopback."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
import stripe

from stripe_simulator import Simulator, SimulatorSettings, WebhookSettings

from .harness import Receiver, Stage, client, listening

FAST_WEBHOOKS = WebhookSettings(backoff_base_seconds=0.005, backoff_max_seconds=0.02, max_attempts=5, timeout_seconds=2)


@asynccontextmanager
async def staged(settings: SimulatorSettings) -> AsyncIterator[Stage]:
    """Run a simulator with clients for it."""
    async with Simulator(settings) as simulator, aiohttp.ClientSession() as session:
        yield Stage(
            simulator=simulator,
            session=session,
            stripe=client(simulator, session, settings.secret_key),
            browser=client(simulator, session, settings.publishable_key),
        )


@pytest.fixture(autouse=True, scope="session")
def _no_telemetry() -> Iterator[None]:
    """Keep the library from writing a telemetry file."""
    before = stripe.enable_telemetry
    stripe.enable_telemetry = False
    yield
    stripe.enable_telemetry = before


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """Yield a simulator whose webhook retries are fast."""
    async with staged(SimulatorSettings(seed=7, webhooks=FAST_WEBHOOKS)) as ready:
        yield ready


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Yield a webhook receiver."""
    async with listening() as ready:
        yield ready
