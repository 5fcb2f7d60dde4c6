import asyncio
import json
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
import stripe

from stripe_simulator.testing import CHECKOUT, Stage

PATH = "/v1/payment_intents"


async def fault(stage: Stage, kind: str, **given: Any) -> str:
    """Set a fault on creating intents and answer its id."""
    made = await stage.knob("POST", "/faults", {"kind": kind, "method": "POST", "path": PATH, **given})
    return str(made["id"])


async def create(stage: Stage, key: str = "a-key") -> stripe.PaymentIntent:
    """Create an intent under a key."""
    params: Any = CHECKOUT
    return await stage.api.v1.payment_intents.create_async(params, {"idempotency_key": key})


async def intents(stage: Stage) -> int:
    """Answer how many intents there are."""
    return int((await stage.knob("GET", "/state"))["objects"]["payment_intents"])


@pytest.mark.parametrize(("kind", "made"), [("reset_before", 0), ("reset_after", 1)])
async def test_connection_resets(stage: Stage, kind: str, made: int) -> None:
    """The connection breaks before or after the effect; a retry with the same key ends up with one intent."""
    await fault(stage, kind)

    with pytest.raises(stripe.APIConnectionError) as broken:
        await create(stage)
    after_the_break = await intents(stage)
    await create(stage)

    assert isinstance(broken.value.__cause__, OSError)
    assert after_the_break == made
    assert await intents(stage) == 1


@pytest.mark.parametrize(("kind", "made"), [("error_unsaved", 0), ("error_before", 0), ("error_after", 1)])
async def test_server_errors(stage: Stage, kind: str, made: int) -> None:
    """A 500 with Stripe's envelope, before or after the effect."""
    await fault(stage, kind)

    with pytest.raises(stripe.APIError) as failed:
        await create(stage)

    body: Any = failed.value.json_body
    assert (failed.value.http_status, body["error"]["type"]) == (500, "api_error")
    assert await intents(stage) == made


async def test_rate_limits(stage: Stage) -> None:
    """A 429 with `Retry-After`; nothing happens."""
    await fault(stage, "rate_limit", retry_after=3)

    with pytest.raises(stripe.RateLimitError) as limited:
        await create(stage)

    body: Any = limited.value.json_body
    assert limited.value.headers
    assert (limited.value.headers["Retry-After"], body["error"]["code"]) == ("3", "rate_limit")
    assert await intents(stage) == 0


async def test_lock_timeouts(stage: Stage) -> None:
    """A busy object is a 429 of its own."""
    await fault(stage, "lock_timeout")

    with pytest.raises(stripe.RateLimitError) as limited:
        await create(stage)

    body: Any = limited.value.json_body
    assert body["error"]["code"] == "lock_timeout"


@pytest.mark.parametrize("kind", ["latency_before", "latency_after"])
async def test_latency(stage: Stage, kind: str) -> None:
    """The answer takes as long as asked."""
    await fault(stage, kind, seconds=0.1)
    loop = asyncio.get_running_loop()
    started = loop.time()

    await create(stage)

    assert loop.time() - started >= 0.1


@pytest.mark.parametrize(("kind", "made"), [("hold_before", 0), ("hold_after", 1)])
async def test_hold(stage: Stage, kind: str, made: int) -> None:
    """A request waits before or after its effect until it is released."""
    held = await fault(stage, kind)
    creating = asyncio.create_task(create(stage))
    await stage.knob("GET", f"/faults/{held}/wait?holding=1")
    while_held = await intents(stage)

    await stage.knob("POST", f"/faults/{held}/release")

    assert (await creating).status == "requires_payment_method"
    assert while_held == made


