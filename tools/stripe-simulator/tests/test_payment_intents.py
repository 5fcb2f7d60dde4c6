import asyncio
from typing import Any

import pytest
import stripe

from stripe_simulator.testing import Stage

RETURN_URL = "https://shop.example/return"


async def confirm(stage: Stage, intent_id: str, method: str = "pm_card_visa", **params: Any) -> stripe.PaymentIntent:
    """Confirm from the server."""
    given: Any = {"payment_method": method, "return_url": RETURN_URL, **params}
    return await stage.api.v1.payment_intents.confirm_async(intent_id, given)


async def fetch(stage: Stage, intent_id: str) -> stripe.PaymentIntent:
    """Retrieve the intent as it is now."""
    return await stage.api.v1.payment_intents.retrieve_async(intent_id)


async def test_a_new_intent_waits_for_a_payment_method(stage: Stage) -> None:
    """A created intent has an id, a client secret that begins with it, its metadata, and nothing received."""
    intent = await stage.intent()

    assert intent.id.startswith("pi_3")
    assert (intent.client_secret or "").startswith(f"{intent.id}_secret_")
    assert intent.metadata.to_dict() == {"checkoutAttemptId": "an-attempt"}
    assert (intent.status, intent.amount, intent.amount_received) == ("requires_payment_method", 1999, 0)
    assert (intent.livemode, intent.latest_charge) == (False, None)
    assert await stage.event_types() == ["payment_intent.created"]


async def test_a_payment_succeeds(stage: Stage) -> None:
    """A good card pays: the sum is received, a charge exists, and events say so in order."""
    intent = await stage.intent()

    paid = await confirm(stage, intent.id)

    assert (paid.status, paid.amount_received, paid.last_payment_error) == ("succeeded", 1999, None)
    charge = await stage.api.v1.charges.retrieve_async(str(paid.latest_charge))
    assert (charge.status, charge.amount_captured, charge.payment_intent) == ("succeeded", 1999, intent.id)
    assert await stage.event_types() == ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]


async def test_created_and_confirmed_in_one_call(stage: Stage) -> None:
    """`confirm=true` pays at once."""
    paid = await stage.intent(confirm=True, payment_method="pm_card_visa", return_url=RETURN_URL)

    assert paid.status == "succeeded"


async def test_a_payment_method_without_confirm_waits_for_confirmation(stage: Stage) -> None:
    """An intent with a payment method requires confirmation."""
    intent = await stage.intent(payment_method="pm_card_visa")

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
async def test_amounts_that_stripe_does_not_charge(stage: Stage, currency: str, amount: int, code: str) -> None:
    """Too little, too much, nothing, or a third decimal that is not zero."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await stage.intent(amount=amount, currency=currency)

    assert (refused.value.http_status, refused.value.code, refused.value.param) == (400, code, "amount")


@pytest.mark.parametrize(
    ("currency", "amount"),
    [("usd", 50), ("gbp", 30), ("jpy", 50), ("kwd", 5120), ("usd", 99_999_999), ("USD", 50)],
)
async def test_amounts_at_the_bounds_are_charged(stage: Stage, currency: str, amount: int) -> None:
    """The smallest and the largest amounts pass, with no decimals, two or three."""
    intent = await stage.intent(amount=amount, currency=currency)

    assert (intent.amount, intent.currency) == (amount, currency.lower())


async def test_unknown_currencies_are_refused(stage: Stage) -> None:
    """A currency that Stripe does not have is a 400."""
    with pytest.raises(stripe.InvalidRequestError, match="Invalid currency: xyz") as refused:
        await stage.intent(currency="xyz")

    assert refused.value.param == "currency"


async def test_two_confirms_at_once_make_one_charge(stage: Stage) -> None:
    """One of the confirms pays, the others learn that it has succeeded already."""
    intent = await stage.intent()

    results = await asyncio.gather(*(confirm(stage, intent.id) for _ in range(5)), return_exceptions=True)

    refused = [result for result in results if isinstance(result, stripe.InvalidRequestError)]
    charges = await stage.api.v1.charges.list_async({"payment_intent": intent.id})
    assert len(refused) == 4
    assert {error.code for error in refused} == {"payment_intent_unexpected_state"}
    assert len(charges.data) == 1


async def test_an_illegal_transition_shows_the_intent(stage: Stage) -> None:
    """Confirming what is canceled is a 400 with the intent inside the error."""
    intent = await stage.intent()
    await stage.api.v1.payment_intents.cancel_async(intent.id)

    with pytest.raises(stripe.InvalidRequestError) as refused:
        await confirm(stage, intent.id)

    body: Any = refused.value.json_body
    assert (refused.value.http_status, refused.value.code) == (400, "payment_intent_unexpected_state")
    assert (body["error"]["payment_intent"]["id"], body["error"]["payment_intent"]["status"]) == (intent.id, "canceled")


async def test_confirming_without_a_payment_method_is_refused(stage: Stage) -> None:
    """There must be something to pay with."""
    intent = await stage.intent()

    with pytest.raises(stripe.InvalidRequestError, match="missing a payment method") as refused:
        await stage.api.v1.payment_intents.confirm_async(intent.id, {"return_url": RETURN_URL})

    assert refused.value.code == "payment_intent_unexpected_state"


async def test_confirming_needs_a_return_url(stage: Stage) -> None:
    """Automatic payment methods may redirect, unless that is switched off."""
    redirecting = await stage.intent()
    staying = await stage.intent(automatic_payment_methods={"enabled": True, "allow_redirects": "never"})

    with pytest.raises(stripe.InvalidRequestError) as refused:
        await stage.api.v1.payment_intents.confirm_async(redirecting.id, {"payment_method": "pm_card_visa"})
    paid = await stage.api.v1.payment_intents.confirm_async(staying.id, {"payment_method": "pm_card_visa"})

    assert refused.value.param == "return_url"
    assert paid.status == "succeeded"


@pytest.mark.parametrize("name", ["off_session", "error_on_requires_action", "use_stripe_sdk"])
async def test_what_belongs_to_confirming_needs_confirm(stage: Stage, name: str) -> None:
    """Some parameters can only be used with `confirm=true`."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await stage.intent(**{name: True})

    assert refused.value.param == name


