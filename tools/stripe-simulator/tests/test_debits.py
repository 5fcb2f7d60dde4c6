from typing import Any

import pytest
import stripe

from stripe_simulator.testing import SimulatedStripe

GOOD_IBAN = "AT611904300234573201"
FAILING_IBAN = "AT861904300235473202"
SETTLEMENT_SECONDS = 180


async def fetch(sim: SimulatedStripe, intent_id: str) -> stripe.PaymentIntent:
    """Retrieve the intent as it is now."""
    return await sim.api.v1.payment_intents.retrieve_async(intent_id)


async def test_a_debit_is_processing_until_the_clock_says_so(sim: SimulatedStripe) -> None:
    """Nothing is received while a debit is processing; it arrives when its time has come."""
    intent = await sim.intent(currency="eur")
    paying = await sim.pay(intent.id, iban=GOOD_IBAN)
    await sim.control("POST", "/clock/advance", {"seconds": SETTLEMENT_SECONDS - 30})
    waiting = await fetch(sim, intent.id)

    await sim.control("POST", "/clock/advance", {"seconds": 30})

    arrived = await fetch(sim, intent.id)
    assert (paying["status"], paying["amount_received"]) == ("processing", 0)
    assert waiting.status == "processing"
    assert (arrived.status, arrived.amount_received) == ("succeeded", 1999)
    assert await sim.event_types() == [
        "payment_intent.created",
        "charge.pending",
        "payment_intent.processing",
        "charge.succeeded",
        "payment_intent.succeeded",
    ]


async def test_a_debit_fails_days_later(sim: SimulatedStripe) -> None:
    """A failing account is processing too at first; then the intent waits for another payment method."""
    intent = await sim.intent(currency="eur")
    paying = await sim.pay(intent.id, iban=FAILING_IBAN)

    await sim.control("POST", "/clock/advance", {"seconds": SETTLEMENT_SECONDS})

    failed = await fetch(sim, intent.id)
    assert paying["status"] == "processing"
    assert (failed.status, failed.amount_received) == ("requires_payment_method", 0)
    assert failed.last_payment_error
    assert (await sim.event_types())[-2:] == ["charge.failed", "payment_intent.payment_failed"]


@pytest.mark.parametrize(("succeed", "status"), [(True, "succeeded"), (False, "requires_payment_method")])
async def test_a_debit_settles_by_hand(sim: SimulatedStripe, succeed: bool, status: str) -> None:  # noqa: FBT001 - a parameter
    """A test can decide when and how a debit ends; the clock then changes nothing any more."""
    intent = await sim.intent()
    await sim.pay(intent.id, payment_method="pm_usBankAccount")

    settled = await sim.control("POST", f"/payment_intents/{intent.id}/settle", {"succeed": succeed})
    await sim.control("POST", "/clock/advance", {"seconds": SETTLEMENT_SECONDS})

    assert settled["status"] == status
    assert (await fetch(sim, intent.id)).status == status


async def test_a_processing_intent_can_neither_be_canceled_nor_paid_again(sim: SimulatedStripe) -> None:
    """While the debit is on its way nothing else can happen to the intent."""
    intent = await sim.intent(currency="eur")
    await sim.pay(intent.id, iban=GOOD_IBAN)

    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.api.v1.payment_intents.cancel_async(intent.id)
    again = await sim.pay(intent.id)

    assert refused.value.code == "payment_intent_unexpected_state"
    assert again["error"]["code"] == "payment_intent_unexpected_state"


async def test_debits_fit_their_currency(sim: SimulatedStripe) -> None:
    """A SEPA debit cannot pay dollars."""
    intent = await sim.intent(currency="usd")

    outcome = await sim.pay(intent.id, iban=GOOD_IBAN)

    assert outcome["error"]["code"] == "payment_intent_incompatible_payment_method"


async def test_a_server_needs_a_mandate(sim: SimulatedStripe) -> None:
    """Debiting an account from the server takes the buyer's mandate."""
    intent = await sim.intent(currency="eur")
    params: Any = {
        "return_url": "https://shop.example",
        "payment_method_data": {"type": "sepa_debit", "sepa_debit": {"iban": GOOD_IBAN}},
    }
    with_mandate: Any = {**params, "mandate_data": {"customer_acceptance": {"type": "offline"}}}

    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.api.v1.payment_intents.confirm_async(intent.id, params)
    confirmed = await sim.api.v1.payment_intents.confirm_async(intent.id, with_mandate)

    assert refused.value.code == "payment_intent_mandate_invalid"
    assert confirmed.status == "processing"


@pytest.mark.parametrize(
    "details",
    [
        {"type": "sepa_debit", "sepa_debit": {"iban": "DE00000000000000000000"}},
        {"type": "us_bank_account", "us_bank_account": {"account_number": "1", "routing_number": "110000000"}},
    ],
)
async def test_unknown_accounts_are_refused(sim: SimulatedStripe, details: Any) -> None:
    """Only test accounts can be saved."""
    with pytest.raises(stripe.InvalidRequestError):
        await sim.api.v1.payment_methods.create_async(details)


async def test_kinds_that_are_not_modelled_are_refused(sim: SimulatedStripe) -> None:
    """A kind of payment method that the simulator does not know how to charge is refused."""
    with pytest.raises(stripe.InvalidRequestError, match="does not model"):
        await sim.api.v1.payment_methods.create_async({"type": "alipay"})
