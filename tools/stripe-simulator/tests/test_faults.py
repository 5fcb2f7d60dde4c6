import asyncio
import json
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
import stripe

from stripe_simulator.testing import CHECKOUT, SimulatedStripe

PATH = "/v1/payment_intents"
FORM = {"amount": "1999", "currency": "usd", "metadata[checkoutAttemptId]": "an-attempt"}


async def add_fault(sim: SimulatedStripe, kind: str, **given: Any) -> str:
    """Add a fault for creating intents and return its id."""
    fault = await sim.control("POST", "/faults", {"kind": kind, "method": "POST", "path": PATH, **given})
    return str(fault["id"])


async def create(sim: SimulatedStripe, key: str = "a-key") -> stripe.PaymentIntent:
    """Create an intent under a key."""
    params: Any = CHECKOUT
    return await sim.api.v1.payment_intents.create_async(params, {"idempotency_key": key})


async def raw_create(sim: SimulatedStripe) -> tuple[int, Mapping[str, str], bytes]:
    """Create an intent under the same key. Return status, headers and body as they arrive."""
    headers = {"Authorization": f"Bearer {sim.simulator.settings.secret_key}", "Idempotency-Key": "a-key"}
    async with sim.session.post(sim.simulator.url + PATH, data=FORM, headers=headers) as answer:
        return answer.status, answer.headers, await answer.read()


async def intents(sim: SimulatedStripe) -> int:
    """Return the number of intents."""
    return len((await sim.api.v1.payment_intents.list_async({"limit": 100})).data)


@pytest.mark.parametrize(
    ("kind", "status", "code", "made"),
    [
        ("error_unsaved", 500, None, 0),
        ("error_before", 500, None, 0),
        ("error_after", 500, None, 1),
        ("rate_limit", 429, "rate_limit", 0),
        ("lock_timeout", 429, "lock_timeout", 0),
        ("unauthorized", 401, "api_key_expired", 0),
        ("forbidden", 403, None, 0),
        ("key_in_use", 409, "idempotency_key_in_use", 0),
        ("key_mismatch", 400, None, 0),
    ],
)
async def test_errors(sim: SimulatedStripe, kind: str, status: int, code: str | None, made: int) -> None:
    """The error has Stripe's envelope, and `Retry-After` only if the fault has one."""
    await add_fault(sim, kind)

    answered, headers, body = await raw_create(sim)

    assert (answered, json.loads(body)["error"].get("code")) == (status, code)
    assert "Retry-After" not in headers
    assert await intents(sim) == made


@pytest.mark.parametrize(
    ("kind", "made"), [("reset_before", 0), ("reset_after", 1), ("proxy_error_before", 0), ("proxy_error_after", 1)]
)
async def test_a_lost_response_is_found_by_a_retry(sim: SimulatedStripe, kind: str, made: int) -> None:
    """A retry with the same key ends with one intent, whether or not the lost call took effect."""
    await add_fault(sim, kind)

    with pytest.raises(stripe.APIConnectionError if kind.startswith("reset") else stripe.APIError):
        await create(sim)
    after_the_fault = await intents(sim)
    await create(sim)

    assert after_the_fault == made
    assert await intents(sim) == 1


@pytest.mark.parametrize(
    ("kind", "status", "start"),
    [
        ("proxy_error_after", 503, b"<html>"),
        ("not_json_after", 200, b"<html>"),
        ("foreign_json_after", 200, b'{"status": "maintenance"}'),
    ],
)
async def test_a_proxy_replaces_the_response(sim: SimulatedStripe, kind: str, status: int, start: bytes) -> None:
    """The call has taken effect."""
    await add_fault(sim, kind, retry_after=7)

    answered, headers, body = await raw_create(sim)

    assert (answered, body.startswith(start), headers.get("Retry-After", "7")) == (status, True, "7")
    assert await intents(sim) == 1


async def test_the_body_is_cut_off(sim: SimulatedStripe) -> None:
    """The connection ends in the middle of the body, and the call has taken effect."""
    await add_fault(sim, "cut_body_after")

    with pytest.raises(aiohttp.ClientPayloadError):
        await raw_create(sim)

    assert await intents(sim) == 1


