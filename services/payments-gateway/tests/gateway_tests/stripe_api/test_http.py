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
from payments_gateway.domain.stripe_errors import IdempotencyKeyExhausted, StripeKeyRefused, StripeUnavailable
from payments_gateway.stripe_api.http import operation_of
from payments_gateway.stripe_api.intents import StripeIntents
from payments_gateway.stripe_api.rate_limiter import StripeLimiter
from servicekit.deadline import deadline

from ..samples import ATTEMPT_ID, intent_ref
from ..stripe_stand_in import StripeStandIn, intent_json, roomy_limiter, serving, stripe_client, stripe_stand_in

FOR_A_MUG = IntentParams(IntentKind.PAYMENT, Money(1250, "usd"), customer_id=None)
INTENT = IntentRef("pi_1", IntentKind.PAYMENT)
BODY = b'{"id": "pi_1", "object": "payment_intent", "status": "succeeded", "amount_received": 5, "currency": "usd", '
BODY += b'"livemode": false}'
RETRIEVE = "GET /v1/payment_intents/{id}"


@pytest.fixture
async def stand_in() -> AsyncIterator[StripeStandIn]:
    """Give a Stripe that answers what it is told to, and a client that asks three times."""
    async with stripe_stand_in(max_retries=2) as served:
        yield served


@dataclass
class Wire:
    """A server below HTTP, which may cut and keep silent."""

    url: str
    asked: int = 0


@asynccontextmanager
async def wire(send: Callable[[asyncio.StreamWriter, int], bytes | None]) -> AsyncIterator[Wire]:
    """Serve bytes that send returns for the n-th request, then close; None keeps silent."""
    served = Wire("")
    answering: set[asyncio.Task[None] | None] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.add(asyncio.current_task())
        with suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            served.asked += 1
            content = send(writer, served.asked)
            if content is None:
                await reader.read()  # until the client goes away
            else:
                writer.write(content)
                await writer.drain()
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        served.url = f"http://{host}:{port}"
        yield served
    await asyncio.wait([task for task in answering if task is not None], timeout=5)


def answered(body: bytes = BODY) -> bytes:
    """Return an answer as it goes over the wire; a shorter body breaks off."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body


def counted(name: str, **labels: str) -> float:
    """Read a metric."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_an_answer_that_breaks_off_is_asked_for_again() -> None:
    """Headers were there, and half of the body."""
    async with (
        wire(lambda _, number: answered(BODY[:20]) if number == 1 else answered()) as served,
        aiohttp.ClientSession() as session,
    ):
        client = stripe_client(served.url, session, roomy_limiter(), max_retries=1)

        intent = await StripeIntents(client).retrieve(INTENT)

    assert (intent.ref.id, served.asked) == ("pi_1", 2)


async def test_a_connection_that_is_reset_is_made_again() -> None:
    """There was no answer at all."""

    def reset_first(writer: asyncio.StreamWriter, number: int) -> bytes:
        if number == 1:
            writer.transport.abort()
        return answered()

    async with wire(reset_first) as served, aiohttp.ClientSession() as session:
        client = stripe_client(served.url, session, roomy_limiter(), max_retries=1)

        intent = await StripeIntents(client).retrieve(INTENT)

    assert (intent.ref.id, served.asked) == ("pi_1", 2)


async def test_a_silent_stripe_is_given_up_within_the_budget() -> None:
    """Each try has its time, and all of them together have one."""
    async with wire(lambda _writer, _number: None) as served, aiohttp.ClientSession() as session:
        client = stripe_client(
            served.url, session, roomy_limiter(), max_retries=5, timeout_seconds=1.0, budget_seconds=2.8
        )
        began = time.monotonic()

        with pytest.raises(StripeUnavailable):
            await StripeIntents(client).retrieve(INTENT)

        took = time.monotonic() - began

    assert 2 <= served.asked <= 3
    assert took < 6.0  # all six tries would take longer


