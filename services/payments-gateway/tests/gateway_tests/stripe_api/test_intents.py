from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from payments_gateway.domain.attempts import IntentKind, IntentRef
from payments_gateway.domain.intents import CustomerMissing, IntentNotFound, IntentParams, IntentRefused, IntentStatus
from payments_gateway.domain.money import Money
from payments_gateway.domain.stripe_errors import (
    IdempotencyKeyExhausted,
    IdempotencyKeyReused,
    StripeKeyRefused,
    StripeUnavailable,
)
from payments_gateway.stripe_api.intents import StripeIntents

from ..samples import ATTEMPT_ID, intent_ref
from ..stripe_stand_in import Sent, StripeStandIn, intent_json, roomy_limiter, stripe_client, stripe_stand_in

MUG = Money(1250, "usd")
NOTHING = Money(0, "usd")
FOR_A_MUG = IntentParams(IntentKind.PAYMENT, MUG, customer_id=None)
FOR_A_MUG_AND_A_CLUB = IntentParams(IntentKind.PAYMENT, MUG, customer_id="cus_1")
FOR_A_CLUB = IntentParams(IntentKind.SETUP, NOTHING, customer_id="cus_1")
SETUP_REF = IntentRef("seti_1", IntentKind.SETUP)


def setup_intent_json(**changes: Any) -> dict[str, Any]:
    """Return a SetupIntent as Stripe shows it."""
    shown = {
        "id": "seti_1",
        "object": "setup_intent",
        "status": "requires_payment_method",
        "livemode": False,
        "metadata": {"checkoutAttemptId": ATTEMPT_ID},
        "client_secret": "seti_1_secret_hush",
        "last_setup_error": None,
        "payment_method": None,
    }
    return {**shown, **changes}


PAID_DAYS_LATER = {"boleto", "customer_balance", "konbini", "multibanco", "oxxo"}
CHARGED_BY_ANOTHER = {"bancontact", "ideal", "sofort"}


def excluded_types(sent: Sent) -> set[str]:
    """Return which payment methods were not to be offered."""
    return {value for name, value in sent.fields.items() if name.startswith("excluded_payment_method_types")}


@pytest.fixture
async def stand_in() -> AsyncIterator[StripeStandIn]:
    """Give a Stripe that answers what it is told to."""
    async with stripe_stand_in() as served:
        yield served


async def test_p1_only_the_attempt_id_travels(stand_in: StripeStandIn) -> None:
    """An intent is made with one metadata key; nothing about buyer or cart goes along."""
    stand_in.answer(intent_json())

    intent = await StripeIntents(stand_in.client).create(ATTEMPT_ID, FOR_A_MUG, generation=0)

    [sent] = stand_in.sent
    rest = {name: value for name, value in sent.fields.items() if not name.startswith("excluded_")}
    assert (sent.method, sent.path) == ("POST", "/v1/payment_intents")
    assert rest == {
        "amount": "1250",
        "currency": "usd",
        "automatic_payment_methods[enabled]": "true",
        "metadata[checkoutAttemptId]": ATTEMPT_ID,
    }
    assert excluded_types(sent) == PAID_DAYS_LATER
    assert (intent.ref, intent.status) == (intent_ref("pi_1"), IntentStatus.REQUIRES_PAYMENT_METHOD)
    assert (intent.attempt_id, intent.client_secret) == (ATTEMPT_ID, "pi_1_secret_hush")


@pytest.mark.parametrize(
    ("generation", "key"),
    [(0, f"attempt:{ATTEMPT_ID}"), (1, f"attempt:{ATTEMPT_ID}:1"), (2, f"attempt:{ATTEMPT_ID}:2")],
)
async def test_each_generation_has_its_idempotency_key(stand_in: StripeStandIn, generation: int, key: str) -> None:
    """So that a repeat is answered the same intent, and the next generation another."""
    stand_in.answer(intent_json())

    await StripeIntents(stand_in.client).create(ATTEMPT_ID, FOR_A_MUG, generation=generation)

    assert stand_in.sent[0].headers["Idempotency-Key"] == key


async def test_a_replayed_answer_is_looked_up(stand_in: StripeStandIn) -> None:
    """It shows the intent as it was when it was made: it may have been cancelled since."""
    stand_in.answer(intent_json(), Idempotent_Replayed="true")
    stand_in.answer(intent_json(status="canceled"))

    intent = await StripeIntents(stand_in.client).create(ATTEMPT_ID, FOR_A_MUG, generation=0)

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
        (500, "api_error", None, {"Idempotent_Replayed": "true"}, IdempotencyKeyExhausted),
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
        await StripeIntents(stand_in.client).create(ATTEMPT_ID, FOR_A_MUG, generation=0)

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
        await StripeIntents(stand_in.client).create(ATTEMPT_ID, FOR_A_MUG, generation=0)


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


