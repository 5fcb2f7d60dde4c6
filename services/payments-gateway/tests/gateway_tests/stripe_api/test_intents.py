from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from payments_gateway.domain.attempts import IntentKind, IntentRef
from payments_gateway.domain.intents import IntentParams, IntentStatus
from payments_gateway.domain.money import Money
from payments_gateway.domain.stripe_errors import StripeUnavailable
from payments_gateway.stripe_api.intents import StripeIntents, intent_from_stripe

from ..samples import ATTEMPT_ID, INTENT_CREATED_AT, intent_ref
from ..stripe_stand_in import Sent, StripeStandIn, intent_json, roomy_limiter, stripe_client, stripe_stand_in

MUG = Money(1250, "usd")
FOR_A_MUG = IntentParams(IntentKind.PAYMENT, MUG, customer_id=None)
FOR_A_MUG_AND_A_CLUB = IntentParams(IntentKind.PAYMENT, MUG, customer_id="cus_1")
FOR_A_CLUB = IntentParams(IntentKind.SETUP, Money(0, "usd"), customer_id="cus_1")
SETUP_REF = IntentRef("seti_1", IntentKind.SETUP)


def setup_intent_json(**changes: Any) -> dict[str, Any]:
    """Return a SetupIntent as Stripe shows it."""
    shown = {
        "id": "seti_1",
        "object": "setup_intent",
        "created": int(INTENT_CREATED_AT.timestamp()),
        "status": "requires_payment_method",
        "livemode": False,
        "metadata": {"checkoutAttemptId": ATTEMPT_ID},
        "client_secret": "seti_1_secret_hush",
        "last_setup_error": None,
        "payment_method": None,
    }
    return {**shown, **changes}


DELETED = {"id": "cus_1", "object": "customer", "deleted": True}
PAID_DAYS_LATER = {"boleto", "customer_balance", "konbini", "multibanco", "oxxo"}
NOT_REUSABLE = {"bancontact", "ideal", "sofort"}
KINDS = [
    (intent_ref("pi_1"), intent_json, FOR_A_MUG, "/v1/payment_intents"),
    (SETUP_REF, setup_intent_json, FOR_A_CLUB, "/v1/setup_intents"),
]


def excluded_types(sent: Sent) -> set[str]:
    """Return the payment methods that must not be offered."""
    return {value for name, value in sent.fields.items() if name.startswith("excluded_payment_method_types")}


def other_fields(sent: Sent) -> dict[str, str]:
    """Return the fields but the excluded payment methods."""
    return {name: value for name, value in sent.fields.items() if not name.startswith("excluded_")}


@pytest.fixture
async def stand_in() -> AsyncIterator[StripeStandIn]:
    """Give a Stripe that responds as told."""
    async with stripe_stand_in() as served:
        yield served


async def test_p1_only_the_attempt_id_travels(stand_in: StripeStandIn) -> None:
    """An intent has one metadata key, and nothing about buyer or cart."""
    stand_in.answer(intent_json())

    intent = await StripeIntents(stand_in.client).create(ATTEMPT_ID, FOR_A_MUG, generation=0)

    [sent] = stand_in.sent
    assert (sent.method, sent.path) == ("POST", "/v1/payment_intents")
    assert other_fields(sent) == {
        "amount": "1250",
        "currency": "usd",
        "automatic_payment_methods[enabled]": "true",
        "metadata[checkoutAttemptId]": ATTEMPT_ID,
    }
    assert excluded_types(sent) == PAID_DAYS_LATER
    assert (intent.ref, intent.status) == (intent_ref("pi_1"), IntentStatus.REQUIRES_PAYMENT_METHOD)
    assert (intent.attempt_id, intent.client_secret) == (ATTEMPT_ID, "pi_1_secret_hush")


async def test_a_mixed_cart_keeps_the_payment_method_for_its_subscriptions(stand_in: StripeStandIn) -> None:
    """The payment intent names the customer and what the method is for; its metadata is the attempt id alone (P1)."""
    stand_in.answer(intent_json())

    await StripeIntents(stand_in.client).create(ATTEMPT_ID, FOR_A_MUG_AND_A_CLUB, generation=0)

    [sent] = stand_in.sent
    assert excluded_types(sent) == PAID_DAYS_LATER | NOT_REUSABLE
    assert other_fields(sent) == {
        "amount": "1250",
        "currency": "usd",
        "automatic_payment_methods[enabled]": "true",
        "customer": "cus_1",
        "setup_future_usage": "off_session",
        "metadata[checkoutAttemptId]": ATTEMPT_ID,
    }