async def test_the_budget_fits_what_is_left_of_the_buyers_request() -> None:
    """The buyer is answered before their own request runs out of time."""
    async with wire(lambda _writer, _number: None) as served, aiohttp.ClientSession() as session:
        client = stripe_client(served.url, session, roomy_limiter(), timeout_seconds=60, budget_seconds=60)
        began = time.monotonic()

        with deadline(2.0), pytest.raises(StripeUnavailable):
            await StripeIntents(client).retrieve(INTENT)

        took = time.monotonic() - began

    assert served.asked == 1
    assert 0.3 < took < 10.0


async def test_without_time_left_stripe_is_not_asked(stand_in: StripeStandIn) -> None:
    """Its answer would find nobody waiting."""
    with deadline(0.0), pytest.raises(StripeUnavailable):
        await StripeIntents(stand_in.client).retrieve(INTENT)

    assert stand_in.sent == []


@pytest.mark.parametrize("status", [409, 429, 500, 502, 503, 504])
async def test_what_may_pass_is_asked_again_with_the_same_key(stand_in: StripeStandIn, status: int) -> None:
    """So that nothing is done twice, whatever the first request did."""
    code = "lock_timeout" if status == 429 else None
    stand_in.refuse(status, "api_error", code)
    stand_in.answer(intent_json())

    intent = await StripeIntents(stand_in.client).create(ATTEMPT_ID, FOR_A_MUG, generation=0)

    assert intent.ref == intent_ref("pi_1")
    assert {sent.headers["Idempotency-Key"] for sent in stand_in.sent} == {f"attempt:{ATTEMPT_ID}"}
    assert len(stand_in.sent) == 2


@pytest.mark.parametrize("status", [200, 302, 404, 502, 503])
async def test_a_page_in_stripes_place_is_no_answer(stand_in: StripeStandIn, status: int) -> None:
    """Not even a 404 of a proxy means that there is no such intent."""
    stand_in.page(status)
    stand_in.answer(intent_json())

    intent = await StripeIntents(stand_in.client).retrieve(INTENT)

    assert intent.ref.id == "pi_1"


async def test_json_in_stripes_place_is_no_answer(stand_in: StripeStandIn) -> None:
    """All that Stripe shows says what it is."""
    stand_in.answer({"status": "maintenance"})
    stand_in.answer(intent_json())

    intent = await StripeIntents(stand_in.client).retrieve(INTENT)

    assert intent.ref.id == "pi_1"


async def test_tries_are_bounded(stand_in: StripeStandIn) -> None:
    """Three in all, with two repeats allowed."""
    for _ in range(9):
        stand_in.refuse(503, "api_error")

    with pytest.raises(StripeUnavailable):
        await StripeIntents(stand_in.client).retrieve(INTENT)

    assert len(stand_in.sent) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_a_refusal_is_not_asked_again(stand_in: StripeStandIn, status: int) -> None:
    """It would be answered the same."""
    stand_in.refuse(status, "invalid_request_error", "resource_missing")

    with pytest.raises(Exception):  # noqa: B017, PT011 — which one is told elsewhere
        await StripeIntents(stand_in.client).retrieve(INTENT)

    assert len(stand_in.sent) == 1


async def test_stripes_advice_is_heeded(stand_in: StripeStandIn) -> None:
    """It may know that another try is of no use, or of some."""
    stand_in.refuse(500, "api_error", Stripe_Should_Retry="false")
    with pytest.raises(StripeUnavailable):
        await StripeIntents(stand_in.client).retrieve(INTENT)
    after_no = len(stand_in.sent)

    stand_in.refuse(400, "invalid_request_error", Stripe_Should_Retry="true")
    stand_in.answer(intent_json())
    await StripeIntents(stand_in.client).retrieve(INTENT)

    assert after_no == 1
    assert len(stand_in.sent) == 1 + 2