@pytest.mark.parametrize("kind", ["latency_before", "latency_after", "slow_body_after"])
async def test_latency(sim: SimulatedStripe, kind: str) -> None:
    """The whole response arrives after the delay."""
    await add_fault(sim, kind, seconds=0.1)
    loop = asyncio.get_running_loop()
    started = loop.time()

    status, _, body = await raw_create(sim)

    assert loop.time() - started >= 0.1
    assert (status, json.loads(body)["status"]) == (200, "requires_payment_method")


@pytest.mark.parametrize(("kind", "made"), [("hold_before", 0), ("hold_after", 1)])
async def test_hold(sim: SimulatedStripe, kind: str, made: int) -> None:
    """A request waits before or after its effect until it is released."""
    fault = await add_fault(sim, kind)
    creating = asyncio.create_task(create(sim))
    await sim.control("GET", f"/faults/{fault}/wait?holding=1")
    while_held = await intents(sim)

    await sim.control("POST", f"/faults/{fault}/release")

    assert (await creating).status == "requires_payment_method"
    assert while_held == made


async def test_a_held_request_of_a_disconnected_client_takes_effect(sim: SimulatedStripe) -> None:
    """Stripe executes a request though its client is gone."""
    fault = await add_fault(sim, "hold_before")
    creating = asyncio.create_task(create(sim))
    await sim.control("GET", f"/faults/{fault}/wait")
    creating.cancel()
    await asyncio.gather(creating, return_exceptions=True)

    await sim.control("DELETE", f"/faults/{fault}")
    await create(sim, "another-key")

    assert await intents(sim) == 2


async def test_a_customer_is_locked_while_one_of_its_subscriptions_is_written(sim: SimulatedStripe) -> None:
    """Another write to the customer is refused, is not saved under its key, and succeeds later. Others go on."""
    one, other = await sim.subscription(), await sim.subscription()
    hold = {"kind": "hold_before", "method": "POST", "path": f"/v1/subscriptions/{one.id}"}
    fault = await sim.control("POST", "/faults", hold)
    subscriptions = sim.api.v1.subscriptions
    writing = asyncio.create_task(subscriptions.update_async(one.id, {"metadata": {"a": "1"}}))
    await sim.control("GET", f"/faults/{fault['id']}/wait")

    key: Any = {"idempotency_key": "a-key"}
    changes: Any = {"name": "A Buyer"}
    with pytest.raises(stripe.RateLimitError) as refused:
        await sim.api.v1.customers.update_async(str(one.customer), changes, key)
    with pytest.raises(stripe.RateLimitError):
        await subscriptions.cancel_async(one.id)
    await subscriptions.cancel_async(other.id)
    await subscriptions.retrieve_async(one.id)
    await sim.control("POST", f"/faults/{fault['id']}/release")
    await writing

    changed = await sim.api.v1.customers.update_async(str(one.customer), changes, key)
    assert refused.value.error
    assert (refused.value.error.code, changed.name) == ("lock_timeout", "A Buyer")


async def test_waiting_for_a_held_request_times_out(sim: SimulatedStripe) -> None:
    """The response is 504."""
    fault = await add_fault(sim, "hold_before")

    shown = await sim.control("GET", f"/faults/{fault}/wait?timeout=0.05", status=504)

    assert shown["holding"] == 0


@pytest.mark.parametrize(
    ("rule", "outcomes"),
    [
        ({"skip": 1, "count": 2}, [200, 500, 500, 200]),
        ({"first_only": True, "count": None}, [200, 500, 500, 500]),
        ({"params": {"amount": "4711"}, "count": None}, [200, 200, 200, 200]),
        ({"path": f"{PATH}/*/confirm", "count": None}, [200, 200, 200, 200]),
    ],
    ids=["skip and count", "first only", "parameters", "path"],
)
async def test_a_rule_selects_requests(sim: SimulatedStripe, rule: dict[str, Any], outcomes: list[int]) -> None:
    """By number, by a new idempotency key, by parameters and by path."""
    await create(sim, "key-0")
    fault = await add_fault(sim, "error_unsaved", **rule)
    seen = []

    for number in range(4):
        try:
            await create(sim, f"key-{number}")
            seen.append(200)
        except stripe.APIError as error:
            seen.append(error.http_status or 0)

    assert seen == outcomes
    assert (await sim.control("GET", f"/faults/{fault}"))["hits"] == outcomes.count(500)


async def test_faults_are_cleared(sim: SimulatedStripe) -> None:
    """Afterwards requests succeed."""
    await add_fault(sim, "error_before", count=None)

    await sim.control("DELETE", "/faults")

    assert (await create(sim)).status == "requires_payment_method"
