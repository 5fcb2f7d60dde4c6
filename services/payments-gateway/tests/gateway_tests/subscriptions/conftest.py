"""A gateway over a Stripe simulator for each test."""

from collections.abc import AsyncIterator

import pytest

from payments_gateway.stripe_api.intents import StripeIntents
from payments_gateway.stripe_api.subscriptions import StripeSubscriptions
from stripe_simulator.rate_limits import UNLIMITED
from stripe_simulator.settings import SimulatorSettings
from stripe_simulator.testing import simulated_stripe

from ..assembly import Gateway
from ..simulated_billing import Billing
from ..stripe_stand_in import roomy_limiter, stripe_client


@pytest.fixture
async def billing() -> AsyncIterator[Billing]:
    """Give the use cases of subscriptions over a Stripe simulator."""
    async with simulated_stripe(SimulatorSettings(seed=7, secret_key="sk_test_1", rate_limits=UNLIMITED)) as stripe:
        client = stripe_client(stripe.simulator.url, stripe.session, roomy_limiter(), max_retries=1)
        yield Billing(stripe, Gateway(StripeSubscriptions(client), payments=StripeIntents(client)))