async def test_a_held_request_of_a_dead_client_still_takes_effect(stage: Stage) -> None:
    """Stripe goes on when the client is gone; so does a request that is released later."""
    held = await fault(stage, "hold_before")
    creating = asyncio.create_task(create(stage))
    await stage.knob("GET", f"/faults/{held}/wait")
    creating.cancel()
    await asyncio.gather(creating, return_exceptions=True)

    await stage.knob("DELETE", f"/faults/{held}")

    again = await create(stage, "another-key")
    assert again.status == "requires_payment_method"
    assert await intents(stage) == 2


async def test_waiting_for_a_held_request_has_a_deadline(stage: Stage) -> None:
    """When nothing is held in time the wait ends with 504."""
    held = await fault(stage, "hold_before")

    shown = await stage.knob("GET", f"/faults/{held}/wait?timeout=0.05", status=504)

    assert shown["holding"] == 0


async def test_faults_can_pass_over_repeats(stage: Stage) -> None:
    """What repeats a key is neither counted nor struck where a fault is for first requests only."""
    await create(stage)
    made = await fault(stage, "error_unsaved", first_only=True)

    await create(stage)
    with pytest.raises(stripe.APIError):
        await create(stage, "another-key")

    assert (await stage.knob("GET", f"/faults/{made}"))["seen"] == 1


async def test_faults_skip_and_count(stage: Stage) -> None:
    """The first request passes, two are hit, the rest pass."""
    made = await fault(stage, "error_unsaved", skip=1, count=2)
    outcomes = []

    for number in range(5):
        try:
            await create(stage, f"key-{number}")
            outcomes.append(200)
        except stripe.APIError as error:
            outcomes.append(error.http_status or 0)

    shown = await stage.knob("GET", f"/faults/{made}")
    assert outcomes == [200, 500, 500, 200, 200]
    assert (shown["seen"], shown["hits"]) == (5, 2)


async def test_faults_match_method_and_path(stage: Stage) -> None:
    """Other requests are left alone."""
    await stage.knob("POST", "/faults", {"kind": "error_unsaved", "method": "POST", "path": f"{PATH}/*/confirm"})
    intent = await create(stage)

    with pytest.raises(stripe.APIError):
        await stage.api.v1.payment_intents.confirm_async(intent.id, {"payment_method": "pm_card_visa"})

    assert (await stage.api.v1.payment_intents.retrieve_async(intent.id)).status == "requires_payment_method"


async def test_faults_are_listed_and_cleared(stage: Stage) -> None:
    """Clearing takes every fault away."""
    await fault(stage, "error_before", count=None)
    before = await stage.knob("GET", "/faults")

    await stage.knob("DELETE", "/faults")

    assert [each["kind"] for each in before["data"]] == ["error_before"]
    assert (await stage.knob("GET", "/faults"))["data"] == []
    await create(stage)


async def test_the_library_retries_into_a_replay(stage: Stage) -> None:
    """A client that retries by itself after a reset gets the first answer."""
    await fault(stage, "reset_after")
    params: Any = CHECKOUT

    intent = await stage.api.v1.payment_intents.create_async(params, {"max_network_retries": 2})

    assert intent.status == "requires_payment_method"
    assert await intents(stage) == 1


@pytest.mark.parametrize("kind", ["rate_limit", "proxy_error_before"])
async def test_without_a_retry_after_none_is_sent(stage: Stage, kind: str) -> None:
    """Stripe does not always say when to come again."""
    await fault(stage, kind)

    status, headers, _ = await raw_create(stage)

    assert status >= 429
    assert "Retry-After" not in headers


@pytest.mark.parametrize(("kind", "status"), [("unauthorized", 401), ("forbidden", 403)])
async def test_refused_keys(stage: Stage, kind: str, status: int) -> None:
    """A key that is revoked or may not do this: nothing happens, and nothing is saved."""
    await fault(stage, kind)

    with pytest.raises(stripe.StripeError) as refused:
        await create(stage)
    await create(stage)

    assert refused.value.http_status == status
    assert await intents(stage) == 1


