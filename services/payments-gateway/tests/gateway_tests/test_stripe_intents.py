from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from payments_gateway.attempts import IntentKind, IntentRef
from payments_gateway.clients.stripe_intents import StripeIntents
from payments_gateway.intents import (
    IdempotencyKeyReused,
    IdempotencyKeySpent,
    IntentNotFound,
    IntentRefused,
    IntentStatus,
    StripeKeyRefused,
    StripeUnavailable,
)
from payments_gateway.money import Money

from .samples import ATTEMPT_ID, intent_ref
from .stripe_stand_in import StripeStandIn, intent_json, roomy_limiter, stripe_client, stripe_stand_in

MUG = Money(1250, "usd")


@pytest.fixture
async def stand_in() -> AsyncIterator[StripeStandIn]:
    """Give a Stripe that answers what it is told to."""
    async with stripe_stand_in() as served:
        yield served


async def test_p1_only_the_attempt_id_travels(stand_in: StripeStandIn) -> None:
    """An intent is made with one metadata key; nothing about buyer or cart goes along."""
    stand_in.answer(intent_json())

    intent = await StripeIntents(stand_in.client).create(ATTEMPT_ID, MUG, generation=0)

    [sent] = stand_in.sent
    excluded = {value for name, value in sent.fields.items() if name.startswith("excluded_payment_method_types")}
    rest = {name: value for name, value in sent.fields.items() if not name.startswith("excluded_")}
    assert (sent.method, sent.path) == ("POST", "/v1/payment_intents")
    assert rest == {
        "amount": "1250",
        "currency": "usd",
        "automatic_payment_methods[enabled]": "true",
        "metadata[checkoutAttemptId]": ATTEMPT_ID,
    }
    assert excluded == {"boleto", "customer_balance", "konbini", "multibanco", "oxxo"}
    assert (intent.ref, intent.status) == (intent_ref("pi_1"), IntentStatus.REQUIRES_PAYMENT_METHOD)
    assert (intent.attempt_id, intent.client_secret) == (ATTEMPT_ID, "pi_1_secret_hush")


@pytest.mark.parametrize(
    ("generation", "key"),
    [(0, f"attempt:{ATTEMPT_ID}"), (1, f"attempt:{ATTEMPT_ID}:1"), (2, f"attempt:{ATTEMPT_ID}:2")],
)
async def test_each_generation_has_its_idempotency_key(stand_in: StripeStandIn, generation: int, key: str) -> None:
    """So that a repeat is answered the same intent, and the next generation another."""
    stand_in.answer(intent_json())

    await StripeIntents(stand_in.client).create(ATTEMPT_ID, MUG, generation=generation)

    assert stand_in.sent[0].headers["Idempotency-Key"] == key


async def test_a_replayed_answer_is_looked_up(stand_in: StripeStandIn) -> None:
    """It shows the intent as it was when it was made: it may have been cancelled since."""
    stand_in.answer(intent_json(), Idempotent_Replayed="true")
    stand_in.answer(intent_json(status="canceled"))

    intent = await StripeIntents(stand_in.client).create(ATTEMPT_ID, MUG, generation=0)

    assert intent.status is IntentStatus.CANCELED
    assert [(sent.method, sent.path) for sent in stand_in.sent] == [
        ("POST", "/v1/payment_intents"),
        ("GET", "/v1/payment_intents/pi_1"),
    ]


@pytest.mark.parametrize(
    ("status", "kind", "code", "headers", "expected"),
    [
        (400, "idempotency_error", None, {}, IdempotencyKeyReused),
        (409, "idempotency_error", "idempotency_key_in_use", {}, StripeUnavailable),
        (500, "api_error", None, {"Idempotent_Replayed": "true"}, IdempotencyKeySpent),
        (500, "api_error", None, {}, StripeUnavailable),
        (503, "api_error", None, {}, StripeUnavailable),
        (429, "rate_limit_error", "rate_limit", {}, StripeUnavailable),
        (429, "invalid_request_error", "lock_timeout", {}, StripeUnavailable),
        (401, "invalid_request_error", None, {}, StripeKeyRefused),
        (403, "invalid_request_error", None, {}, StripeKeyRefused),
        (400, "invalid_request_error", "amount_too_small", {}, IntentRefused),
        (400, "invalid_request_error", None, {}, IntentRefused),
    ],
)
async def test_stripes_failures_have_names(
    stand_in: StripeStandIn,
    status: int,
    kind: str,
    code: str | None,
    headers: dict[str, str],
    expected: type[Exception],
) -> None:
    """What may pass, what another key may help, and what never will; none quotes Stripe's message (P7)."""
    stand_in.refuse(status, kind, code, **headers)

    with pytest.raises(Exception) as failure:  # noqa: PT011 — its type is the assertion
        await StripeIntents(stand_in.client).create(ATTEMPT_ID, MUG, generation=0)

    assert type(failure.value) is expected
    assert failure.value.__cause__ is None
    assert failure.value.__context__ is None or failure.value.__suppress_context__
    assert "ada@example.com" not in str(failure.value)


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, {}), (200, {"object": "charge"}), (200, {"object": "payment_intent"}), (400, {"error": "no"}), (404, {})],
)
async def test_what_answers_in_stripes_place_may_pass(
    stand_in: StripeStandIn, status: int, body: dict[str, Any]
) -> None:
    """JSON that is no intent and no refusal of Stripe's is as good as no answer."""
    stand_in.answer(body, status=status)

    with pytest.raises(StripeUnavailable):
        await StripeIntents(stand_in.client).create(ATTEMPT_ID, MUG, generation=0)


