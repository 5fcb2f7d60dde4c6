from typing import Any

import pytest

from stripe_simulator import Simulator, SimulatorSettings
from stripe_simulator.scheduler import ScheduledActionsFailed
from stripe_simulator.testing import CHECKOUT, Receiver, SimulatedStripe, simulated_stripe


async def test_api_requests_are_logged(sim: SimulatedStripe) -> None:
    """With parameters, key and status, and filtered by method, path and number. Control requests are not logged."""
    params: Any = CHECKOUT
    intent = await sim.api.v1.payment_intents.create_async(params, {"idempotency_key": "a-key"})
    await sim.pay(intent.id)
    await sim.api.v1.prices.list_async({"active": True})

    posts = await sim.control("GET", "/requests?method=POST&path=/v1/payment_*")
    later = await sim.control("GET", "/requests?after=1")

    (request,) = posts["data"]
    assert posts["total"] == 2
    assert request["params"] == {"amount": "1999", "currency": "usd", "metadata": {"checkoutAttemptId": "an-attempt"}}
    assert (request["idempotency_key"], request["status"], request["replayed"]) == ("a-key", 200, False)
    assert request["stripe_version"] == "2026-10-28.endive"
    assert [(each["number"], each["path"]) for each in later["data"]] == [(2, "/v1/prices")]


async def test_a_reset_starts_from_the_seed(sim: SimulatedStripe, receiver: Receiver) -> None:
    """Nothing is left, and the same calls give the same ids."""
    await sim.subscribe(receiver)
    before = await sim.intent()

    await sim.control("POST", "/reset")

    assert (await sim.control("GET", "/requests"))["total"] == 0
    assert (await sim.api.v1.webhook_endpoints.list_async()).data == []
    await sim.control("POST", "/reset")
    await sim.subscribe(receiver)
    after = await sim.intent()
    assert (after.id, after.client_secret) == (before.id, before.client_secret)


@pytest.mark.parametrize(("seed", "same"), [(7, True), (8, False)])
async def test_ids_depend_on_the_seed(sim: SimulatedStripe, seed: int, *, same: bool) -> None:
    """The same seed gives the same ids and secrets, another seed others."""
    key = {"Authorization": f"Bearer {sim.simulator.settings.secret_key}"}
    form = {"url": "https://shop.example/webhook", "enabled_events[]": "*"}
    ids = []

    async with Simulator(SimulatorSettings(seed=seed)) as other:
        for simulator in (sim.simulator, other):
            async with sim.session.post(simulator.url + "/v1/webhook_endpoints", data=form, headers=key) as made:
                body = await made.json()
                ids.append((body["id"], body["secret"], made.headers["Request-Id"]))

    assert (ids[0] == ids[1]) is same


async def test_the_clock_only_advances(sim: SimulatedStripe) -> None:
    """Objects are created at the simulated time."""
    before = await sim.intent()
    clock = await sim.control("POST", "/clock/advance", {"seconds": 86400})
    after = await sim.intent()

    await sim.control("POST", "/clock/advance", {"seconds": -1}, status=422)

    assert 86400 <= after.created - before.created <= 86410
    assert clock["now"] >= before.created + 86400


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/faults", {"kind": "earthquake"}, 422),
        ("POST", "/faults", {"kind": "rate_limit", "colour": "red"}, 422),
        ("POST", "/webhooks/rules", {"copies": 0}, 422),
        ("POST", "/payment_intents/pi_1/pay", {"cash": 5}, 422),
        ("POST", "/payment_intents/pi_nothing/pay", {}, 404),
        ("DELETE", "/faults/fault_9", None, 404),
        ("GET", "/nothing", None, 404),
        ("PUT", "/faults", None, 404),
    ],
)
async def test_a_wrong_request_is_an_error(
    sim: SimulatedStripe, method: str, path: str, body: Any, status: int
) -> None:
    """A misspelt one would otherwise make a test prove nothing."""
    answer = await sim.control(method, path, body, status=status)

    assert answer["error"]


async def test_health_is_503_until_the_simulator_is_ready(sim: SimulatedStripe) -> None:
    """It needs no key."""
    sim.simulator.preparing = True
    before = await sim.control("GET", "/health", status=503)
    sim.simulator.preparing = False

    assert before == {"status": "preparing"}
    assert await sim.control("GET", "/health") == {"status": "ok"}


async def test_a_failed_scheduled_action_is_an_error_of_the_simulator() -> None:
    """The advance, the health check and the end of the test tell it. Later actions still run."""
    ran: list[str] = []

    async def advance_over_two_actions() -> None:
        async with simulated_stripe() as sim:
            scheduler = sim.simulator.state.account.scheduler
            scheduler.add(1.0, lambda: ran.append(str(1 // 0)))
            scheduler.add(2.0, lambda: ran.append("later"))
            await sim.control("POST", "/clock/advance", {"seconds": 3}, status=500)
            await sim.control("GET", "/health", status=500)

    with pytest.raises(ScheduledActionsFailed, match="ZeroDivisionError"):
        await advance_over_two_actions()
    assert ran == ["later"]


async def test_a_reset_tells_a_failed_scheduled_action(sim: SimulatedStripe) -> None:
    """It resets, and the failure is told once more before it is forgotten."""
    ran: list[int] = []
    sim.simulator.state.account.scheduler.add(0.0, lambda: ran.append(1 // 0))
    await sim.control("POST", "/clock/advance", {"seconds": 1}, status=500)

    await sim.control("POST", "/reset", status=500)

    assert await sim.control("GET", "/health") == {"status": "ok"}


async def test_events_of_a_moment_are_delivered_before_the_next(sim: SimulatedStripe, receiver: Receiver) -> None:
    """An advance over two scheduled moments delivers the first one's events as of the first."""
    await sim.subscribe(receiver, "customer.updated")
    account = sim.simulator.state.account
    seen: list[int] = []
    customer = account["customers"].get((await sim.api.v1.customers.create_async({})).id)
    account.scheduler.add(10.0, lambda: account.publish("customer.updated", customer))
    account.scheduler.add(20.0, lambda: seen.append(len(receiver.received)))

    await sim.control("POST", "/clock/advance", {"seconds": 30})

    assert seen == [1]
