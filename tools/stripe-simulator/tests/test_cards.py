from typing import Any

import pytest
import stripe

from stripe_simulator.instruments import CARDS_BY_NUMBER, passes_luhn
from stripe_simulator.testing import SimulatedStripe

RETURN_URL = "https://shop.example/return"


async def confirm(sim: SimulatedStripe, intent_id: str, method: str, **params: Any) -> stripe.PaymentIntent:
    """Confirm from the server."""
    given: Any = {"payment_method": method, "return_url": RETURN_URL, **params}
    return await sim.api.v1.payment_intents.confirm_async(intent_id, given)


async def fetch(sim: SimulatedStripe, intent_id: str) -> stripe.PaymentIntent:
    """Retrieve the intent as it is now."""
    return await sim.api.v1.payment_intents.retrieve_async(intent_id)


@pytest.mark.parametrize(
    ("method", "code", "decline_code"),
    [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", "incorrect_cvc"),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error"),
        ("pm_card_chargeCustomerFail", "card_declined", "generic_decline"),
    ],
)
async def test_a_declined_card_is_402(sim: SimulatedStripe, method: str, code: str, decline_code: str) -> None:
    """The error has codes, charge and intent; the intent waits for another payment method."""
    intent = await sim.intent()

    with pytest.raises(stripe.CardError) as declined:
        await confirm(sim, intent.id, method)

    body: Any = declined.value.json_body
    error = body["error"]
    assert (declined.value.http_status, error["type"]) == (402, "card_error")
    assert (error["code"], error["decline_code"]) == (code, decline_code)
    assert error["payment_intent"]["status"] == "requires_payment_method"
    assert error["payment_intent"]["last_payment_error"]["charge"] == error["charge"]
    assert await sim.event_types() == ["payment_intent.created", "charge.failed", "payment_intent.payment_failed"]


async def test_another_card_pays_after_a_decline(sim: SimulatedStripe) -> None:
    """A decline leaves the intent payable; success clears the error."""
    intent = await sim.intent()
    declined = await sim.pay(intent.id, payment_method="pm_card_chargeDeclined")

    paid = await sim.pay(intent.id)

    after = await fetch(sim, intent.id)
    assert (declined["status"], declined["error"]["code"]) == ("requires_payment_method", "card_declined")
    assert (paid["status"], paid["error"]) == ("succeeded", None)
    assert (after.amount_received, after.last_payment_error) == (1999, None)
    assert len((await sim.api.v1.charges.list_async({"payment_intent": intent.id})).data) == 2


@pytest.mark.parametrize(
    ("number", "status", "code"),
    [
        ("4242 4242 4242 4242", "succeeded", None),
        ("5555555555554444", "succeeded", None),
        ("4000000000000002", "requires_payment_method", "card_declined"),
        ("4000000000009995", "requires_payment_method", "card_declined"),
        ("4000002500003155", "requires_action", None),
        ("4000000000003220", "requires_action", None),
        ("4242424242424241", "requires_payment_method", "incorrect_number"),
        ("4111111111111111", "requires_payment_method", "card_declined"),
    ],
)
async def test_card_numbers_behave_like_their_tokens(
    sim: SimulatedStripe, number: str, status: str, code: str | None
) -> None:
    """A buyer types a test number; one that is no test card is declined."""
    intent = await sim.intent()

    outcome = await sim.pay(intent.id, card_number=number)

    assert (outcome["status"], outcome["error"] and outcome["error"]["code"]) == (status, code)


@pytest.mark.parametrize("number", sorted(CARDS_BY_NUMBER))
def test_every_test_card_has_a_right_check_digit(number: str) -> None:
    """The table holds no mistyped number."""
    assert passes_luhn(number)


@pytest.mark.parametrize(("month", "year"), [(13, 2034), (0, 2034), (12, 2020)])
async def test_expired_cards_are_refused(sim: SimulatedStripe, month: int, year: int) -> None:
    """A card whose time is over, or never comes, cannot be saved."""
    card: Any = {"number": "4242424242424242", "exp_month": month, "exp_year": year, "cvc": "123"}

    with pytest.raises(stripe.CardError):
        await sim.api.v1.payment_methods.create_async({"type": "card", "card": card})


