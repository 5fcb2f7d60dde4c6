import asyncio
import json
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
import stripe

from stripe_simulator.testing import CHECKOUT, SimulatedStripe

PATH = "/v1/payment_intents"


async def fault(sim: SimulatedStripe, kind: str, **given: Any) -> str:
    """Set a fault on creating intents and answer its id."""
    made = await sim.control("POST", "/faults", {"kind": kind, "method": "POST", "path": PATH, **given})
    return str(made["id"])


async def create(sim: SimulatedStripe, key: str = "a-key") -> stripe.PaymentIntent:
    """Create an intent under a key."""
    params: Any = CHECKOUT
    return await sim.api.v1.payment_intents.create_async(params, {"idempotency_key": key})


async def intents(sim: SimulatedStripe) -> int:
    """Answer how many intents there are."""
    return int((await sim.control("GET", "/state"))["objects"]["payment_intents"])


@pytest.mark.parametrize(("kind", "made"), [("reset_before", 0), ("reset_after", 1)])
async def test_connection_resets(sim: SimulatedStripe, kind: str, made: int) -> None:
    """The connection breaks before or after the effect; a retry with the same key ends up with one intent."""
    await fault(sim, kind)

    with pytest.raises(stripe.APIConnectionError) as broken:
        await create(sim)
    after_the_break = await intents(sim)
    await create(sim)

    assert isinstance(broken.value.__cause__, OSError)
    assert after_the_break == made
    assert await intents(sim) == 1


@pytest.mark.parametrize(("kind", "made"), [("error_unsaved", 0), ("error_before", 0), ("error_after", 1)])
async def test_server_errors(sim: SimulatedStripe, kind: str, made: int) -> None:
    """A 500 with Stripe's envelope, before or after the effect."""
    await fault(sim, kind)

    with pytest.raises(stripe.APIError) as failed:
        await create(sim)

    body: Any = failed.value.json_body
    assert (failed.value.http_status, body["error"]["type"]) == (500, "api_error")
    assert await intents(sim) == made


async def test_rate_limits(sim: SimulatedStripe) -> None:
    """A 429 with `Retry-After`; nothing happens."""
    await fault(sim, "rate_limit", retry_after=3)

    with pytest.raises(stripe.RateLimitError) as limited:
        await create(sim)

    body: Any = limited.value.json_body
    assert limited.value.headers
    assert (limited.value.headers["Retry-After"], body["error"]["code"]) == ("3", "rate_limit")
    assert await intents(sim) == 0


async def test_lock_timeouts(sim: SimulatedStripe) -> None:
    """A busy object is a 429 of its own."""
    await fault(sim, "lock_timeout")

    with pytest.raises(stripe.RateLimitError) as limited:
        await create(sim)

    body: Any = limited.value.json_body
    assert body["error"]["code"] == "lock_timeout"


@pytest.mark.parametrize("kind", ["latency_before", "latency_after"])
async def test_latency(sim: SimulatedStripe, kind: str) -> None:
    """The answer takes as long as asked."""
    await fault(sim, kind, seconds=0.1)
    loop = asyncio.get_running_loop()
    started = loop.time()

    await create(sim)

    assert loop.time() - started >= 0.1


@pytest.mark.parametrize(("kind", "made"), [("hold_before", 0), ("hold_after", 1)])
async def test_hold(sim: SimulatedStripe, kind: str, made: int) -> None:
    """A request waits before or after its effect until it is released."""
    held = await fault(sim, kind)
    creating = asyncio.create_task(create(sim))
    await sim.control("GET", f"/faults/{held}/wait?holding=1")
    while_held = await intents(sim)

    await sim.control("POST", f"/faults/{held}/release")

    assert (await creating).status == "requires_payment_method"
    assert while_held == made