async def test_a_mixed_cart_keeps_the_payment_method_for_its_subscriptions(stand_in: StripeStandIn) -> None:
    """The payment intent names the customer and what the method is for; its metadata is the attempt id alone (P1)."""
    stand_in.answer(intent_json())

    await StripeIntents(stand_in.client).create(ATTEMPT_ID, FOR_A_MUG_AND_A_CLUB, generation=0)

    [sent] = stand_in.sent
    assert excluded_types(sent) == PAID_DAYS_LATER | CHARGED_BY_ANOTHER
    assert {name: value for name, value in sent.fields.items() if not name.startswith("excluded_")} == {
        "amount": "1250",
        "currency": "usd",
        "automatic_payment_methods[enabled]": "true",
        "customer": "cus_1",
        "setup_future_usage": "off_session",
        "metadata[checkoutAttemptId]": ATTEMPT_ID,
    }


async def test_p1_a_setup_intent_carries_only_the_attempt_id(stand_in: StripeStandIn) -> None:
    """It names the customer, and takes no method that is paid days later or that only another one can charge again."""
    stand_in.answer(setup_intent_json())

    intent = await StripeIntents(stand_in.client).create(ATTEMPT_ID, FOR_A_CLUB, generation=1)

    [sent] = stand_in.sent
    assert (sent.method, sent.path) == ("POST", "/v1/setup_intents")
    assert sent.headers["Idempotency-Key"] == f"attempt:{ATTEMPT_ID}:1"
    assert {name: value for name, value in sent.fields.items() if not name.startswith("excluded_")} == {
        "automatic_payment_methods[enabled]": "true",
        "customer": "cus_1",
        "usage": "off_session",
        "metadata[checkoutAttemptId]": ATTEMPT_ID,
    }
    assert excluded_types(sent) == PAID_DAYS_LATER | CHARGED_BY_ANOTHER
    assert (intent.ref, intent.received, intent.client_secret) == (SETUP_REF, None, "seti_1_secret_hush")


async def test_a_replayed_setup_intent_is_looked_up(stand_in: StripeStandIn) -> None:
    """It may have been cancelled since."""
    stand_in.answer(setup_intent_json(), Idempotent_Replayed="true")
    stand_in.answer(setup_intent_json(status="canceled"))

    intent = await StripeIntents(stand_in.client).create(ATTEMPT_ID, FOR_A_CLUB, generation=0)

    assert intent.status is IntentStatus.CANCELED
    assert stand_in.sent[1].path == "/v1/setup_intents/seti_1"


@pytest.mark.parametrize(("param", "expected"), [("customer", CustomerMissing), ("payment_method", IntentNotFound)])
@pytest.mark.parametrize("terms", [FOR_A_MUG_AND_A_CLUB, FOR_A_CLUB])
async def test_a_deleted_customer_is_told_from_a_missing_intent(
    stand_in: StripeStandIn, terms: IntentParams, param: str, expected: type[Exception]
) -> None:
    """Only a missing customer can be replaced."""
    error = {"type": "invalid_request_error", "code": "resource_missing", "param": param, "message": "No such thing"}
    stand_in.answer({"error": error}, status=400)

    with pytest.raises(expected):
        await StripeIntents(stand_in.client).create(ATTEMPT_ID, terms, generation=0)


async def test_nothing_is_set_up_for_nobody(stand_in: StripeStandIn) -> None:
    """Without a customer Stripe would keep nothing; that is a fault of ours."""
    with pytest.raises(ValueError, match="without a customer"):
        await StripeIntents(stand_in.client).create(
            ATTEMPT_ID, IntentParams(IntentKind.SETUP, NOTHING, customer_id=None), generation=0
        )

    assert stand_in.sent == []


@pytest.mark.parametrize(
    "status",
    ["requires_payment_method", "requires_confirmation", "requires_action", "processing", "canceled", "succeeded"],
)
async def test_a_setup_intent_is_read_as_it_stands(stand_in: StripeStandIn, status: str) -> None:
    """Each of its statuses has its word, and it takes nothing."""
    stand_in.answer(setup_intent_json(status=status, last_setup_error={"code": "card_declined"}))

    intent = await StripeIntents(stand_in.client).retrieve(SETUP_REF)

    assert stand_in.sent[0].path == "/v1/setup_intents/seti_1"
    assert (intent.status.value, intent.received, intent.last_payment_failed) == (status, None, True)
    assert intent.is_payable is status.startswith("requires_")


@pytest.mark.parametrize("status", ["succeeded", "processing", "canceled"])
async def test_a_refused_cancel_of_a_setup_intent_shows_why(stand_in: StripeStandIn, status: str) -> None:
    """As with payment intents, in Stripe's words for the other kind."""
    stand_in.refuse(400, "invalid_request_error", "setup_intent_unexpected_state")
    stand_in.answer(setup_intent_json(status=status))

    intent = await StripeIntents(stand_in.client).cancel(SETUP_REF)

    assert stand_in.sent[0].path == "/v1/setup_intents/seti_1/cancel"
    assert intent.status.value == status


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
