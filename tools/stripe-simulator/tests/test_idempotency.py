import asyncio
from typing import Any

import pytest
import stripe

from stripe_simulator.testing import CHECKOUT, SimulatedStripe

DAY = 24 * 3600
DECLINED = {"confirm": True, "payment_method": "pm_card_chargeDeclined", "return_url": "https://shop.example"}


async def create(sim: SimulatedStripe, key: str = "a-key", **changes: Any) -> stripe.PaymentIntent:
    """Create an intent under an idempotency key."""
    params: Any = {**CHECKOUT, **changes}
    return await sim.api.v1.payment_intents.create_async(params, {"idempotency_key": key})


def headers_of(answer: Any) -> Any:
    """Return the HTTP headers that an object came with."""
    return answer.last_response.headers


async def intents(sim: SimulatedStripe) -> int:
    """Return the number of intents."""
    return len((await sim.api.v1.payment_intents.list_async({"limit": 100})).data)


async def test_the_same_key_replays_the_first_response(sim: SimulatedStripe) -> None:
    """The replay shows the intent as it was, though it is canceled now, and names the original request."""
    first = await create(sim)
    await sim.api.v1.payment_intents.cancel_async(first.id)

    second = await create(sim)

    assert second.to_dict() == first.to_dict()
    assert await intents(sim) == 1
    assert "Idempotent-Replayed" not in headers_of(first)
    assert headers_of(second)["Idempotent-Replayed"] == "true"
    assert headers_of(second)["Original-Request"] == headers_of(first)["Request-Id"]
    assert headers_of(second)["Request-Id"] != headers_of(first)["Request-Id"]


async def test_a_key_belongs_to_its_parameters_and_endpoint(sim: SimulatedStripe) -> None:
    """Others under the same key are an idempotency error."""
    await create(sim)

    with pytest.raises(stripe.IdempotencyError, match="same parameters"):
        await create(sim, amount=2999)
    with pytest.raises(stripe.IdempotencyError, match="same endpoint"):
        await sim.api.v1.customers.create_async({}, {"idempotency_key": "a-key"})
    assert await intents(sim) == 1


async def test_a_key_in_progress_is_409(sim: SimulatedStripe) -> None:
    """While the first request executes, another with its key conflicts. Afterwards it replays."""
    fault = await sim.control("POST", "/faults", {"kind": "hold_before", "path": "/v1/payment_intents"})
    first = asyncio.create_task(create(sim))
    await sim.control("GET", f"/faults/{fault['id']}/wait")

    with pytest.raises(stripe.StripeError) as refused:
        await create(sim)
    await sim.control("POST", f"/faults/{fault['id']}/release")

    body: Any = refused.value.json_body
    assert refused.value.http_status == 409
    assert (body["error"]["type"], body["error"]["code"]) == ("invalid_request_error", "idempotency_key_in_use")
    assert (await create(sim)).id == (await first).id
    assert await intents(sim) == 1


@pytest.mark.parametrize(
    ("fault", "params", "made"),
    [
        (None, DECLINED, 1),
        (None, {"customer": "cus_nobody"}, 0),
        ("error_before", {}, 0),
        ("error_after", {}, 1),
    ],
    ids=["402", "400 of the endpoint", "500 before", "500 after"],
)
async def test_an_error_of_the_execution_is_replayed(
    sim: SimulatedStripe, fault: str | None, params: dict[str, Any], made: int
) -> None:
    """A saved error is repeated like any response."""
    if fault:
        await sim.control("POST", "/faults", {"kind": fault, "path": "/v1/payment_intents", "method": "POST"})
    with pytest.raises(stripe.StripeError) as first:
        await create(sim, **params)

    with pytest.raises(type(first.value)) as replayed:
        await create(sim, **params)

    assert replayed.value.http_status == first.value.http_status
    assert (replayed.value.headers or {})["Idempotent-Replayed"] == "true"
    assert await intents(sim) == made


@pytest.mark.parametrize(
    ("fault", "params"),
    [("rate_limit", {}), ("error_unsaved", {}), (None, {"favourite_colour": "red"})],
    ids=["429", "500 unsaved", "invalid parameter"],
)
async def test_a_request_that_never_executed_leaves_its_key_free(
    sim: SimulatedStripe, fault: str | None, params: dict[str, Any]
) -> None:
    """The same key then executes, even with other parameters."""
    if fault:
        await sim.control("POST", "/faults", {"kind": fault, "path": "/v1/payment_intents"})
    with pytest.raises(stripe.StripeError):
        await create(sim, **params)

    intent = await create(sim)

    assert "Idempotent-Replayed" not in headers_of(intent)


async def test_keys_expire_after_a_day(sim: SimulatedStripe) -> None:
    """A day later the same key creates another intent."""
    first = await create(sim)
    await sim.control("POST", "/clock/advance", {"seconds": DAY - 60})
    replayed = await create(sim)
    await sim.control("POST", "/clock/advance", {"seconds": 60})

    another = await create(sim)

    assert replayed.id == first.id
    assert another.id != first.id


async def test_reads_ignore_keys(sim: SimulatedStripe) -> None:
    """A GET with a key returns the current state."""
    intent = await sim.intent()
    await sim.api.v1.payment_intents.retrieve_async(intent.id, {}, {"idempotency_key": "a-key"})
    await sim.pay(intent.id)

    read = await sim.api.v1.payment_intents.retrieve_async(intent.id, {}, {"idempotency_key": "a-key"})

    assert read.status == "succeeded"


async def test_keys_have_at_most_255_characters(sim: SimulatedStripe) -> None:
    """A longer key is refused."""
    await create(sim, "k" * 255)

    with pytest.raises(stripe.InvalidRequestError, match="at most 255"):
        await create(sim, "k" * 256)