async def test_a_key_that_is_said_to_be_in_use(stage: Stage) -> None:
    """A 409 that may be tried again, as while the first request with the key is executed."""
    await fault(stage, "key_in_use")

    status, headers, body = await raw_create(stage)
    await create(stage)

    assert (status, headers["Stripe-Should-Retry"]) == (409, "true")
    assert b"idempotency_key_in_use" in body
    assert await intents(stage) == 1


async def test_a_key_that_is_said_to_be_used_otherwise(stage: Stage) -> None:
    """An idempotency error; another key goes on."""
    await fault(stage, "key_mismatch")

    with pytest.raises(stripe.IdempotencyError):
        await create(stage)
    await create(stage, "another-key")

    assert await intents(stage) == 1


@pytest.mark.parametrize(("kind", "made"), [("proxy_error_before", 0), ("proxy_error_after", 1)])
async def test_a_proxy_in_between_fails(stage: Stage, kind: str, made: int) -> None:
    """A 503 that is no JSON, with what it says about coming again; the key's answer is Stripe's own."""
    await fault(stage, kind, retry_after=7)

    status, headers, body = await raw_create(stage)
    after_the_failure = await intents(stage)
    await create(stage, "raw")

    assert (status, headers["Retry-After"], headers["Content-Type"]) == (503, "7", "text/html; charset=utf-8")
    assert body.startswith(b"<html>")
    assert after_the_failure == made
    assert await intents(stage) == 1


async def test_an_answer_that_is_no_json(stage: Stage) -> None:
    """A 200 of something in between; the intent is made."""
    await fault(stage, "not_json_after")

    status, _, body = await raw_create(stage)
    await create(stage, "raw")

    assert (status, body[:6]) == (200, b"<html>")
    assert await intents(stage) == 1


async def test_an_answer_that_is_no_object_of_stripes(stage: Stage) -> None:
    """JSON of something in between, with a 200; the intent is made."""
    await fault(stage, "foreign_json_after")

    status, _, body = await raw_create(stage)
    await create(stage, "raw")

    assert (status, "object" in json.loads(body)) == (200, False)
    assert await intents(stage) == 1


async def test_an_answer_cut_in_its_body(stage: Stage) -> None:
    """Status and half of the body arrive, and then the connection ends; the key has the whole answer."""
    await fault(stage, "cut_body_after")

    with pytest.raises(aiohttp.ClientPayloadError):
        await raw_create(stage)
    await create(stage, "raw")

    assert await intents(stage) == 1


async def test_an_answer_whose_body_is_slow(stage: Stage) -> None:
    """The status is there at once, the body takes as long as asked, and is whole."""
    await fault(stage, "slow_body_after", seconds=0.1)
    loop = asyncio.get_running_loop()
    started = loop.time()

    status, _, body = await raw_create(stage)

    assert loop.time() - started >= 0.1
    assert (status, json.loads(body)["status"]) == (200, "requires_payment_method")


async def test_faults_match_parameters(stage: Stage) -> None:
    """Only requests with these parameters are hit."""
    made = await fault(stage, "error_unsaved", params={"amount": "4711"}, count=None)

    await create(stage)

    assert (await stage.knob("GET", f"/faults/{made}"))["seen"] == 0
    with pytest.raises(stripe.APIError):
        await stage.intent(amount=4711)


async def raw_create(stage: Stage) -> tuple[int, Mapping[str, str], bytes]:
    """Create an intent under the key `raw`; answer status, headers and body as they arrive."""
    headers = {"Authorization": f"Bearer {stage.simulator.settings.secret_key}", "Idempotency-Key": "raw"}
    form = {
        "amount": str(CHECKOUT["amount"]),
        "currency": str(CHECKOUT["currency"]),
        "metadata[checkoutAttemptId]": "an-attempt",
    }
    async with stage.session.post(stage.simulator.url + PATH, data=form, headers=headers) as answer:
        return answer.status, answer.headers, await answer.read()
