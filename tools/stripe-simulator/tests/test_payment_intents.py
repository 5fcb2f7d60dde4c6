import asyncio
from typing import Any

import pytest
import stripe

from stripe_simulator.testing import SimulatedStripe

RETURN_URL = "https://shop.example/return"


async def confirm(
    sim: SimulatedStripe, intent_id: str, method: str = "pm_card_visa", **params: Any
) -> stripe.PaymentIntent:
    """Confirm from the server."""
    given: Any = {"payment_method": method, "return_url": RETURN_URL, **params}
    return await sim.api.v1.payment_intents.confirm_async(intent_id, given)


async def fetch(sim: SimulatedStripe, intent_id: str) -> stripe.PaymentIntent:
    """Retrieve the intent as it is now."""
    return await sim.api.v1.payment_intents.retrieve_async(intent_id)


async def test_a_new_intent_waits_for_a_payment_method(sim: SimulatedStripe) -> None:
    """A created intent has an id, a client secret that begins with it, its metadata, and nothing received."""
    intent = await sim.intent()

    assert intent.id.startswith("pi_3")
    assert (intent.client_secret or "").startswith(f"{intent.id}_secret_")
    assert intent.metadata.to_dict() == {"checkoutAttemptId": "an-attempt"}
    assert (intent.status, intent.amount, intent.amount_received) == ("requires_payment_method", 1999, 0)
    assert (intent.livemode, intent.latest_charge) == (False, None)
    assert await sim.event_types() == ["payment_intent.created"]


async def test_a_payment_succeeds(sim: SimulatedStripe) -> None:
    """A good card pays: the sum is received, a charge exists, and events say so in order."""
    intent = await sim.intent()

    paid = await confirm(sim, intent.id)

    assert (paid.status, paid.amount_received, paid.last_payment_error) == ("succeeded", 1999, None)
    charge = await sim.api.v1.charges.retrieve_async(str(paid.latest_charge))
    assert (charge.status, charge.amount_captured, charge.payment_intent) == ("succeeded", 1999, intent.id)
    assert await sim.event_types() == ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]


async def test_created_and_confirmed_in_one_call(sim: SimulatedStripe) -> None:
    """`confirm=true` pays at once."""
    paid = await sim.intent(confirm=True, payment_method="pm_card_visa", return_url=RETURN_URL)

    assert paid.status == "succeeded"


async def test_a_payment_method_without_confirm_waits_for_confirmation(sim: SimulatedStripe) -> None:
    """An intent with a payment method requires confirmation."""
    intent = await sim.intent(payment_method="pm_card_visa")

    assert intent.status == "requires_confirmation"


@pytest.mark.parametrize(
    ("currency", "amount", "code"),
    [
        ("usd", 49, "amount_too_small"),
        ("eur", 49, "amount_too_small"),
        ("gbp", 29, "amount_too_small"),
        ("jpy", 49, "amount_too_small"),
        ("huf", 17499, "amount_too_small"),
        ("usd", 0, "parameter_invalid_integer"),
        ("usd", -1, "parameter_invalid_integer"),
        ("usd", 100_000_000, "amount_too_large"),
        ("kwd", 5125, "parameter_invalid_integer"),
    ],
)
async def test_amounts_that_stripe_does_not_charge(sim: SimulatedStripe, currency: str, amount: int, code: str) -> None:
    """Too little, too much, nothing, or a third decimal that is not zero."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.intent(amount=amount, currency=currency)

    assert (refused.value.http_status, refused.value.code, refused.value.param) == (400, code, "amount")


@pytest.mark.parametrize(
    ("currency", "amount"),
    [("usd", 50), ("gbp", 30), ("jpy", 50), ("kwd", 5120), ("usd", 99_999_999), ("USD", 50)],
)
async def test_amounts_at_the_bounds_are_charged(sim: SimulatedStripe, currency: str, amount: int) -> None:
    """The smallest and the largest amounts pass, with no decimals, two or three."""
    intent = await sim.intent(amount=amount, currency=currency)

    assert (intent.amount, intent.currency) == (amount, currency.lower())


async def test_unknown_currencies_are_refused(sim: SimulatedStripe) -> None:
    """A currency that Stripe does not have is a 400."""
    with pytest.raises(stripe.InvalidRequestError, match="Invalid currency: xyz") as refused:
        await sim.intent(currency="xyz")

    assert refused.value.param == "currency"


async def test_two_confirms_at_once_make_one_charge(sim: SimulatedStripe) -> None:
    """One of the confirms pays, the others learn that it has succeeded already."""
    intent = await sim.intent()

    results = await asyncio.gather(*(confirm(sim, intent.id) for _ in range(5)), return_exceptions=True)

    refused = [result for result in results if isinstance(result, stripe.InvalidRequestError)]
    charges = await sim.api.v1.charges.list_async({"payment_intent": intent.id})
    assert len(refused) == 4
    assert {error.code for error in refused} == {"payment_intent_unexpected_state"}
    assert len(charges.data) == 1


async def test_an_illegal_transition_shows_the_intent(sim: SimulatedStripe) -> None:
    """Confirming what is canceled is a 400 with the intent inside the error."""
    intent = await sim.intent()
    await sim.api.v1.payment_intents.cancel_async(intent.id)

    with pytest.raises(stripe.InvalidRequestError) as refused:
        await confirm(sim, intent.id)

    body: Any = refused.value.json_body
    assert (refused.value.http_status, refused.value.code) == (400, "payment_intent_unexpected_state")
    assert (body["error"]["payment_intent"]["id"], body["error"]["payment_intent"]["status"]) == (intent.id, "canceled")


async def test_confirming_without_a_payment_method_is_refused(sim: SimulatedStripe) -> None:
    """There must be something to pay with."""
    intent = await sim.intent()

    with pytest.raises(stripe.InvalidRequestError, match="missing a payment method") as refused:
        await sim.api.v1.payment_intents.confirm_async(intent.id, {"return_url": RETURN_URL})

    assert refused.value.code == "payment_intent_unexpected_state"


async def test_confirming_needs_a_return_url(sim: SimulatedStripe) -> None:
    """Automatic payment methods may redirect, unless that is switched off."""
    redirecting = await sim.intent()
    staying = await sim.intent(automatic_payment_methods={"enabled": True, "allow_redirects": "never"})

    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.api.v1.payment_intents.confirm_async(redirecting.id, {"payment_method": "pm_card_visa"})
    paid = await sim.api.v1.payment_intents.confirm_async(staying.id, {"payment_method": "pm_card_visa"})

    assert refused.value.param == "return_url"
    assert paid.status == "succeeded"


@pytest.mark.parametrize("name", ["off_session", "error_on_requires_action", "use_stripe_sdk"])
async def test_what_belongs_to_confirming_needs_confirm(sim: SimulatedStripe, name: str) -> None:
    """Some parameters can only be used with `confirm=true`."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.intent(**{name: True})

    assert refused.value.param == name