async def test_stripe_being_away_may_pass() -> None:
    """A refused connection is no answer."""
    async with stripe_stand_in() as stand_in:
        address = stand_in.client._requestor._options.base_addresses["api"]

    async with aiohttp.ClientSession() as session:
        away = stripe_client(str(address), session, roomy_limiter())
        with pytest.raises(StripeUnavailable):
            await StripeIntents(away).retrieve(intent_ref("pi_1"))


async def test_an_intent_is_read_as_it_stands(stand_in: StripeStandIn) -> None:
    """With what was received and whether the last try failed."""
    stand_in.answer(intent_json(status="succeeded", amount_received=1250, last_payment_error={"code": "declined"}))

    intent = await StripeIntents(stand_in.client).retrieve(intent_ref("pi_1"))

    assert (intent.status, intent.received, intent.last_payment_failed) == (IntentStatus.SUCCEEDED, MUG, True)
    assert not intent.is_payable


async def test_an_unknown_intent_is_not_found(stand_in: StripeStandIn) -> None:
    """Whoever made it up."""
    stand_in.refuse(404, "invalid_request_error", "resource_missing")

    with pytest.raises(IntentNotFound):
        await StripeIntents(stand_in.client).retrieve(intent_ref("pi_made_up"))


@pytest.mark.parametrize("verb", ["retrieve", "cancel"])
async def test_setup_intents_are_not_asked_for(stand_in: StripeStandIn, verb: str) -> None:
    """One-time checkouts have none; Stripe is left alone."""
    ref = IntentRef("seti_1", IntentKind.SETUP)

    with pytest.raises(IntentNotFound):
        await getattr(StripeIntents(stand_in.client), verb)(ref)

    assert stand_in.sent == []


async def test_a_cancel_shows_the_cancelled_intent(stand_in: StripeStandIn) -> None:
    """One call is enough."""
    stand_in.answer(intent_json(status="canceled"))

    intent = await StripeIntents(stand_in.client).cancel(intent_ref("pi_1"))

    assert intent.status is IntentStatus.CANCELED
    assert stand_in.sent[0].path == "/v1/payment_intents/pi_1/cancel"


@pytest.mark.parametrize("status", ["succeeded", "processing", "canceled"])
async def test_a_refused_cancel_shows_why(stand_in: StripeStandIn, status: str) -> None:
    """Paid, at the bank, or cancelled before: the intent's status says which."""
    stand_in.refuse(400, "invalid_request_error", "payment_intent_unexpected_state")
    stand_in.answer(intent_json(status=status))

    intent = await StripeIntents(stand_in.client).cancel(intent_ref("pi_1"))

    assert intent.status.value == status


async def test_a_cancel_that_is_refused_otherwise_is_told(stand_in: StripeStandIn) -> None:
    """It must not pass for a look at the intent."""
    stand_in.refuse(400, "invalid_request_error", "parameter_unknown")

    with pytest.raises(IntentRefused):
        await StripeIntents(stand_in.client).cancel(intent_ref("pi_1"))


async def test_a_cancel_whose_key_replays_a_failure_is_sent_with_another(stand_in: StripeStandIn) -> None:
    """Nothing is cancelled twice, so a fresh key does no harm."""
    stand_in.refuse(500, "api_error", Idempotent_Replayed="true")
    stand_in.answer(intent_json(status="canceled"))

    intent = await StripeIntents(stand_in.client).cancel(intent_ref("pi_1"))

    first, second = (sent.headers["Idempotency-Key"] for sent in stand_in.sent)
    assert intent.status is IntentStatus.CANCELED
    assert first != second


async def test_a_cancel_that_keeps_failing_may_pass(stand_in: StripeStandIn) -> None:
    """Two keys are enough; the buyer is told to come again."""
    for _ in range(2):
        stand_in.refuse(500, "api_error", Idempotent_Replayed="true")

    with pytest.raises(StripeUnavailable):
        await StripeIntents(stand_in.client).cancel(intent_ref("pi_1"))

    assert len(stand_in.sent) == 2