async def test_a_failed_post_is_asked_again_to_learn_whether_its_key_is_spent(stand_in: StripeStandIn) -> None:
    """Whatever Stripe advises: the repeat is harmless, and a failure that is stored is stored for good."""
    stand_in.refuse(500, "api_error", Stripe_Should_Retry="false")
    stand_in.refuse(500, "api_error", Stripe_Should_Retry="false", Idempotent_Replayed="true")

    with pytest.raises(IdempotencyKeyExhausted) as spent:
        await StripeIntents(stand_in.client).create(ATTEMPT_ID, FOR_A_MUG, generation=0)

    assert spent.value.just_now
    assert len(stand_in.sent) == 2


async def test_a_stored_failure_whose_answer_was_lost_happened_just_now(stand_in: StripeStandIn) -> None:
    """Else a Stripe that fails so again and again would be asked with every key there is."""
    stand_in.page(200)
    stand_in.refuse(500, "api_error", Idempotent_Replayed="true")

    with pytest.raises(IdempotencyKeyExhausted) as spent:
        await StripeIntents(stand_in.client).create(ATTEMPT_ID, FOR_A_MUG, generation=0)

    assert spent.value.just_now


async def test_a_failure_of_long_ago_is_told_apart(stand_in: StripeStandIn) -> None:
    """A replay of what failed in an earlier request says nothing about Stripe now."""
    stand_in.refuse(500, "api_error", Idempotent_Replayed="true")

    with pytest.raises(IdempotencyKeyExhausted) as spent:
        await StripeIntents(stand_in.client).create(ATTEMPT_ID, FOR_A_MUG, generation=0)

    assert not spent.value.just_now
    assert len(stand_in.sent) == 1


async def test_stripes_retry_after_is_waited_for(stand_in: StripeStandIn) -> None:
    """Where the budget has room for it."""
    stand_in.refuse(503, "api_error", Retry_After="0.3")
    stand_in.answer(intent_json())
    began = time.monotonic()

    await StripeIntents(stand_in.client).retrieve(INTENT)

    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize("status", [429, 503])
async def test_a_retry_after_beyond_the_budget_is_passed_on(stand_in: StripeStandIn, status: int) -> None:
    """Stripe is not asked again, and the buyer learns when to come."""
    stand_in.page(status, Retry_After="17")

    with pytest.raises(StripeUnavailable) as unavailable:
        await StripeIntents(stand_in.client).retrieve(INTENT)

    assert unavailable.value.retry_after_seconds == 17
    assert len(stand_in.sent) == 1


@pytest.mark.parametrize("header", ["soon", "nan", "inf", "", "Wed, 99 Foo"])
async def test_a_retry_after_that_says_nothing_is_none(stand_in: StripeStandIn, header: str) -> None:
    """Garbage makes nobody wait."""
    for _ in range(3):
        stand_in.refuse(503, "api_error", Retry_After=header)

    with pytest.raises(StripeUnavailable) as unavailable:
        await StripeIntents(stand_in.client).retrieve(INTENT)

    assert unavailable.value.retry_after_seconds is None


async def test_a_retry_after_may_be_a_date(stand_in: StripeStandIn) -> None:
    """As RFC 9110 has it; one that has passed is now."""
    stand_in.refuse(503, "api_error", Retry_After="Wed, 21 Oct 2015 07:28:00 GMT")
    stand_in.refuse(503, "api_error", Retry_After="Wed, 21 Oct 2099 07:28:00 GMT")

    with pytest.raises(StripeUnavailable) as unavailable:
        await StripeIntents(stand_in.client).retrieve(INTENT)

    assert (unavailable.value.retry_after_seconds or 0) > 365 * 24 * 3600
    assert len(stand_in.sent) == 2


async def test_after_a_429_everybody_pauses(stand_in: StripeStandIn) -> None:
    """The next call does not even leave, and is told when to come again."""
    stand_in.refuse(429, "invalid_request_error", "rate_limit", Retry_After="20")
    with pytest.raises(StripeUnavailable):
        await StripeIntents(stand_in.client).retrieve(INTENT)

    with pytest.raises(StripeUnavailable) as unavailable:
        await StripeIntents(stand_in.client).retrieve(INTENT)

    assert 15 < (unavailable.value.retry_after_seconds or 0) <= 20
    assert len(stand_in.sent) == 1


