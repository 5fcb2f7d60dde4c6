import asyncio
from typing import Any

import pytest
import stripe

from stripe_simulator.testing import CHECKOUT, SimulatedStripe

DAY = 24 * 3600


async def create(sim: SimulatedStripe, key: str, **changes: Any) -> stripe.PaymentIntent:
    """Create an intent under an idempotency key."""
    params: Any = {**CHECKOUT, **changes}
    return await sim.api.v1.payment_intents.create_async(params, {"idempotency_key": key})


def headers_of(answer: Any) -> Any:
    """Answer the HTTP headers that an object came with."""
    return answer.last_response.headers


async def intents(sim: SimulatedStripe) -> int:
    """Answer how many intents there are."""
    state = await sim.control("GET", "/state")
    counted: int = state["objects"]["payment_intents"]
    return counted


async def test_the_same_key_replays_the_first_answer(sim: SimulatedStripe) -> None:
    """A repeat creates nothing, says that it is a replay and names the first request."""
    first = await create(sim, "a-key")

    second = await create(sim, "a-key")

    assert second.to_dict() == first.to_dict()
    assert await intents(sim) == 1
    assert "Idempotent-Replayed" not in headers_of(first)
    assert headers_of(second)["Idempotent-Replayed"] == "true"
    assert headers_of(second)["Original-Request"] == headers_of(first)["Request-Id"]
    assert headers_of(second)["Request-Id"] != headers_of(first)["Request-Id"]


async def test_a_replay_does_not_show_what_happened_since(sim: SimulatedStripe) -> None:
    """The saved answer is replayed as it was, though the intent is canceled by now."""
    intent = await create(sim, "a-key")
    await sim.api.v1.payment_intents.cancel_async(intent.id)

    replayed = await create(sim, "a-key")

    assert replayed.status == "requires_payment_method"


async def test_other_parameters_under_the_key_are_refused(sim: SimulatedStripe) -> None:
    """A key belongs to the parameters it was first used with."""
    await create(sim, "a-key")

    with pytest.raises(stripe.IdempotencyError) as refused:
        await create(sim, "a-key", amount=2999)

    assert refused.value.http_status == 400
    assert await intents(sim) == 1


async def test_another_endpoint_under_the_key_is_refused(sim: SimulatedStripe) -> None:
    """A key belongs to the endpoint it was first used for."""
    await create(sim, "a-key")

    with pytest.raises(stripe.IdempotencyError, match="same endpoint"):
        await sim.api.v1.customers.create_async({}, {"idempotency_key": "a-key"})


async def test_a_key_in_progress_is_409(sim: SimulatedStripe) -> None:
    """While the first request executes, a second one with its key conflicts; afterwards it replays."""
    fault = await sim.control("POST", "/faults", {"kind": "hold_before", "path": "/v1/payment_intents"})
    first = asyncio.create_task(create(sim, "a-key"))
    await sim.control("GET", f"/faults/{fault['id']}/wait")

    with pytest.raises(stripe.StripeError) as refused:
        await create(sim, "a-key")
    await sim.control("POST", f"/faults/{fault['id']}/release")

    body: Any = refused.value.json_body
    assert refused.value.http_status == 409
    assert (body["error"]["type"], body["error"]["code"]) == ("invalid_request_error", "idempotency_key_in_use")
    assert (await create(sim, "a-key")).id == (await first).id
    assert await intents(sim) == 1


async def test_twelve_requests_at_once_create_one_intent(sim: SimulatedStripe) -> None:
    """However many arrive together, one executes."""
    answers = await asyncio.gather(*(create(sim, "a-key") for _ in range(12)))

    assert len({answer.id for answer in answers}) == 1
    assert await intents(sim) == 1


async def test_a_failed_execution_is_replayed(sim: SimulatedStripe) -> None:
    """A 402 is saved like any other answer."""
    params = {"confirm": True, "payment_method": "pm_card_chargeDeclined", "return_url": "https://shop.example"}
    with pytest.raises(stripe.CardError):
        await create(sim, "a-key", **params)

    with pytest.raises(stripe.CardError) as replayed:
        await create(sim, "a-key", **params)

    assert replayed.value.headers
    assert replayed.value.headers["Idempotent-Replayed"] == "true"
    assert await intents(sim) == 1


@pytest.mark.parametrize("kind", ["error_before", "error_after"])
async def test_a_500_is_replayed(sim: SimulatedStripe, kind: str) -> None:
    """A 500 of the execution is saved and replayed, whether or not it took effect."""
    await sim.control("POST", "/faults", {"kind": kind, "path": "/v1/payment_intents"})
    with pytest.raises(stripe.APIError):
        await create(sim, "a-key")

    with pytest.raises(stripe.APIError) as replayed:
        await create(sim, "a-key")

    assert replayed.value.http_status == 500
    assert await intents(sim) == (1 if kind == "error_after" else 0)


@pytest.mark.parametrize("kind", ["rate_limit", "error_unsaved"])
async def test_what_never_executed_is_not_saved(sim: SimulatedStripe, kind: str) -> None:
    """After a rate limit or a failure at the door the key is still free."""
    await sim.control("POST", "/faults", {"kind": kind, "path": "/v1/payment_intents"})
    with pytest.raises(stripe.StripeError):
        await create(sim, "a-key")

    intent = await create(sim, "a-key")

    assert "Idempotent-Replayed" not in headers_of(intent)


async def test_parameters_that_fail_validation_are_not_saved(sim: SimulatedStripe) -> None:
    """A refused request leaves its key free, even for other parameters."""
    with pytest.raises(stripe.InvalidRequestError):
        await create(sim, "a-key", favourite_colour="red")

    intent = await create(sim, "a-key")

    assert intent.status == "requires_payment_method"


async def test_what_the_endpoint_finds_wrong_is_saved(sim: SimulatedStripe) -> None:
    """Once the endpoint executes, its 400 is replayed too."""
    with pytest.raises(stripe.InvalidRequestError):
        await create(sim, "a-key", customer="cus_nobody")

    with pytest.raises(stripe.InvalidRequestError) as replayed:
        await create(sim, "a-key", customer="cus_nobody")

    assert replayed.value.headers
    assert replayed.value.headers["Idempotent-Replayed"] == "true"


async def test_keys_are_pruned_after_a_day(sim: SimulatedStripe) -> None:
    """A day later the same key creates another intent."""
    first = await create(sim, "a-key")
    await sim.control("POST", "/clock/advance", {"seconds": DAY - 60})
    replayed = await create(sim, "a-key")
    await sim.control("POST", "/clock/advance", {"seconds": 60})

    another = await create(sim, "a-key")

    assert replayed.id == first.id
    assert another.id != first.id


async def test_keys_mean_nothing_to_reads(sim: SimulatedStripe) -> None:
    """A GET with a key reads what is there now."""
    intent = await sim.intent()
    await sim.api.v1.payment_intents.retrieve_async(intent.id, {}, {"idempotency_key": "a-key"})
    await sim.pay(intent.id)

    read = await sim.api.v1.payment_intents.retrieve_async(intent.id, {}, {"idempotency_key": "a-key"})

    assert read.status == "succeeded"


async def test_keys_have_at_most_255_characters(sim: SimulatedStripe) -> None:
    """255 characters are a key, 256 are not."""
    await create(sim, "k" * 255)

    with pytest.raises(stripe.InvalidRequestError, match="at most 255"):
        await create(sim, "k" * 256)