async def test_a_canceled_intent_says_why(stage: Stage) -> None:
    """Cancelling is terminal and keeps the reason."""
    intent = await stage.intent()

    canceled = await stage.api.v1.payment_intents.cancel_async(intent.id, {"cancellation_reason": "abandoned"})

    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "abandoned")
    assert canceled.canceled_at
    assert (await stage.event_types())[-1] == "payment_intent.canceled"


async def test_a_paid_intent_cannot_be_canceled(stage: Stage) -> None:
    """The refusal shows that the intent has succeeded."""
    intent = await stage.intent()
    await stage.pay(intent.id)

    with pytest.raises(stripe.InvalidRequestError) as refused:
        await stage.api.v1.payment_intents.cancel_async(intent.id)

    body: Any = refused.value.json_body
    assert refused.value.code == "payment_intent_unexpected_state"
    assert body["error"]["payment_intent"]["status"] == "succeeded"


async def test_manual_capture_authorizes_first(stage: Stage) -> None:
    """The money is received when it is captured, and no more than was authorized."""
    intent = await stage.intent(capture_method="manual")
    authorized = await confirm(stage, intent.id)

    with pytest.raises(stripe.InvalidRequestError):
        await stage.api.v1.payment_intents.capture_async(intent.id, {"amount_to_capture": 2000})
    captured = await stage.api.v1.payment_intents.capture_async(intent.id, {"amount_to_capture": 1500})

    assert (authorized.status, authorized.amount_capturable) == ("requires_capture", 1999)
    assert authorized.amount_received == 0
    assert (captured.status, captured.amount_capturable, captured.amount_received) == ("succeeded", 0, 1500)


async def test_cancelling_gives_an_authorization_up(stage: Stage) -> None:
    """An authorized intent can be canceled; nothing was received."""
    intent = await stage.intent(capture_method="manual")
    await confirm(stage, intent.id)

    canceled = await stage.api.v1.payment_intents.cancel_async(intent.id)

    charge = await stage.api.v1.charges.retrieve_async(str(canceled.latest_charge))
    assert (canceled.status, canceled.amount_received, charge.refunded) == ("canceled", 0, True)


async def test_the_amount_can_change_until_it_is_paid(stage: Stage) -> None:
    """An open intent takes another amount, a paid one does not, but its metadata still changes."""
    intent = await stage.intent()
    updated = await stage.api.v1.payment_intents.update_async(intent.id, {"amount": 2500})
    await stage.pay(intent.id)

    with pytest.raises(stripe.InvalidRequestError) as refused:
        await stage.api.v1.payment_intents.update_async(intent.id, {"amount": 2600})
    annotated = await stage.api.v1.payment_intents.update_async(intent.id, {"metadata": {"note": "x"}})

    assert updated.amount == 2500
    assert refused.value.code == "payment_intent_unexpected_state"
    assert (annotated.amount_received, annotated.metadata["note"]) == (2500, "x")


