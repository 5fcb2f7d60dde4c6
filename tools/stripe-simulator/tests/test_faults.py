import asyncio
from typing import Any

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