async def test_p1_a_setup_intent_carries_only_the_attempt_id(stand_in: StripeStandIn) -> None:
    """It names the customer, and offers no method that is paid days later or cannot be charged again."""
    stand_in.answer(setup_intent_json())

    intent = await StripeIntents(stand_in.client).create(ATTEMPT_ID, FOR_A_CLUB, generation=0)

    [sent] = stand_in.sent
    assert (sent.method, sent.path) == ("POST", "/v1/setup_intents")
    assert other_fields(sent) == {
        "automatic_payment_methods[enabled]": "true",
        "customer": "cus_1",
        "usage": "off_session",
        "metadata[checkoutAttemptId]": ATTEMPT_ID,
    }
    assert excluded_types(sent) == PAID_DAYS_LATER | NOT_REUSABLE
    assert (intent.ref, intent.received, intent.client_secret) == (SETUP_REF, None, "seti_1_secret_hush")


async def test_a_setup_intent_needs_a_customer(stand_in: StripeStandIn) -> None:
    """Without one Stripe would keep no payment method."""
    params = IntentParams(IntentKind.SETUP, Money(0, "usd"), customer_id=None)

    with pytest.raises(ValueError, match="needs a customer"):
        await StripeIntents(stand_in.client).create(ATTEMPT_ID, params, generation=0)

    assert stand_in.sent == []


@pytest.mark.parametrize(
    ("generation", "key"),
    [(0, f"attempt:{ATTEMPT_ID}"), (1, f"attempt:{ATTEMPT_ID}:1"), (2, f"attempt:{ATTEMPT_ID}:2")],
)
async def test_each_generation_has_its_idempotency_key(stand_in: StripeStandIn, generation: int, key: str) -> None:
    """A repeat returns the same intent, the next generation another."""
    stand_in.answer(intent_json())

    await StripeIntents(stand_in.client).create(ATTEMPT_ID, FOR_A_MUG, generation=generation)

    assert stand_in.sent[0].headers["Idempotency-Key"] == key


@pytest.mark.parametrize(("ref", "shown", "params", "path"), KINDS, ids=["payment", "setup"])
async def test_a_replayed_response_is_looked_up(
    stand_in: StripeStandIn, ref: IntentRef, shown: Any, params: IntentParams, path: str
) -> None:
    """It shows the intent as it was created, and it may have been cancelled since."""
    stand_in.answer(shown(), Idempotent_Replayed="true")
    stand_in.answer(shown(status="canceled"))

    intent = await StripeIntents(stand_in.client).create(ATTEMPT_ID, params, generation=0)

    assert intent.status is IntentStatus.CANCELED
    assert [(sent.method, sent.path) for sent in stand_in.sent] == [("POST", path), ("GET", f"{path}/{ref.id}")]


@pytest.mark.parametrize(
    "status",
    ["requires_payment_method", "requires_confirmation", "requires_action", "processing", "canceled", "succeeded"],
)
async def test_an_intent_is_read(stand_in: StripeStandIn, status: str) -> None:
    """Of both kinds: status, received amount, failure of the last try, payment method, customer if it can be ours."""
    paid: dict[str, Any] = {"amount_received": 1250, "payment_method": {"id": "pm_1"}, "customer": {"id": "cus_1"}}
    declined: dict[str, Any] = {"last_setup_error": {"code": "card_declined"}, "payment_method": "pm_2"}
    stand_in.answer(intent_json(status=status, **paid))
    stand_in.answer(setup_intent_json(status=status, customer="J. Doe", **declined))
    intents = StripeIntents(stand_in.client)

    payment, setup = await intents.retrieve(intent_ref("pi_1")), await intents.retrieve(SETUP_REF)

    assert [payment.status.value, setup.status.value] == [status, status]
    assert [payment.received, setup.received] == [MUG, None]
    assert [payment.last_payment_failed, setup.last_payment_failed] == [False, True]
    assert [payment.payment_method_id, setup.payment_method_id] == ["pm_1", "pm_2"]
    assert [payment.customer_id, setup.customer_id] == ["cus_1", None]
    assert payment.is_payable is setup.is_payable is status.startswith("requires_")