async def test_a_canceled_intent_says_why(sim: SimulatedStripe) -> None:
    """Cancelling is terminal and keeps the reason."""
    intent = await sim.intent()

    canceled = await sim.api.v1.payment_intents.cancel_async(intent.id, {"cancellation_reason": "abandoned"})

    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "abandoned")
    assert canceled.canceled_at
    assert (await sim.event_types())[-1] == "payment_intent.canceled"


async def test_a_paid_intent_cannot_be_canceled(sim: SimulatedStripe) -> None:
    """The refusal shows that the intent has succeeded."""
    intent = await sim.intent()
    await sim.pay(intent.id)

    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.api.v1.payment_intents.cancel_async(intent.id)

    body: Any = refused.value.json_body
    assert refused.value.code == "payment_intent_unexpected_state"
    assert body["error"]["payment_intent"]["status"] == "succeeded"


async def test_manual_capture_authorizes_first(sim: SimulatedStripe) -> None:
    """The money is received when it is captured, and no more than was authorized."""
    intent = await sim.intent(capture_method="manual")
    authorized = await confirm(sim, intent.id)

    with pytest.raises(stripe.InvalidRequestError):
        await sim.api.v1.payment_intents.capture_async(intent.id, {"amount_to_capture": 2000})
    captured = await sim.api.v1.payment_intents.capture_async(intent.id, {"amount_to_capture": 1500})

    assert (authorized.status, authorized.amount_capturable) == ("requires_capture", 1999)
    assert authorized.amount_received == 0
    assert (captured.status, captured.amount_capturable, captured.amount_received) == ("succeeded", 0, 1500)


async def test_cancelling_gives_an_authorization_up(sim: SimulatedStripe) -> None:
    """An authorized intent can be canceled; nothing was received."""
    intent = await sim.intent(capture_method="manual")
    await confirm(sim, intent.id)

    canceled = await sim.api.v1.payment_intents.cancel_async(intent.id)

    charge = await sim.api.v1.charges.retrieve_async(str(canceled.latest_charge))
    assert (canceled.status, canceled.amount_received, charge.refunded) == ("canceled", 0, True)


async def test_the_amount_can_change_until_it_is_paid(sim: SimulatedStripe) -> None:
    """An open intent takes another amount, a paid one does not, but its metadata still changes."""
    intent = await sim.intent()
    updated = await sim.api.v1.payment_intents.update_async(intent.id, {"amount": 2500})
    await sim.pay(intent.id)

    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.api.v1.payment_intents.update_async(intent.id, {"amount": 2600})
    annotated = await sim.api.v1.payment_intents.update_async(intent.id, {"metadata": {"note": "x"}})

    assert updated.amount == 2500
    assert refused.value.code == "payment_intent_unexpected_state"
    assert (annotated.amount_received, annotated.metadata["note"]) == (2500, "x")