async def test_a_challenge_asks_the_buyer(sim: SimulatedStripe) -> None:
    """3-D Secure stops at `requires_action`, tells where to go, and passing it pays."""
    intent = await sim.intent()
    asked = await confirm(sim, intent.id, "pm_card_threeDSecure2Required")

    passed = await sim.control("POST", f"/payment_intents/{intent.id}/challenge", {"succeed": True})

    assert asked.status == "requires_action"
    assert asked.next_action
    assert asked.next_action.type == "redirect_to_url"
    assert (passed["status"], passed["amount_received"]) == ("succeeded", 1999)
    assert await sim.event_types() == [
        "payment_intent.created",
        "payment_intent.requires_action",
        "charge.succeeded",
        "payment_intent.succeeded",
    ]


async def test_a_failed_challenge_leaves_the_intent_payable(sim: SimulatedStripe) -> None:
    """Who fails the challenge can try another card."""
    intent = await sim.intent()
    await sim.pay(intent.id, payment_method="pm_card_threeDSecure2Required")

    failed = await sim.control("POST", f"/payment_intents/{intent.id}/challenge", {"succeed": False})

    after = await fetch(sim, intent.id)
    assert failed["status"] == "requires_payment_method"
    assert after.last_payment_error
    assert after.last_payment_error.code == "payment_intent_authentication_failure"
    assert (await sim.pay(intent.id))["status"] == "succeeded"


async def test_a_passed_challenge_can_still_be_declined(sim: SimulatedStripe) -> None:
    """Some cards are declined after the challenge."""
    intent = await sim.intent()

    outcome = await sim.pay(intent.id, payment_method="pm_card_threeDSecureRequiredChargeDeclined", challenge="pass")

    assert (outcome["status"], outcome["error"]["code"]) == ("requires_payment_method", "card_declined")


async def test_the_challenge_page_sends_the_buyer_back(sim: SimulatedStripe) -> None:
    """The page that `next_action` names completes the payment and redirects to the shop."""
    intent = await sim.intent()
    asked = await confirm(sim, intent.id, "pm_card_threeDSecure2Required")
    assert asked.next_action
    assert asked.next_action.redirect_to_url
    page = asked.next_action.redirect_to_url.url or ""

    async with sim.session.get(page) as shown:
        text = await shown.text()
    async with sim.session.post(page, data={"outcome": "pass"}, allow_redirects=False) as answered:
        location = answered.headers["Location"]

    assert "Simulated bank" in text
    assert answered.status == 303
    assert location.startswith(f"{RETURN_URL}?payment_intent={intent.id}&")
    assert location.endswith("redirect_status=succeeded")
    assert (await fetch(sim, intent.id)).status == "succeeded"


async def test_stripe_js_gets_its_own_next_action(sim: SimulatedStripe) -> None:
    """With `use_stripe_sdk` there is no redirect."""
    intent = await sim.intent()

    asked = await confirm(sim, intent.id, "pm_card_threeDSecure2Required", use_stripe_sdk=True)

    assert asked.next_action
    assert asked.next_action.type == "use_stripe_sdk"


async def test_a_challenge_off_session_is_a_decline(sim: SimulatedStripe) -> None:
    """When the buyer is not there, a card that must ask them is declined."""
    intent = await sim.intent()

    with pytest.raises(stripe.CardError) as declined:
        await confirm(sim, intent.id, "pm_card_threeDSecure2Required", off_session=True)

    assert declined.value.code == "authentication_required"
    assert (await fetch(sim, intent.id)).status == "requires_payment_method"


async def test_a_card_that_was_set_up_pays_off_session(sim: SimulatedStripe) -> None:
    """One challenge, passed while setting up for later, is enough for the card that only asks once."""
    customer = await sim.api.v1.customers.create_async({})
    first = await sim.intent(customer=customer.id, setup_future_usage="off_session")
    await sim.pay(first.id, payment_method="pm_card_authenticationRequiredOnSetup", challenge="pass")
    method = str((await fetch(sim, first.id)).payment_method)
    later = await sim.intent(customer=customer.id)

    paid = await confirm(sim, later.id, method, off_session=True)

    assert paid.status == "succeeded"


async def test_a_challenge_that_is_not_open_cannot_be_finished(sim: SimulatedStripe) -> None:
    """Finishing a challenge that nobody asked for is refused."""
    intent = await sim.intent()

    refused = await sim.control("POST", f"/payment_intents/{intent.id}/challenge", {"succeed": True}, status=400)

    assert refused["error"]["code"] == "payment_intent_unexpected_state"
