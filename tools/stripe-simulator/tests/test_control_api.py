from typing import Any

import pytest

from stripe_simulator import Simulator, SimulatorSettings
from stripe_simulator.testing import CHECKOUT, Receiver, SimulatedStripe


async def test_requests_are_on_record(sim: SimulatedStripe) -> None:
    """A test can see what was sent to Stripe: parameters, metadata, key and answer."""
    params: Any = CHECKOUT
    await sim.api.v1.payment_intents.create_async(params, {"idempotency_key": "a-key"})
    await sim.api.v1.prices.list_async({"active": True})

    found = await sim.control("GET", "/requests?method=POST&path=/v1/payment_*")

    (request,) = found["data"]
    assert found["total"] == 2
    assert request["params"] == {"amount": "1999", "currency": "usd", "metadata": {"checkoutAttemptId": "an-attempt"}}
    assert (request["idempotency_key"], request["status"], request["replayed"]) == ("a-key", 200, False)
    assert request["stripe_version"] == "2026-10-28.endive"


async def test_requests_are_read_on_from_a_number(sim: SimulatedStripe) -> None:
    """Numbers go on when the log is emptied."""
    await sim.intent()
    await sim.control("DELETE", "/requests")
    await sim.intent()
    await sim.intent()

    found = await sim.control("GET", "/requests?after=2")

    assert [request["number"] for request in found["data"]] == [3]


async def test_knobs_are_not_on_record(sim: SimulatedStripe) -> None:
    """Only API requests are listed."""
    intent = await sim.intent()
    await sim.pay(intent.id)

    found = await sim.control("GET", "/requests")

    assert [request["path"] for request in found["data"]] == ["/v1/payment_intents"]


async def test_reset_begins_again(sim: SimulatedStripe, receiver: Receiver) -> None:
    """After a reset nothing is left, and the same calls give the same ids."""
    await sim.subscribe(receiver)
    before = await sim.intent()
    await sim.control("POST", "/clock/advance", {"seconds": 60})

    await sim.control("POST", "/reset")

    state = await sim.control("GET", "/state")
    await sim.subscribe(receiver)
    after = await sim.intent()
    assert set(state["objects"].values()) == {0}
    assert (state["requests"], state["clock"]["added_seconds"]) == (0, 0.0)
    assert (after.id, after.client_secret) == (before.id, before.client_secret)


@pytest.mark.parametrize(("seed", "same"), [(7, True), (8, False)])
async def test_ids_follow_the_seed(sim: SimulatedStripe, seed: int, same: bool) -> None:  # noqa: FBT001 - a parameter
    """The same seed gives the same ids and secrets, another seed others."""
    url = "https://shop.example/webhook"
    key = {"Authorization": f"Bearer {sim.simulator.settings.secret_key}"}
    ids = []

    async with Simulator(SimulatorSettings(seed=seed)) as other:
        for simulator in (sim.simulator, other):
            form = {"url": url, "enabled_events[]": "*"}
            async with sim.session.post(simulator.url + "/v1/webhook_endpoints", data=form, headers=key) as made:
                body = await made.json()
                ids.append((body["id"], body["secret"], made.headers["Request-Id"]))

    assert (ids[0] == ids[1]) is same


async def test_the_state_counts(sim: SimulatedStripe) -> None:
    """Counters tell statuses and sums without listing anything."""
    paid, open_intent = await sim.intent(), await sim.intent(amount=500)
    await sim.pay(paid.id)

    state = await sim.control("GET", "/state")

    assert open_intent.amount == 500
    assert state["payment_intents"] == {"succeeded": 1, "requires_payment_method": 1}
    assert (state["charges"], state["amount_received"]) == ({"succeeded": 1}, {"usd": 1999})


async def test_the_clock_moves_only_forward(sim: SimulatedStripe) -> None:
    """Objects are created by the simulator's clock; it does not go back."""
    before = await sim.intent()
    clock = await sim.control("POST", "/clock/advance", {"seconds": 86400})
    after = await sim.intent()

    await sim.control("POST", "/clock/advance", {"seconds": -1}, status=422)

    assert clock["added_seconds"] == 86400
    assert 86400 <= after.created - before.created <= 86410


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/faults", {"kind": "earthquake"}),
        ("/faults", {"kind": "rate_limit", "colour": "red"}),
        ("/webhooks/rules", {"copies": 0}),
        ("/payment_intents/pi_1/pay", {"cash": 5}),
    ],
)
async def test_knobs_refuse_what_they_do_not_know(sim: SimulatedStripe, path: str, body: Any) -> None:
    """A mistyped knob is an error, not a test that proves nothing."""
    answer = await sim.control("POST", path, body, status=422)

    assert answer["error"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/nothing"), ("DELETE", "/faults/fault_9"), ("DELETE", "/webhooks/rules/rule_9"), ("PUT", "/faults")],
)
async def test_knobs_that_do_not_exist_are_404(sim: SimulatedStripe, method: str, path: str) -> None:
    """Unknown knobs and ids are 404."""
    answer = await sim.control(method, path, status=404)

    assert answer["error"]


async def test_paying_an_unknown_intent_is_404(sim: SimulatedStripe) -> None:
    """The buyer cannot pay what does not exist."""
    answer = await sim.control("POST", "/payment_intents/pi_nothing/pay", {}, status=404)

    assert answer["error"]["code"] == "resource_missing"


async def test_health_needs_no_key(sim: SimulatedStripe) -> None:
    """Whoever waits for the simulator can ask whether it is up."""
    answer = await sim.control("GET", "/health")

    assert answer == {"status": "ok"}


async def test_it_is_not_up_while_it_is_prepared(sim: SimulatedStripe) -> None:
    """Who waits for it finds everything that it was to begin with."""
    sim.simulator.preparing = True
    before = await sim.control("GET", "/health", status=503)
    sim.simulator.preparing = False

    assert before == {"status": "preparing"}
    assert await sim.control("GET", "/health") == {"status": "ok"}