async def test_a_held_request_of_a_dead_client_still_takes_effect(sim: SimulatedStripe) -> None:
    """Stripe goes on when the client is gone; so does a request that is released later."""
    held = await fault(sim, "hold_before")
    creating = asyncio.create_task(create(sim))
    await sim.control("GET", f"/faults/{held}/wait")
    creating.cancel()
    await asyncio.gather(creating, return_exceptions=True)

    await sim.control("DELETE", f"/faults/{held}")

    again = await create(sim, "another-key")
    assert again.status == "requires_payment_method"
    assert await intents(sim) == 2


async def test_waiting_for_a_held_request_has_a_deadline(sim: SimulatedStripe) -> None:
    """When nothing is held in time the wait ends with 504."""
    held = await fault(sim, "hold_before")

    shown = await sim.control("GET", f"/faults/{held}/wait?timeout=0.05", status=504)

    assert shown["holding"] == 0


async def test_faults_can_pass_over_repeats(sim: SimulatedStripe) -> None:
    """What repeats a key is neither counted nor struck where a fault is for first requests only."""
    await create(sim)
    made = await fault(sim, "error_unsaved", first_only=True)

    await create(sim)
    with pytest.raises(stripe.APIError):
        await create(sim, "another-key")

    assert (await sim.control("GET", f"/faults/{made}"))["seen"] == 1


async def test_faults_skip_and_count(sim: SimulatedStripe) -> None:
    """The first request passes, two are hit, the rest pass."""
    made = await fault(sim, "error_unsaved", skip=1, count=2)
    outcomes = []

    for number in range(5):
        try:
            await create(sim, f"key-{number}")
            outcomes.append(200)
        except stripe.APIError as error:
            outcomes.append(error.http_status or 0)

    shown = await sim.control("GET", f"/faults/{made}")
    assert outcomes == [200, 500, 500, 200, 200]
    assert (shown["seen"], shown["hits"]) == (5, 2)


async def test_faults_match_method_and_path(sim: SimulatedStripe) -> None:
    """Other requests are left alone."""
    await sim.control("POST", "/faults", {"kind": "error_unsaved", "method": "POST", "path": f"{PATH}/*/confirm"})
    intent = await create(sim)

    with pytest.raises(stripe.APIError):
        await sim.api.v1.payment_intents.confirm_async(intent.id, {"payment_method": "pm_card_visa"})

    assert (await sim.api.v1.payment_intents.retrieve_async(intent.id)).status == "requires_payment_method"


async def test_faults_are_listed_and_cleared(sim: SimulatedStripe) -> None:
    """Clearing takes every fault away."""
    await fault(sim, "error_before", count=None)
    before = await sim.control("GET", "/faults")

    await sim.control("DELETE", "/faults")

    assert [each["kind"] for each in before["data"]] == ["error_before"]
    assert (await sim.control("GET", "/faults"))["data"] == []
    await create(sim)


async def test_the_library_retries_into_a_replay(sim: SimulatedStripe) -> None:
    """A client that retries by itself after a reset gets the first answer."""
    await fault(sim, "reset_after")
    params: Any = CHECKOUT

    intent = await sim.api.v1.payment_intents.create_async(params, {"max_network_retries": 2})

    assert intent.status == "requires_payment_method"
    assert await intents(sim) == 1


@pytest.mark.parametrize("kind", ["rate_limit", "proxy_error_before"])
async def test_without_a_retry_after_none_is_sent(sim: SimulatedStripe, kind: str) -> None:
    """Stripe does not always say when to come again."""
    await fault(sim, kind)

    status, headers, _ = await raw_create(sim)

    assert status >= 429
    assert "Retry-After" not in headers


@pytest.mark.parametrize(("kind", "status"), [("unauthorized", 401), ("forbidden", 403)])
async def test_refused_keys(sim: SimulatedStripe, kind: str, status: int) -> None:
    """A key that is revoked or may not do this: nothing happens, and nothing is saved."""
    await fault(sim, kind)

    with pytest.raises(stripe.StripeError) as refused:
        await create(sim)
    await create(sim)

    assert refused.value.http_status == status
    assert await intents(sim) == 1


