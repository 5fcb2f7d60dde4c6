import json
from pathlib import Path
from typing import Any

import pytest
import stripe

from stripe_simulator.published_types import PublishedTypes
from stripe_simulator.scheduler import ScheduledActionsFailed
from stripe_simulator.strict_mode import PUBLISHED_TYPES_VARIABLE, StrictMode, strict_mode
from stripe_simulator.testing import SimulatedStripe, simulated_stripe


def published() -> dict[str, Any]:
    """Return types in which a customer has a key that the simulator does not know."""
    customer = {"type": "object", "properties": {}, "required": ["mood"], "additionalProperties": {}}
    anything: dict[str, Any] = {}
    event = {"type": "object", "properties": {"data": {"$ref": "data"}}, "required": [], "additionalProperties": {}}
    data = {
        "type": "object",
        "properties": {"object": {"$ref": "customer"}},
        "required": [],
        "additionalProperties": {},
    }
    return {
        "version": "1",
        "objects": {"customer": [{"$ref": "customer"}]},
        "events": {"customer.created": {"$ref": "event"}},
        "error": anything,
        "error_codes": anything,
        "definitions": {"customer": customer, "event": event, "data": data},
    }


async def create_customer(sim: SimulatedStripe) -> None:
    """Create a customer, which answers an object and sends an event."""
    await sim.api.v1.customers.create_async({}, {"max_network_retries": 0})


async def test_a_deviation_fails_the_call(caplog: pytest.LogCaptureFixture) -> None:
    """No test goes on with an object that Stripe would not send. The log says what is wrong with it."""
    async with simulated_stripe(observe=StrictMode(PublishedTypes(published()))) as sim:
        with pytest.raises(stripe.APIError):
            await create_customer(sim)

    assert "customer.mood: required key missing" in caplog.text


async def test_a_deviation_of_a_scheduled_action_fails_the_test() -> None:
    """Nobody calls, so the end of the simulator tells it."""
    with pytest.raises(ScheduledActionsFailed, match=r"customer\.mood"):
        await publish_a_second_later()


async def publish_a_second_later() -> None:
    """Run a strict simulator that sends an event by itself."""
    async with simulated_stripe(observe=StrictMode(PublishedTypes(published()))) as sim:
        account = sim.simulator.state.account
        account.scheduler.add(1.0, lambda: account.publish("customer.created", {"id": "cus_1", "object": "customer"}))
        account.clock.advance(2.0)
        account.scheduler.run_due()


async def test_the_environment_switches_it_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable names the file with the types. Without it the simulator checks nothing."""
    file = tmp_path / "types.json"
    file.write_text(json.dumps(published()))
    monkeypatch.setenv(PUBLISHED_TYPES_VARIABLE, str(file))

    async with simulated_stripe() as strict:
        with pytest.raises(stripe.APIError):
            await create_customer(strict)
    monkeypatch.delenv(PUBLISHED_TYPES_VARIABLE)
    async with simulated_stripe() as lenient:
        await create_customer(lenient)

    assert strict_mode() is None
