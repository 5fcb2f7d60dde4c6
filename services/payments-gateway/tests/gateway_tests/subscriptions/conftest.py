"""A gateway over a Stripe simulator for each test."""

from collections.abc import AsyncIterator

import pytest

from ..simulated_billing import Billing, simulated_billing


@pytest.fixture
async def billing() -> AsyncIterator[Billing]:
    """Give the use cases of subscriptions over a Stripe simulator."""
    async with simulated_billing() as opened:
        yield opened