async def test_a_key_that_is_said_to_be_in_use(sim: SimulatedStripe) -> None:
    """A 409 that may be tried again, as while the first request with the key is executed."""
    await fault(sim, "key_in_use")

    status, headers, body = await raw_create(sim)
    await create(sim)

    assert (status, headers["Stripe-Should-Retry"]) == (409, "true")
    assert b"idempotency_key_in_use" in body
    assert await intents(sim) == 1


async def test_a_key_that_is_said_to_be_used_otherwise(sim: SimulatedStripe) -> None:
    """An idempotency error; another key goes on."""
    await fault(sim, "key_mismatch")

    with pytest.raises(stripe.IdempotencyError):
        await create(sim)
    await create(sim, "another-key")

    assert await intents(sim) == 1


@pytest.mark.parametrize(("kind", "made"), [("proxy_error_before", 0), ("proxy_error_after", 1)])
async def test_a_proxy_in_between_fails(sim: SimulatedStripe, kind: str, made: int) -> None:
    """A 503 that is no JSON, with what it says about coming again; the key's answer is Stripe's own."""
    await fault(sim, kind, retry_after=7)

    status, headers, body = await raw_create(sim)
    after_the_failure = await intents(sim)
    await create(sim, "raw")

    assert (status, headers["Retry-After"], headers["Content-Type"]) == (503, "7", "text/html; charset=utf-8")
    assert body.startswith(b"<html>")
    assert after_the_failure == made
    assert await intents(sim) == 1


async def test_an_answer_that_is_no_json(sim: SimulatedStripe) -> None:
    """A 200 of something in between; the intent is made."""
    await fault(sim, "not_json_after")

    status, _, body = await raw_create(sim)
    await create(sim, "raw")

    assert (status, body[:6]) == (200, b"<html>")
    assert await intents(sim) == 1


async def test_an_answer_that_is_no_object_of_stripes(sim: SimulatedStripe) -> None:
    """JSON of something in between, with a 200; the intent is made."""
    await fault(sim, "foreign_json_after")

    status, _, body = await raw_create(sim)
    await create(sim, "raw")

    assert (status, "object" in json.loads(body)) == (200, False)
    assert await intents(sim) == 1


async def test_an_answer_cut_in_its_body(sim: SimulatedStripe) -> None:
    """Status and half of the body arrive, and then the connection ends; the key has the whole answer."""
    await fault(sim, "cut_body_after")

    with pytest.raises(aiohttp.ClientPayloadError):
        await raw_create(sim)
    await create(sim, "raw")

    assert await intents(sim) == 1


async def test_an_answer_whose_body_is_slow(sim: SimulatedStripe) -> None:
    """The status is there at once, the body takes as long as asked, and is whole."""
    await fault(sim, "slow_body_after", seconds=0.1)
    loop = asyncio.get_running_loop()
    started = loop.time()

    status, _, body = await raw_create(sim)

    assert loop.time() - started >= 0.1
    assert (status, json.loads(body)["status"]) == (200, "requires_payment_method")


async def test_faults_match_parameters(sim: SimulatedStripe) -> None:
    """Only requests with these parameters are hit."""
    made = await fault(sim, "error_unsaved", params={"amount": "4711"}, count=None)

    await create(sim)

    assert (await sim.control("GET", f"/faults/{made}"))["seen"] == 0
    with pytest.raises(stripe.APIError):
        await sim.intent(amount=4711)


async def raw_create(sim: SimulatedStripe) -> tuple[int, Mapping[str, str], bytes]:
    """Create an intent under the key `raw`; answer status, headers and body as they arrive."""
    headers = {"Authorization": f"Bearer {sim.simulator.settings.secret_key}", "Idempotency-Key": "raw"}
    form = {
        "amount": str(CHECKOUT["amount"]),
        "currency": str(CHECKOUT["currency"]),
        "metadata[checkoutAttemptId]": "an-attempt",
    }
    async with sim.session.post(sim.simulator.url + PATH, data=form, headers=headers) as answer:
        return answer.status, answer.headers, await answer.read()