async def test_a_locked_object_is_no_reason_to_pause(stand_in: StripeStandIn) -> None:
    """Stripe's other 429 is about one object, not about how much is asked."""
    stand_in.refuse(429, "invalid_request_error", "lock_timeout", Retry_After="20")
    with pytest.raises(StripeUnavailable):
        await StripeIntents(stand_in.client).retrieve(INTENT)
    stand_in.answer(intent_json())

    assert (await StripeIntents(stand_in.client).retrieve(INTENT)).ref.id == "pi_1"


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_is_an_operators_matter(
    stand_in: StripeStandIn, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """An error in the log and a gauge that an alert can watch, until Stripe takes the key again."""
    stand_in.refuse(status, "invalid_request_error")
    with caplog.at_level(logging.WARNING), pytest.raises(StripeKeyRefused):
        await StripeIntents(stand_in.client).retrieve(INTENT)
    while_refused = counted("holdfast_stripe_key_refused")
    stand_in.answer(intent_json())
    await StripeIntents(stand_in.client).retrieve(INTENT)

    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "secret key" in caplog.text
    assert (while_refused, counted("holdfast_stripe_key_refused")) == (1, 0)


async def test_requests_are_counted_without_ids(stand_in: StripeStandIn) -> None:
    """By operation and by what came of each try."""
    labels = [{"operation": RETRIEVE, "outcome": outcome} for outcome in ("server_error", "done")]
    before = [counted("holdfast_stripe_requests_total", **each) for each in labels]
    stand_in.refuse(500, "api_error")
    stand_in.answer(intent_json())

    await StripeIntents(stand_in.client).retrieve(INTENT)

    after = [counted("holdfast_stripe_requests_total", **each) for each in labels]
    assert [late - early for early, late in zip(before, after, strict=True)] == [1, 1]


async def test_p7_what_stripe_quotes_is_not_logged(stand_in: StripeStandIn, caplog: pytest.LogCaptureFixture) -> None:
    """Its messages repeat what was sent."""
    for _ in range(3):
        stand_in.refuse(500, "api_error")

    with caplog.at_level(logging.DEBUG, logger="payments_gateway"), pytest.raises(StripeUnavailable):
        await StripeIntents(stand_in.client).create(ATTEMPT_ID, FOR_A_MUG, generation=0)

    told = "".join(str(vars(record)) for record in caplog.records if record.name.startswith("payments_gateway"))
    assert "server_error" in told
    assert "ada@example.com" not in told
    assert ATTEMPT_ID not in told


@pytest.mark.parametrize(
    ("method", "url", "operation"),
    [
        ("post", "https://api.stripe.com/v1/payment_intents", "POST /v1/payment_intents"),
        ("get", "https://api.stripe.com/v1/payment_intents/pi_1?expand[]=x", RETRIEVE),
        ("post", "http://127.0.0.1:1/v1/payment_intents/pi_1/cancel", "POST /v1/payment_intents/{id}/cancel"),
        ("get", "http://127.0.0.1:1/v1/prices?limit=100", "GET /v1/prices"),
    ],
)
def test_operations_are_named_without_ids(method: str, url: str, operation: str) -> None:
    """Labels of metrics are few, and tell nothing about anybody."""
    assert operation_of(method, url) == operation


async def test_no_more_requests_are_under_way_than_the_limiter_allows() -> None:
    """Thirty buyers at once, three places: Stripe never sees more than three."""
    under_way, most = 0, 0

    async def handle(_: web.Request) -> web.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return web.json_response(intent_json())

    gate = StripeLimiter(max_concurrent=3, requests_per_second=10_000, longest_wait_seconds=5, monotonic=time.monotonic)
    async with serving(handle) as url, aiohttp.ClientSession() as session:
        intents = StripeIntents(stripe_client(url, session, gate))

        await asyncio.gather(*(intents.retrieve(INTENT) for _ in range(30)))

    assert most == 3
