from typing import Any

import pytest
import stripe

from stripe_simulator.testing import Stage

GOOD_IBAN = "AT611904300234573201"
FAILING_IBAN = "AT861904300235473202"
SETTLEMENT_SECONDS = 180


async def fetch(stage: Stage, intent_id: str) -> stripe.PaymentIntent:
    """Retrieve the intent as it is now."""
    return await stage.api.v1.payment_intents.retrieve_async(intent_id)


async def test_a_debit_is_processing_until_the_clock_says_so(stage: Stage) -> None:
    """Nothing is received while a debit is processing; it arrives when its time has come."""
    intent = await stage.intent(currency="eur")
    paying = await stage.pay(intent.id, iban=GOOD_IBAN)
    await stage.knob("POST", "/clock/advance", {"seconds": SETTLEMENT_SECONDS - 30})
    waiting = await fetch(stage, intent.id)

    await stage.knob("POST", "/clock/advance", {"seconds": 30})

    arrived = await fetch(stage, intent.id)
    assert (paying["status"], paying["amount_received"]) == ("processing", 0)
    assert waiting.status == "processing"
    assert (arrived.status, arrived.amount_received) == ("succeeded", 1999)
    assert await stage.event_types() == [
        "payment_intent.created",
        "charge.pending",
        "payment_intent.processing",
        "charge.succeeded",
        "payment_intent.succeeded",
    ]


async def test_a_debit_fails_days_later(stage: Stage) -> None:
    """A failing account is processing too at first; then the intent waits for another payment method."""
    intent = await stage.intent(currency="eur")
    paying = await stage.pay(intent.id, iban=FAILING_IBAN)

    await stage.knob("POST", "/clock/advance", {"seconds": SETTLEMENT_SECONDS})

    failed = await fetch(stage, intent.id)
    assert paying["status"] == "processing"
    assert (failed.status, failed.amount_received) == ("requires_payment_method", 0)
    assert failed.last_payment_error
    assert (await stage.event_types())[-2:] == ["charge.failed", "payment_intent.payment_failed"]


@pytest.mark.parametrize(("succeed", "status"), [(True, "succeeded"), (False, "requires_payment_method")])
async def test_a_debit_settles_by_hand(stage: Stage, succeed: bool, status: str) -> None:  # noqa: FBT001 - a parameter
    """A test can decide when and how a debit ends; the clock then changes nothing any more."""
    intent = await stage.intent()
    await stage.pay(intent.id, payment_method="pm_usBankAccount")

    settled = await stage.knob("POST", f"/payment_intents/{intent.id}/settle", {"succeed": succeed})
    await stage.knob("POST", "/clock/advance", {"seconds": SETTLEMENT_SECONDS})

    assert settled["status"] == status
    assert (await fetch(stage, intent.id)).status == status


async def test_a_processing_intent_can_neither_be_canceled_nor_paid_again(stage: Stage) -> None:
    """While the debit is on its way nothing else can happen to the intent."""
    intent = await stage.intent(currency="eur")
    await stage.pay(intent.id, iban=GOOD_IBAN)

    with pytest.raises(stripe.InvalidRequestError) as refused:
        await stage.api.v1.payment_intents.cancel_async(intent.id)
    again = await stage.pay(intent.id)

    assert refused.value.code == "payment_intent_unexpected_state"
    assert again["error"]["code"] == "payment_intent_unexpected_state"


async def test_debits_fit_their_currency(stage: Stage) -> None:
    """A SEPA debit cannot pay dollars."""
    intent = await stage.intent(currency="usd")

    outcome = await stage.pay(intent.id, iban=GOOD_IBAN)

    assert outcome["error"]["code"] == "payment_intent_incompatible_payment_method"


async def test_a_server_needs_a_mandate(stage: Stage) -> None:
    """Debiting an account from the server takes the buyer's mandate."""
    intent = await stage.intent(currency="eur")
    params: Any = {
        "return_url": "https://shop.example",
        "payment_method_data": {"type": "sepa_debit", "sepa_debit": {"iban": GOOD_IBAN}},
    }
    with_mandate: Any = {**params, "mandate_data": {"customer_acceptance": {"type": "offline"}}}

    with pytest.raises(stripe.InvalidRequestError) as refused:
        await stage.api.v1.payment_intents.confirm_async(intent.id, params)
    confirmed = await stage.api.v1.payment_intents.confirm_async(intent.id, with_mandate)

    assert refused.value.code == "payment_intent_mandate_invalid"
    assert confirmed.status == "processing"


@pytest.mark.parametrize(
    "details",
    [
        {"type": "sepa_debit", "sepa_debit": {"iban": "DE00000000000000000000"}},
        {"type": "us_bank_account", "us_bank_account": {"account_number": "1", "routing_number": "110000000"}},
    ],
)
async def test_unknown_accounts_are_refused(stage: Stage, details: Any) -> None:
    """Only test accounts can be saved."""
    with pytest.raises(stripe.InvalidRequestError):
        await stage.api.v1.payment_methods.create_async(details)


async def test_kinds_that_are_not_modelled_are_refused(stage: Stage) -> None:
    """A kind of payment method that the simulator does not know how to charge is refused."""
    with pytest.raises(stripe.InvalidRequestError, match="does not model"):
        await stage.api.v1.payment_methods.create_async({"type": "alipay"})