async def test_a_new_amount_cancels_a_running_challenge(sim: SimulatedStripe) -> None:
    """Who was asked to authorize one sum is asked again for another."""
    intent = await sim.intent()
    await sim.pay(intent.id, payment_method="pm_card_threeDSecure2Required")

    updated = await sim.api.v1.payment_intents.update_async(intent.id, {"amount": 2500})

    assert (updated.status, updated.next_action) == ("requires_confirmation", None)


async def test_excluded_payment_methods_are_not_offered(sim: SimulatedStripe) -> None:
    """Euro intents take cards and debits; what is excluded is not taken."""
    usual = await sim.intent(currency="eur")
    reduced = await sim.intent(currency="eur", excluded_payment_method_types=["sepa_debit"])
    cards = await sim.intent(currency="eur", automatic_payment_methods={"enabled": False})

    assert usual.payment_method_types == ["card", "sepa_debit"]
    assert reduced.payment_method_types == ["card"]
    assert cards.payment_method_types == ["card"]


async def test_an_intent_that_nothing_can_pay_is_refused(sim: SimulatedStripe) -> None:
    """Excluding everything leaves nothing to pay with."""
    with pytest.raises(stripe.InvalidRequestError, match="No valid payment method types"):
        await sim.intent(currency="jpy", excluded_payment_method_types=["card"])


async def test_unknown_intents_are_404(sim: SimulatedStripe) -> None:
    """An id that leads nowhere is `resource_missing`."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await fetch(sim, "pi_nothing")

    assert (refused.value.http_status, refused.value.code) == (404, "resource_missing")
    assert "No such payment_intent: 'pi_nothing'" in str(refused.value)


async def test_an_unknown_customer_is_named(sim: SimulatedStripe) -> None:
    """An id in a parameter that leads nowhere is a 400 with its name."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.intent(customer="cus_nobody")

    assert (refused.value.http_status, refused.value.code, refused.value.param) == (400, "resource_missing", "customer")


async def test_shipping_is_kept(sim: SimulatedStripe) -> None:
    """Shipping details come back with every field."""
    address = {"line1": "1 Road", "city": "Town", "country": "US", "postal_code": "12345"}

    intent = await sim.intent(shipping={"name": "A Buyer", "address": address})

    assert intent.shipping
    assert intent.shipping.to_dict()["address"] == {**address, "line2": None, "state": None}


async def test_setup_for_future_use_attaches_the_card(sim: SimulatedStripe) -> None:
    """With a customer the card that paid belongs to them afterwards."""
    customer = await sim.api.v1.customers.create_async({})
    intent = await sim.intent(customer=customer.id, setup_future_usage="off_session")

    paid = await confirm(sim, intent.id)

    method = await sim.api.v1.payment_methods.retrieve_async(str(paid.payment_method))
    assert method.customer == customer.id


async def test_a_card_that_belongs_to_nobody_pays_once(sim: SimulatedStripe) -> None:
    """A payment method that was used without a customer cannot be used again."""
    method = await sim.api.v1.payment_methods.create_async({"type": "card", "card": {"token": "tok_visa"}})
    first, second = await sim.intent(), await sim.intent()
    await confirm(sim, first.id, method.id)

    with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
        await confirm(sim, second.id, method.id)


async def test_somebody_elses_card_is_refused(sim: SimulatedStripe) -> None:
    """A customer's card pays only intents of that customer."""
    owner = await sim.api.v1.customers.create_async({"payment_method": "pm_card_visa"})
    owned = (await sim.api.v1.payment_methods.list_async({"customer": owner.id})).data[0]
    other = await sim.api.v1.customers.create_async({})
    nobodys, others = await sim.intent(), await sim.intent(customer=other.id)
    owners = await sim.intent(customer=owner.id)

    for intent in (nobodys, others):
        with pytest.raises(stripe.InvalidRequestError):
            await confirm(sim, intent.id, owned.id)
    paid = await confirm(sim, owners.id, owned.id)

    assert paid.status == "succeeded"


async def test_a_refused_confirm_leaves_no_trace(sim: SimulatedStripe) -> None:
    """What is refused for being incomplete stores neither intent nor payment method."""
    intent = await sim.intent()

    with pytest.raises(stripe.InvalidRequestError):
        await sim.intent(confirm=True, payment_method="pm_card_visa")
    with pytest.raises(stripe.InvalidRequestError):
        await sim.api.v1.payment_intents.confirm_async(intent.id, {"payment_method": "pm_card_visa"})

    stored = (await sim.api.v1.payment_intents.list_async()).data
    assert [(each.id, each.status, each.payment_method) for each in stored] == [
        (intent.id, "requires_payment_method", None)
    ]
