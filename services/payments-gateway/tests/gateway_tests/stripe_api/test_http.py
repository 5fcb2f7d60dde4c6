import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import REGISTRY

from payments_gateway.domain.attempts import IntentKind, IntentRef
from payments_gateway.domain.intents import IntentParams
from payments_gateway.domain.money import Money
from payments_gateway.domain.stripe_errors import (
    IdempotencyKeyExhausted,
    StripeKeyRefused,
    StripePermissionMissing,
    StripeUnavailable,
)
from payments_gateway.stripe_api.intents import StripeIntents
from payments_gateway.stripe_api.operations import operation_of
from servicekit.deadline import deadline

from ..samples import ATTEMPT_ID
from ..stripe_stand_in import (
    StripeStandIn,
    intent_json,
    limiter_of_slots,
    roomy_limiter,
    serving,
    stripe_client,
    stripe_stand_in,
)

FOR_A_MUG = IntentParams(IntentKind.PAYMENT, Money(1250, "usd"), customer_id=None)
INTENT = IntentRef("pi_1", IntentKind.PAYMENT)
BODY = b'{"id": "pi_1", "object": "payment_intent", "status": "succeeded", "amount_received": 5, "currency": "usd", '
BODY += b'"livemode": false, "created": 1900000000}'
RETRIEVE = "GET /v1/payment_intents/{id}"


@pytest.fixture
async def stand_in() -> AsyncIterator[StripeStandIn]:
    """Give a Stripe that responds as told, and a client that tries three times."""
    async with stripe_stand_in(max_retries=2) as served:
        yield served


@dataclass
class Wire:
    """A server below HTTP, which may cut a response or send none."""

    url: str
    requests: int = 0


