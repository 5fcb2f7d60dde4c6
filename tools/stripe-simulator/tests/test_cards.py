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


async def new_card(sim: SimulatedStripe, number: str, **changes: Any) -> stripe.PaymentMethod:
    """Create a payment method from a card number."""
    card: Any = {"number": number, "exp_month": 5, "exp_year": 2031, "cvc": "987"} | changes
    return await sim.api.v1.payment_methods.create_async({"type": "card", "card": card})


@pytest.mark.parametrize(
    ("method", "code", "decline_code"),
    [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("pm_card_chargeCustomerFail", "card_declined", "generic_decline"),
    ],
)
async def test_a_decline_is_402(sim: SimulatedStripe, method: str, code: str, decline_code: str) -> None:
    """The error has codes, charge and intent, and another card can pay afterwards."""
    intent = await sim.intent()

    with pytest.raises(stripe.CardError) as declined:
        await confirm(sim, intent.id, method)
    events = await sim.event_types()
    paid = await sim.pay(intent.id)

    body: Any = declined.value.json_body
    error = body["error"]
    assert (declined.value.http_status, error["type"]) == (402, "card_error")
    assert (error["code"], error["decline_code"]) == (code, decline_code)
    assert error["payment_intent"]["status"] == "requires_payment_method"
    assert error["payment_intent"]["last_payment_error"]["charge"] == error["charge"]
    assert events == ["payment_intent.created", "charge.failed", "payment_intent.payment_failed"]
    assert (paid["status"], (await fetch(sim, intent.id)).last_payment_error) == ("succeeded", None)


@pytest.mark.parametrize(
    ("number", "changes", "code"),
    [
        ("4242424242424241", {}, "incorrect_number"),
        ("4111111111111111", {}, "card_declined"),  # not a test card
        ("4242424242424242", {"exp_month": 13}, "invalid_expiry_month"),
        ("4242424242424242", {"exp_year": 2020}, "invalid_expiry_year"),
    ],
)
async def test_an_invalid_card_is_refused(
    sim: SimulatedStripe, number: str, changes: dict[str, int], code: str
) -> None:
    """A wrong number, or one that is not for tests, or a wrong expiry date."""
    with pytest.raises(stripe.CardError) as refused:
        await new_card(sim, number, **changes)

    assert refused.value.code == code


async def test_a_card_shows_only_its_last_digits(sim: SimulatedStripe) -> None:
    """Number and security code are never shown."""
    shown = (await new_card(sim, "4242 4242 4242 4242")).to_dict()["card"]

    assert (shown["last4"], shown["brand"], shown["exp_year"]) == ("4242", "visa", 2031)
    assert not {"number", "cvc"} & set(shown)
    assert all(passes_luhn(number) for number in CARDS_BY_NUMBER)


@pytest.mark.parametrize(
    ("succeed", "status", "error"),
    [(True, "succeeded", None), (False, "requires_payment_method", "payment_intent_authentication_failure")],
)
async def test_a_challenge_is_passed_or_failed(
    sim: SimulatedStripe, *, succeed: bool, status: str, error: str | None
) -> None:
    """3-D Secure stops at `requires_action` until the buyer answers."""
    intent = await sim.intent()
    asked = await confirm(sim, intent.id, "pm_card_threeDSecure2Required")

    await sim.control("POST", f"/payment_intents/{intent.id}/challenge", {"succeed": succeed})

    after = await fetch(sim, intent.id)
    assert (asked.status, asked.next_action and asked.next_action.type) == ("requires_action", "redirect_to_url")
    assert (after.status, after.last_payment_error and after.last_payment_error.code) == (status, error)
    assert (await sim.event_types())[1] == "payment_intent.requires_action"


async def test_a_passed_challenge_can_be_declined(sim: SimulatedStripe) -> None:
    """Some cards are declined after the challenge."""
    intent = await sim.intent()

    outcome = await sim.pay(intent.id, payment_method="pm_card_threeDSecureRequiredChargeDeclined", challenge="pass")

    assert (outcome["status"], outcome["error"]["code"]) == ("requires_payment_method", "card_declined")


async def test_the_challenge_page_redirects_to_the_shop(sim: SimulatedStripe) -> None:
    """The page of `next_action` completes the payment."""
    intent = await sim.intent()
    asked = await confirm(sim, intent.id, "pm_card_threeDSecure2Required")
    page: Any = asked.to_dict()["next_action"]["redirect_to_url"]["url"]

    async with sim.session.get(page) as shown:
        text = await shown.text()
    async with sim.session.post(page, data={"outcome": "pass"}, allow_redirects=False) as answered:
        location = answered.headers["Location"]

    assert "Simulated bank" in text
    assert answered.status == 303
    assert location.startswith(f"{RETURN_URL}?payment_intent={intent.id}&")
    assert location.endswith("redirect_status=succeeded")


async def test_stripe_js_gets_no_redirect(sim: SimulatedStripe) -> None:
    """With `use_stripe_sdk` the next action is for Stripe.js."""
    intent = await sim.intent()

    asked = await confirm(sim, intent.id, "pm_card_threeDSecure2Required", use_stripe_sdk=True)

    assert asked.next_action
    assert asked.next_action.type == "use_stripe_sdk"


async def test_off_session_payments_need_an_authenticated_card(sim: SimulatedStripe) -> None:
    """A challenge without a buyer is a decline. The card that asks once pays after it was set up."""
    customer = await sim.api.v1.customers.create_async({})
    first = await sim.intent(customer=customer.id, setup_future_usage="off_session")
    await sim.pay(first.id, payment_method="pm_card_authenticationRequiredOnSetup", challenge="pass")
    method = str((await fetch(sim, first.id)).payment_method)

    with pytest.raises(stripe.CardError) as declined:
        await confirm(sim, (await sim.intent()).id, "pm_card_threeDSecure2Required", off_session=True)
    paid = await confirm(sim, (await sim.intent(customer=customer.id)).id, method, off_session=True)

    assert declined.value.code == "authentication_required"
    assert paid.status == "succeeded"


async def test_only_an_open_challenge_can_be_finished(sim: SimulatedStripe) -> None:
    """Otherwise the response is 400."""
    intent = await sim.intent()

    refused = await sim.control("POST", f"/payment_intents/{intent.id}/challenge", {"succeed": True}, status=400)

    assert refused["error"]["code"] == "payment_intent_unexpected_state"
