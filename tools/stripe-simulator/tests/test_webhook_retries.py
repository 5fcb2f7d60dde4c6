"""Retries on Stripe's schedule, on the simulated clock."""

from dataclasses import replace
from typing import Any

import pytest

from stripe_simulator.settings import WebhookSettings
from stripe_simulator.testing import SETTINGS, Receiver, SimulatedStripe, simulated_stripe

HOUR = 3600
DAY = 24 * HOUR
SCHEDULED = replace(SETTINGS, webhooks=WebhookSettings())


async def advance(sim: SimulatedStripe, seconds: float) -> None:
    """Advance the clock."""
    await sim.control("POST", "/clock/advance", {"seconds": seconds})


async def delivery(sim: SimulatedStripe) -> dict[str, Any]:
    """Return the newest delivery."""
    await sim.wait_until_idle()
    newest: dict[str, Any] = (await sim.control("GET", "/webhooks/deliveries"))["data"][-1]
    return newest


@pytest.mark.parametrize(
    ("secret_key", "attempts_by_hour"),
    [
        ("sk_test_1", {0.1: 1, 0.2: 2, 1.1: 3, 4.1: 4, 100: 4}),
        ("sk_live_1", {0.1: 2, 0.6: 3, 2.1: 4, 4.1: 5, 8.1: 6, 16.1: 7, 24.1: 8, 48.1: 9, 72.1: 10, 200: 10}),
    ],
    ids=["test mode", "live mode"],
)
async def test_retries_follow_stripes_schedule(
    receiver: Receiver, secret_key: str, attempts_by_hour: dict[float, int]
) -> None:
    """Three times over some hours in test mode, for three days in live mode."""
    async with simulated_stripe(replace(SCHEDULED, secret_key=secret_key)) as sim:
        await sim.subscribe(receiver, "payment_intent.created")
        receiver.statuses = [500] * 20
        await sim.intent()
        seen, passed = {}, 0.0
        first = await delivery(sim)
        for hour in attempts_by_hour:
            await advance(sim, (hour - passed) * HOUR)
            passed = hour
            seen[hour] = (await delivery(sim))["attempts"]
        last = await delivery(sim)

    assert seen == attempts_by_hour
    assert (first["state"], last["state"]) == ("pending", "failed")


async def test_a_retry_succeeds(receiver: Receiver) -> None:
    """Then there is no other one, though the clock jumps over all of them."""
    async with simulated_stripe(SCHEDULED) as sim:
        await sim.subscribe(receiver, "payment_intent.created")
        receiver.statuses = [500, 503]
        await sim.intent()
        await sim.wait_until_idle()

        await advance(sim, 30 * DAY)

        assert (await delivery(sim))["state"] == "delivered"
    assert len(receiver.received) == 3


async def test_nothing_is_retried_at_an_endpoint_that_was_disabled(receiver: Receiver) -> None:
    """It is given up at the next moment of the schedule."""
    async with simulated_stripe(SCHEDULED) as sim:
        endpoint = await sim.subscribe(receiver, "payment_intent.created")
        receiver.statuses = [500]
        await sim.intent()
        await sim.wait_until_idle()
        await sim.api.v1.webhook_endpoints.update_async(endpoint.id, {"disabled": True})

        await advance(sim, DAY)

        assert (await delivery(sim))["state"] == "failed"
    assert len(receiver.received) == 1


@pytest.mark.parametrize(("recovers", "status"), [(False, "disabled"), (True, "enabled")])
async def test_an_endpoint_that_fails_for_nine_days_is_disabled(
    receiver: Receiver, status: str, *, recovers: bool
) -> None:
    """One success in between and it stays."""
    async with simulated_stripe(SCHEDULED) as sim:
        endpoint = await sim.subscribe(receiver, "payment_intent.created")
        for day in range(10):
            receiver.statuses = [200] if recovers and day == 5 else [500] * 4
            await sim.intent()
            await sim.wait_until_idle()
            await advance(sim, DAY)

        assert (await sim.api.v1.webhook_endpoints.retrieve_async(endpoint.id)).status == status