@asynccontextmanager
async def wire(send: Callable[[asyncio.StreamWriter, int], bytes | None]) -> AsyncIterator[Wire]:
    """Serve the bytes that send returns for the n-th request, then close; None sends nothing."""
    served = Wire("")
    responding: set[asyncio.Task[None] | None] = set()

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        responding.add(asyncio.current_task())
        with suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            served.requests += 1
            content = send(writer, served.requests)
            if content is None:
                await reader.read()  # until the client goes away
            else:
                writer.write(content)
                await writer.drain()
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(respond, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        served.url = f"http://{host}:{port}"
        yield served
    await asyncio.wait([task for task in responding if task is not None], timeout=5)


def response(body: bytes = BODY) -> bytes:
    """Return a response as it is sent; a shorter body is truncated."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body


def truncated_first(_: asyncio.StreamWriter, number: int) -> bytes:
    """Truncate the first response."""
    return response(BODY[:20]) if number == 1 else response()


def reset_first(writer: asyncio.StreamWriter, number: int) -> bytes:
    """Reset the first connection."""
    if number == 1:
        writer.transport.abort()
    return response()


def counted(name: str, **labels: str) -> float:
    """Read a metric."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize("send", [truncated_first, reset_first])
async def test_a_broken_response_is_requested_again(send: Callable[[asyncio.StreamWriter, int], bytes]) -> None:
    """Truncated after its headers, or never sent."""
    async with wire(send) as served, aiohttp.ClientSession() as session:
        client = stripe_client(served.url, session, roomy_limiter(), max_retries=1)

        intent = await StripeIntents(client).retrieve(INTENT)

    assert (intent.ref.id, served.requests) == ("pi_1", 2)


async def test_a_silent_stripe_is_given_up_within_the_budget() -> None:
    """Each try has a timeout, and all of them together."""
    async with wire(lambda _writer, _number: None) as served, aiohttp.ClientSession() as session:
        client = stripe_client(
            served.url, session, roomy_limiter(), max_retries=5, timeout_seconds=1.0, budget_seconds=2.8
        )
        began = time.monotonic()

        with pytest.raises(StripeUnavailable):
            await StripeIntents(client).retrieve(INTENT)

        took = time.monotonic() - began

    assert 2 <= served.requests <= 3
    assert took < 6.0  # all six tries would take longer


async def test_the_budget_ends_before_the_buyers_request() -> None:
    """The buyer gets a response within the request's own deadline."""
    async with wire(lambda _writer, _number: None) as served, aiohttp.ClientSession() as session:
        client = stripe_client(served.url, session, roomy_limiter(), timeout_seconds=60, budget_seconds=60)
        began = time.monotonic()

        with deadline(2.0), pytest.raises(StripeUnavailable):
            await StripeIntents(client).retrieve(INTENT)
        took = time.monotonic() - began
        with deadline(0.0), pytest.raises(StripeUnavailable):
            await StripeIntents(client).retrieve(INTENT)

    assert served.requests == 1
    assert 0.3 < took < 10.0


async def test_nothing_is_sent_for_a_buyer_whose_time_is_over(stand_in: StripeStandIn) -> None:
    """Not even where a connection is open: Stripe would create what nobody hears of, and a token would be lost."""
    intents = StripeIntents(stand_in.client)
    for _ in range(3):
        stand_in.answer(intent_json())
    await intents.retrieve(INTENT)

    with deadline(0.4), pytest.raises(StripeUnavailable):
        await intents.create(ATTEMPT_ID, FOR_A_MUG, generation=0)
    await intents.retrieve(INTENT)

    assert [sent.method for sent in stand_in.sent] == ["GET", "GET"]


@pytest.mark.parametrize("status", [409, 429, 500, 502, 503, 504])
async def test_a_retry_sends_the_same_idempotency_key(stand_in: StripeStandIn, status: int) -> None:
    """Nothing is created twice, whatever the first request did."""
    code = "lock_timeout" if status == 429 else None
    stand_in.refuse(status, "api_error", code)
    stand_in.answer(intent_json())

    await StripeIntents(stand_in.client).create(ATTEMPT_ID, FOR_A_MUG, generation=0)

    assert [sent.headers["Idempotency-Key"] for sent in stand_in.sent] == [f"attempt:{ATTEMPT_ID}"] * 2


async def test_a_foreign_response_is_requested_again(stand_in: StripeStandIn) -> None:
    """HTML of a proxy, or JSON that is no Stripe object."""
    stand_in.page(404)
    stand_in.answer({"status": "maintenance"})
    stand_in.answer(intent_json())

    intent = await StripeIntents(stand_in.client).retrieve(INTENT)

    assert intent.ref.id == "pi_1"


@pytest.mark.parametrize(("status", "code"), [(409, "idempotency_key_in_use"), (429, "lock_timeout")])
async def test_a_request_that_is_running_is_waited_for(stand_in: StripeStandIn, status: int, code: str) -> None:
    """Longer than the retries: it is that of another gateway, and Stripe takes seconds for some."""
    for _ in range(4):
        stand_in.refuse(status, "api_error", code)
    stand_in.answer(intent_json())

    intent = await StripeIntents(stand_in.client).create(ATTEMPT_ID, FOR_A_MUG, generation=0)

    assert (intent.ref.id, len(stand_in.sent)) == ("pi_1", 5)


async def test_tries_are_bounded(stand_in: StripeStandIn) -> None:
    """Three with two retries."""
    for _ in range(9):
        stand_in.refuse(503, "api_error")

    with pytest.raises(StripeUnavailable):
        await StripeIntents(stand_in.client).retrieve(INTENT)

    assert len(stand_in.sent) == 3


@pytest.mark.parametrize(
    ("status", "headers"),
    [(400, {}), (401, {}), (403, {}), (404, {}), (500, {"Stripe_Should_Retry": "false"})],
)
async def test_a_useless_retry_is_not_sent(stand_in: StripeStandIn, status: int, headers: dict[str, str]) -> None:
    """After a rejection, or where Stripe advises against it."""
    stand_in.refuse(status, "invalid_request_error", "resource_missing", **headers)

    with pytest.raises(Exception):  # noqa: B017, PT011 — which one is tested with each client
        await StripeIntents(stand_in.client).retrieve(INTENT)

    assert len(stand_in.sent) == 1


async def test_a_failed_post_is_repeated_to_find_a_stored_failure(stand_in: StripeStandIn) -> None:
    """Against Stripe's advice: the repeat is harmless, and a stored failure needs another key."""
    stand_in.refuse(500, "api_error", Stripe_Should_Retry="false")
    stand_in.refuse(500, "api_error", Stripe_Should_Retry="false", Idempotent_Replayed="true")

    with pytest.raises(IdempotencyKeyExhausted) as exhausted:
        await StripeIntents(stand_in.client).create(ATTEMPT_ID, FOR_A_MUG, generation=0)

    assert exhausted.value.just_now
    assert len(stand_in.sent) == 2


@pytest.mark.parametrize(("lost_responses", "just_now"), [(0, False), (1, True)])
async def test_a_replayed_failure_is_not_repeated(
    stand_in: StripeStandIn,
    lost_responses: int,
    just_now: bool,  # noqa: FBT001 — a column of the table
) -> None:
    """A failure of this very call, whose response was lost, says that Stripe may be failing still."""
    for _ in range(lost_responses):
        stand_in.page(200)
    stand_in.refuse(500, "api_error", Idempotent_Replayed="true")

    with pytest.raises(IdempotencyKeyExhausted) as exhausted:
        await StripeIntents(stand_in.client).create(ATTEMPT_ID, FOR_A_MUG, generation=0)

    assert exhausted.value.just_now is just_now
    assert len(stand_in.sent) == lost_responses + 1


async def test_retry_after_is_waited_for(stand_in: StripeStandIn) -> None:
    """Where the budget has room for it."""
    stand_in.refuse(503, "api_error", Retry_After="0.3")
    stand_in.answer(intent_json())
    began = time.monotonic()

    await StripeIntents(stand_in.client).retrieve(INTENT)

    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize("status", [429, 503])
async def test_a_retry_after_beyond_the_budget_is_passed_on(stand_in: StripeStandIn, status: int) -> None:
    """Without another try."""
    stand_in.page(status, Retry_After="17")

    with pytest.raises(StripeUnavailable) as unavailable:
        await StripeIntents(stand_in.client).retrieve(INTENT)

    assert unavailable.value.retry_after_seconds == 17
    assert len(stand_in.sent) == 1


async def test_after_a_429_the_end_of_the_pause_is_told() -> None:
    """The limiter's, where Stripe says nothing."""
    async with stripe_stand_in(max_retries=0) as stand_in:
        stand_in.refuse(429, "invalid_request_error", "rate_limit")

        with pytest.raises(StripeUnavailable) as unavailable:
            await StripeIntents(stand_in.client).retrieve(INTENT)

    assert 0.5 < (unavailable.value.retry_after_seconds or 0) <= 1


async def test_after_a_429_its_operation_pauses(stand_in: StripeStandIn) -> None:
    """The next one is not sent and fails with the remaining time; other operations go on."""
    stand_in.refuse(429, "invalid_request_error", "rate_limit", Retry_After="20")
    with pytest.raises(StripeUnavailable):
        await StripeIntents(stand_in.client).retrieve(INTENT)
    stand_in.answer(intent_json())

    with pytest.raises(StripeUnavailable) as unavailable:
        await StripeIntents(stand_in.client).retrieve(INTENT)
    with suppress(StripeUnavailable):
        await StripeIntents(stand_in.client).create(ATTEMPT_ID, FOR_A_MUG, generation=0)

    assert 15 < (unavailable.value.retry_after_seconds or 0) <= 20
    assert [sent.method for sent in stand_in.sent] == ["GET", "POST"]


async def test_a_request_that_is_not_sent_is_counted_as_such(stand_in: StripeStandIn) -> None:
    """No failure of Stripe: its turn could not come in time."""
    labels = {"operation": RETRIEVE, "outcome": "limiter_refusal"}
    before = counted("holdfast_stripe_requests_total", **labels)
    stand_in.limiter.slow_down(RETRIEVE, 20.0)

    with pytest.raises(StripeUnavailable):
        await StripeIntents(stand_in.client).retrieve(INTENT)

    assert counted("holdfast_stripe_requests_total", **labels) == before + 1
    assert stand_in.sent == []


@pytest.mark.parametrize("reason", ["global-rate", "global-concurrency"])
async def test_after_a_429_of_the_account_every_request_pauses(stand_in: StripeStandIn, reason: str) -> None:
    """Stripe names the limit, which is counted by name."""
    labels = {"operation": RETRIEVE, "reason": reason}
    before = counted("holdfast_stripe_rate_limited_total", **labels)
    stand_in.refuse(429, "invalid_request_error", Retry_After="20", Stripe_Rate_Limited_Reason=reason)
    with pytest.raises(StripeUnavailable):
        await StripeIntents(stand_in.client).retrieve(INTENT)

    with pytest.raises(StripeUnavailable):
        await StripeIntents(stand_in.client).create(ATTEMPT_ID, FOR_A_MUG, generation=0)

    assert len(stand_in.sent) == 1
    assert counted("holdfast_stripe_rate_limited_total", **labels) == before + 1


async def test_an_unknown_limit_is_counted_as_such(stand_in: StripeStandIn) -> None:
    """A header is no label: its values are not bounded. It slows its operation alone."""
    labels = {"operation": RETRIEVE, "reason": "unknown"}
    before = counted("holdfast_stripe_rate_limited_total", **labels)
    stand_in.refuse(429, "invalid_request_error", Retry_After="20", Stripe_Rate_Limited_Reason="ada@example.com")
    stand_in.answer(intent_json())

    with pytest.raises(StripeUnavailable):
        await StripeIntents(stand_in.client).retrieve(INTENT)
    await StripeIntents(stand_in.client).create(ATTEMPT_ID, FOR_A_MUG, generation=0)

    assert counted("holdfast_stripe_rate_limited_total", **labels) == before + 1


async def test_a_refused_key_is_an_error_for_the_operator(
    stand_in: StripeStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    """In the log, and on a gauge for alerts until Stripe accepts the key again."""
    stand_in.refuse(401, "invalid_request_error")
    with caplog.at_level(logging.WARNING), pytest.raises(StripeKeyRefused):
        await StripeIntents(stand_in.client).retrieve(INTENT)
    stand_in.refuse(503, "api_error", Stripe_Should_Retry="false")  # says nothing of the key
    with pytest.raises(StripeUnavailable):
        await StripeIntents(stand_in.client).retrieve(INTENT)
    while_refused = counted("holdfast_stripe_key_refused")
    stand_in.answer(intent_json())
    await StripeIntents(stand_in.client).retrieve(INTENT)

    assert [each.message for each in caplog.records if each.levelname == "ERROR"] == ["Stripe refuses our secret key"]
    assert (while_refused, counted("holdfast_stripe_key_refused")) == (1, 0)


PERMISSION_MISSING = (
    "The provided key 'rk_test_*********abcd' does not have the required permissions for this endpoint on account "
    "'acct_1'. Having the 'rak_setup_intent_read' permission would allow this request to continue."
)


async def test_a_missing_permission_concerns_its_operation_alone(
    stand_in: StripeStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names the permission; other operations go on and leave the gauge, and a grant resets it."""
    intents = StripeIntents(stand_in.client)
    setup = IntentRef("seti_1", IntentKind.SETUP)
    shown = {"id": "seti_1", "object": "setup_intent", "status": "succeeded", "livemode": False, "created": 1}
    gauge = {"operation": "GET /v1/setup_intents/{id}"}
    stand_in.answer({"error": {"type": "invalid_request_error", "message": PERMISSION_MISSING}}, status=403)

    with caplog.at_level(logging.WARNING), pytest.raises(StripePermissionMissing):
        await intents.retrieve(setup)
    stand_in.answer(intent_json())
    await intents.retrieve(INTENT)
    while_refused = counted("holdfast_stripe_operation_refused", **gauge)
    stand_in.answer(shown)
    await intents.retrieve(setup)

    assert [(record.levelname, record.message, record.__dict__["permission"]) for record in caplog.records] == [
        ("ERROR", "our restricted key lacks a permission at Stripe", "rak_setup_intent_read")
    ]
    assert (while_refused, counted("holdfast_stripe_operation_refused", **gauge)) == (1, 0)
    assert counted("holdfast_stripe_operation_refused", operation=RETRIEVE) == 0
    assert counted("holdfast_stripe_key_refused") == 0


async def test_every_try_is_counted(stand_in: StripeStandIn) -> None:
    """By operation and outcome."""
    labels = [{"operation": RETRIEVE, "outcome": outcome} for outcome in ("server_error", "ok")]
    before = [counted("holdfast_stripe_requests_total", **each) for each in labels]
    stand_in.refuse(500, "api_error")
    stand_in.answer(intent_json())

    await StripeIntents(stand_in.client).retrieve(INTENT)

    after = [counted("holdfast_stripe_requests_total", **each) for each in labels]
    assert [late - early for early, late in zip(before, after, strict=True)] == [1, 1]


async def test_p7_a_message_of_stripe_is_not_logged(stand_in: StripeStandIn, caplog: pytest.LogCaptureFixture) -> None:
    """It may quote the request."""
    for _ in range(3):
        stand_in.refuse(500, "api_error")

    with caplog.at_level(logging.DEBUG, logger="payments_gateway"), pytest.raises(StripeUnavailable):
        await StripeIntents(stand_in.client).create(ATTEMPT_ID, FOR_A_MUG, generation=0)

    logged = "".join(str(vars(record)) for record in caplog.records if record.name.startswith("payments_gateway"))
    assert "server_error" in logged
    assert "ada@example.com" not in logged
    assert ATTEMPT_ID not in logged


@pytest.mark.parametrize(
    ("method", "url", "operation"),
    [
        ("post", "https://api.stripe.com/v1/payment_intents", "POST /v1/payment_intents"),
        ("get", "https://api.stripe.com/v1/payment_intents/pi_1?expand[]=x", RETRIEVE),
        ("post", "http://127.0.0.1:1/v1/payment_intents/pi_1/cancel", "POST /v1/payment_intents/{id}/cancel"),
        ("get", "http://127.0.0.1:1/v1/prices?limit=100", "GET /v1/prices"),
        ("post", "https://api.stripe.com/v1/billing_portal/sessions", "POST /v1/billing_portal/sessions"),
        (
            "get",
            "https://api.stripe.com/v1/billing_portal/configurations/bpc_1",
            "GET /v1/billing_portal/configurations/{id}",
        ),
    ],
)
def test_operations_are_named_without_ids(method: str, url: str, operation: str) -> None:
    """Metric labels are few, and name no object."""
    assert operation_of(method, url) == operation


async def test_no_more_requests_are_in_flight_than_the_limiter_allows() -> None:
    """Thirty buyers at once, three slots."""
    in_flight, most = 0, 0

    async def handle(_: web.Request) -> web.Response:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        await asyncio.sleep(0.01)
        in_flight -= 1
        return web.json_response(intent_json())

    limiter = limiter_of_slots(3)
    async with serving(handle) as url, aiohttp.ClientSession() as session:
        intents = StripeIntents(stripe_client(url, session, limiter))

        await asyncio.gather(*(intents.retrieve(INTENT) for _ in range(30)))

    assert most == 3