@pytest.mark.parametrize(
    ("next_action", "awaits"),
    [(None, False), ({"type": "redirect_to_url"}, False), ({"type": "verify_with_microdeposits"}, True)],
)
def test_an_intent_says_whether_it_awaits_microdeposits(next_action: object, *, awaits: bool) -> None:
    """Of both kinds."""
    intents = [form(status="requires_action", next_action=next_action) for form in (intent_json, setup_intent_json)]

    assert [intent_from_stripe(intent).awaits_microdeposits for intent in intents] == [awaits] * 2


async def test_a_retrieved_payment_says_when_it_was_charged_and_what_was_refunded(stand_in: StripeStandIn) -> None:
    """An event shows the charge by its id, and does not say."""
    charge = {"id": "ch_1", "currency": "usd", "amount_refunded": 1250, "created": 1_790_000_000}
    stand_in.answer(intent_json(status="succeeded", amount_received=1250, latest_charge=charge))

    retrieved = await StripeIntents(stand_in.client).retrieve(intent_ref("pi_1"))
    shown = intent_from_stripe(intent_json(status="succeeded", amount_received=1250, latest_charge="ch_1"))

    assert (retrieved.refunded, retrieved.is_refunded_in_full) == (MUG, True)
    assert (shown.refunded, shown.is_refunded_in_full) == (None, False)
    assert (retrieved.charged_at, shown.charged_at) == (datetime.fromtimestamp(1_790_000_000, UTC), None)


@pytest.mark.parametrize(("customer", "deleted"), [("cus_1", False), ({"id": "cus_1"}, False), (DELETED, True)])
async def test_a_retrieved_intent_says_whether_its_customer_was_deleted(
    stand_in: StripeStandIn, customer: object, *, deleted: bool
) -> None:
    """Only where it is asked to: a key may lack the permission to read customers."""
    stand_in.answer(intent_json(customer=customer))
    stand_in.answer(intent_json(customer="cus_1"))

    intents = StripeIntents(stand_in.client)
    asked = await intents.retrieve(intent_ref("pi_1"), with_customer=True)
    await intents.retrieve(intent_ref("pi_1"))

    assert (asked.customer_id, asked.customer_deleted) == ("cus_1", deleted)
    assert ["customer" in request.fields.values() for request in stand_in.sent] == [True, False]


async def test_an_unknown_status_is_read_as_unknown(stand_in: StripeStandIn) -> None:
    """Stripe may add one."""
    stand_in.answer(intent_json(status="a new word"))

    assert (await StripeIntents(stand_in.client).retrieve(intent_ref("pi_1"))).status is IntentStatus.UNKNOWN


@pytest.mark.parametrize(("ref", "shown", "_params", "path"), KINDS, ids=["payment", "setup"])
@pytest.mark.parametrize("status", ["succeeded", "processing", "canceled"])
async def test_a_refused_cancel_returns_the_intent(
    stand_in: StripeStandIn, ref: IntentRef, shown: Any, _params: IntentParams, path: str, status: str
) -> None:
    """Its status says why: paid, processing, or cancelled before."""
    stand_in.refuse(400, "invalid_request_error", f"{ref.kind.value}_intent_unexpected_state")
    stand_in.answer(shown(status=status))

    intent = await StripeIntents(stand_in.client).cancel(ref)

    assert intent.status.value == status
    assert [sent.path for sent in stand_in.sent] == [f"{path}/{ref.id}/cancel", f"{path}/{ref.id}"]


async def test_a_cancel_whose_key_replays_a_failure_is_sent_with_another(stand_in: StripeStandIn) -> None:
    """And returns the cancelled intent."""
    stand_in.refuse(500, "api_error", Idempotent_Replayed="true")
    stand_in.answer(intent_json(status="canceled"))

    intent = await StripeIntents(stand_in.client).cancel(intent_ref("pi_1"))

    assert intent.status is IntentStatus.CANCELED
    assert len({sent.headers["Idempotency-Key"] for sent in stand_in.sent}) == 2


async def test_a_refused_connection_is_unavailable() -> None:
    """Like no response."""
    async with stripe_stand_in() as stand_in:
        address = stand_in.client._requestor._options.base_addresses["api"]

    async with aiohttp.ClientSession() as session:
        with pytest.raises(StripeUnavailable):
            await StripeIntents(stripe_client(str(address), session, roomy_limiter())).retrieve(intent_ref("pi_1"))