async def test_a_new_amount_cancels_a_running_challenge(stage: Stage) -> None:
    """Who was asked to authorize one sum is asked again for another."""
    intent = await stage.intent()
    await stage.pay(intent.id, payment_method="pm_card_threeDSecure2Required")

    updated = await stage.api.v1.payment_intents.update_async(intent.id, {"amount": 2500})

    assert (updated.status, updated.next_action) == ("requires_confirmation", None)


async def test_excluded_payment_methods_are_not_offered(stage: Stage) -> None:
    """Euro intents take cards and debits; what is excluded is not taken."""
    usual = await stage.intent(currency="eur")
    reduced = await stage.intent(currency="eur", excluded_payment_method_types=["sepa_debit"])
    cards = await stage.intent(currency="eur", automatic_payment_methods={"enabled": False})

    assert usual.payment_method_types == ["card", "sepa_debit"]
    assert reduced.payment_method_types == ["card"]
    assert cards.payment_method_types == ["card"]


async def test_an_intent_that_nothing_can_pay_is_refused(stage: Stage) -> None:
    """Excluding everything leaves nothing to pay with."""
    with pytest.raises(stripe.InvalidRequestError, match="No valid payment method types"):
        await stage.intent(currency="jpy", excluded_payment_method_types=["card"])


async def test_unknown_intents_are_404(stage: Stage) -> None:
    """An id that leads nowhere is `resource_missing`."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await fetch(stage, "pi_nothing")

    assert (refused.value.http_status, refused.value.code) == (404, "resource_missing")
    assert "No such payment_intent: 'pi_nothing'" in str(refused.value)


async def test_an_unknown_customer_is_named(stage: Stage) -> None:
    """An id in a parameter that leads nowhere is a 400 with its name."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await stage.intent(customer="cus_nobody")

    assert (refused.value.http_status, refused.value.code, refused.value.param) == (400, "resource_missing", "customer")


async def test_shipping_is_kept(stage: Stage) -> None:
    """Shipping details come back with every field."""
    address = {"line1": "1 Road", "city": "Town", "country": "US", "postal_code": "12345"}

    intent = await stage.intent(shipping={"name": "A Buyer", "address": address})

    assert intent.shipping
    assert intent.shipping.to_dict()["address"] == {**address, "line2": None, "state": None}


async def test_setup_for_future_use_attaches_the_card(stage: Stage) -> None:
    """With a customer the card that paid belongs to them afterwards."""
    customer = await stage.api.v1.customers.create_async({})
    intent = await stage.intent(customer=customer.id, setup_future_usage="off_session")

    paid = await confirm(stage, intent.id)

    method = await stage.api.v1.payment_methods.retrieve_async(str(paid.payment_method))
    assert method.customer == customer.id


async def test_a_card_that_belongs_to_nobody_pays_once(stage: Stage) -> None:
    """A payment method that was used without a customer cannot be used again."""
    method = await stage.api.v1.payment_methods.create_async({"type": "card", "card": {"token": "tok_visa"}})
    first, second = await stage.intent(), await stage.intent()
    await confirm(stage, first.id, method.id)

    with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
        await confirm(stage, second.id, method.id)


async def test_somebody_elses_card_is_refused(stage: Stage) -> None:
    """A customer's card pays only intents of that customer."""
    owner = await stage.api.v1.customers.create_async({"payment_method": "pm_card_visa"})
    owned = (await stage.api.v1.payment_methods.list_async({"customer": owner.id})).data[0]
    other = await stage.api.v1.customers.create_async({})
    nobodys, others = await stage.intent(), await stage.intent(customer=other.id)
    owners = await stage.intent(customer=owner.id)

    for intent in (nobodys, others):
        with pytest.raises(stripe.InvalidRequestError):
            await confirm(stage, intent.id, owned.id)
    paid = await confirm(stage, owners.id, owned.id)

    assert paid.status == "succeeded"


async def test_a_refused_confirm_leaves_no_trace(stage: Stage) -> None:
    """What is refused for being incomplete stores neither intent nor payment method."""
    intent = await stage.intent()

    with pytest.raises(stripe.InvalidRequestError):
        await stage.intent(confirm=True, payment_method="pm_card_visa")
    with pytest.raises(stripe.InvalidRequestError):
        await stage.api.v1.payment_intents.confirm_async(intent.id, {"payment_method": "pm_card_visa"})

    stored = (await stage.api.v1.payment_intents.list_async()).data
    assert [(each.id, each.status, each.payment_method) for each in stored] == [
        (intent.id, "requires_payment_method", None)
    ]
