import asyncio
from typing import Any

import pytest
import stripe

from stripe_simulator.testing import SimulatedStripe

RETURN_URL = "https://shop.example/return"
IBAN = "AT611904300234573201"
FAILING_IBAN = "AT861904300235473202"
SETTLEMENT_SECONDS = 180


async def confirm(
    sim: SimulatedStripe, intent_id: str, method: str = "pm_card_visa", **params: Any
) -> stripe.PaymentIntent:
    """Confirm from the server."""
    given: Any = {"payment_method": method, "return_url": RETURN_URL, **params}
    return await sim.api.v1.payment_intents.confirm_async(intent_id, given)


async def fetch(sim: SimulatedStripe, intent_id: str) -> stripe.PaymentIntent:
    """Retrieve the intent as it is now."""
    return await sim.api.v1.payment_intents.retrieve_async(intent_id)


async def sepa_debit(sim: SimulatedStripe, iban: str = IBAN) -> str:
    """Create a payment method for a bank account."""
    params: Any = {"type": "sepa_debit", "sepa_debit": {"iban": iban}}
    return (await sim.api.v1.payment_methods.create_async(params)).id


async def test_a_payment_succeeds(sim: SimulatedStripe) -> None:
    """The amount is received, the charge exists, and the events are in order."""
    intent = await sim.intent()

    paid = await confirm(sim, intent.id)

    charge = await sim.api.v1.charges.retrieve_async(str(paid.latest_charge))
    assert intent.id.startswith("pi_3")
    assert (intent.client_secret or "").startswith(f"{intent.id}_secret_")
    assert intent.metadata.to_dict() == {"checkoutAttemptId": "an-attempt"}
    assert (intent.status, intent.amount_received, intent.latest_charge) == ("requires_payment_method", 0, None)
    assert (paid.status, paid.amount_received, paid.last_payment_error) == ("succeeded", 1999, None)
    assert (charge.status, charge.amount_captured, charge.payment_intent) == ("succeeded", 1999, intent.id)
    assert await sim.event_types() == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "charge.updated",
    ]
    [booked] = await sim.events("charge.updated")
    assert booked["data"]["previous_attributes"] == {"balance_transaction": None}


async def test_a_payment_method_is_confirmed_at_once_or_later(sim: SimulatedStripe) -> None:
    """`confirm=true` pays in the create call."""
    later = await sim.intent(payment_method="pm_card_visa")
    paid = await sim.intent(confirm=True, payment_method="pm_card_visa", return_url=RETURN_URL)

    assert (later.status, paid.status) == ("requires_confirmation", "succeeded")


@pytest.mark.parametrize(
    ("currency", "amount", "code"),
    [
        ("usd", 49, "amount_too_small"),
        ("gbp", 29, "amount_too_small"),
        ("jpy", 49, "amount_too_small"),
        ("usd", 0, "parameter_invalid_integer"),
        ("usd", 100_000_000, "amount_too_large"),
        ("kwd", 5125, "parameter_invalid_integer"),
    ],
)
async def test_an_amount_out_of_bounds_is_refused(sim: SimulatedStripe, currency: str, amount: int, code: str) -> None:
    """Too small, too large, or with a third decimal other than zero."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.intent(amount=amount, currency=currency)

    assert (refused.value.http_status, refused.value.code, refused.value.param) == (400, code, "amount")


@pytest.mark.parametrize(
    ("currency", "amount"), [("usd", 50), ("gbp", 30), ("jpy", 50), ("kwd", 5120), ("usd", 99_999_999), ("USD", 50)]
)
async def test_an_amount_at_the_bounds_is_accepted(sim: SimulatedStripe, currency: str, amount: int) -> None:
    """For currencies of no, two and three decimals."""
    intent = await sim.intent(amount=amount, currency=currency)

    assert (intent.amount, intent.currency) == (amount, currency.lower())


async def test_concurrent_confirms_make_one_charge(sim: SimulatedStripe) -> None:
    """One confirm pays, the others get an error with the intent inside."""
    intent = await sim.intent()

    results = await asyncio.gather(*(confirm(sim, intent.id) for _ in range(5)), return_exceptions=True)

    refused = [result for result in results if isinstance(result, stripe.InvalidRequestError)]
    assert [error.code for error in refused] == ["payment_intent_unexpected_state"] * 4
    assert {error.json_body["error"]["payment_intent"]["status"] for error in refused} == {"succeeded"}  # type: ignore[index]
    assert (await sim.event_types()).count("charge.succeeded") == 1


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"currency": "xyz"}, "currency"),
        ({"off_session": True}, "off_session"),
        ({"use_stripe_sdk": True}, "use_stripe_sdk"),
        ({"statement_descriptor": "x" * 23}, "statement_descriptor"),
        ({"confirm": True, "payment_method": "pm_card_visa"}, "return_url"),
        ({"currency": "jpy", "excluded_payment_method_types": ["card"]}, None),
    ],
    ids=str,
)
async def test_an_invalid_intent_is_not_created(sim: SimulatedStripe, params: Any, param: str | None) -> None:
    """The error names the parameter, and nothing is stored."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.intent(**params)

    assert refused.value.param == param
    assert (await sim.api.v1.payment_intents.list_async()).data == []


async def test_an_incomplete_confirm_is_refused(sim: SimulatedStripe) -> None:
    """A payment method and a return URL are required, and a refused confirm stores nothing."""
    intent = await sim.intent()
    staying = await sim.intent(automatic_payment_methods={"enabled": True, "allow_redirects": "never"})

    with pytest.raises(stripe.InvalidRequestError, match="missing a payment method"):
        await sim.api.v1.payment_intents.confirm_async(intent.id, {"return_url": RETURN_URL})
    with pytest.raises(stripe.InvalidRequestError, match="return_url"):
        await sim.api.v1.payment_intents.confirm_async(intent.id, {"payment_method": "pm_card_visa"})
    paid = await sim.api.v1.payment_intents.confirm_async(staying.id, {"payment_method": "pm_card_visa"})

    assert paid.status == "succeeded"
    assert (await fetch(sim, intent.id)).payment_method is None


async def test_cancel_is_final(sim: SimulatedStripe) -> None:
    """A canceled intent cannot be confirmed, and a paid one cannot be canceled."""
    open_intent, paid = await sim.intent(), await sim.intent()
    await sim.pay(paid.id)

    canceled = await sim.api.v1.payment_intents.cancel_async(open_intent.id, {"cancellation_reason": "abandoned"})
    with pytest.raises(stripe.InvalidRequestError) as not_confirmed:
        await confirm(sim, open_intent.id)
    with pytest.raises(stripe.InvalidRequestError) as not_canceled:
        await sim.api.v1.payment_intents.cancel_async(paid.id)

    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "abandoned")
    assert not_confirmed.value.code == not_canceled.value.code == "payment_intent_unexpected_state"
    assert (await sim.event_types())[-1] == "payment_intent.canceled"


async def test_the_amount_can_change_until_the_payment(sim: SimulatedStripe) -> None:
    """A new amount ends a running challenge. A paid intent only takes new metadata."""
    intent = await sim.intent()
    await sim.pay(intent.id, payment_method="pm_card_threeDSecure2Required")
    updated = await sim.api.v1.payment_intents.update_async(intent.id, {"amount": 2500})
    await sim.pay(intent.id)

    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.api.v1.payment_intents.update_async(intent.id, {"amount": 2600})
    annotated = await sim.api.v1.payment_intents.update_async(intent.id, {"metadata": {"note": "x"}})

    assert (updated.amount, updated.status, updated.next_action) == (2500, "requires_confirmation", None)
    assert refused.value.code == "payment_intent_unexpected_state"
    assert (annotated.amount_received, annotated.metadata["note"]) == (2500, "x")


async def test_payment_method_types_depend_on_currency_and_exclusions(sim: SimulatedStripe) -> None:
    """Euro intents accept cards, SEPA debits and iDEAL, unless excluded, not automatic, or of no use later."""
    usual = await sim.intent(currency="eur")
    reduced = await sim.intent(currency="eur", excluded_payment_method_types=["sepa_debit"])
    manual = await sim.intent(currency="eur", automatic_payment_methods={"enabled": False})
    later = await sim.intent(currency="eur", setup_future_usage="off_session")
    here = await sim.intent(currency="eur", automatic_payment_methods={"enabled": True, "allow_redirects": "never"})

    assert usual.payment_method_types == ["card", "sepa_debit", "ideal"]
    assert (reduced.payment_method_types, manual.payment_method_types) == (["card", "ideal"], ["card"])
    assert later.payment_method_types == here.payment_method_types == ["card", "sepa_debit"]


async def test_shipping_is_stored(sim: SimulatedStripe) -> None:
    """Missing fields of the address are null."""
    address = {"line1": "1 Road", "city": "Town", "country": "US", "postal_code": "12345"}

    intent = await sim.intent(shipping={"name": "A Buyer", "address": address})

    assert intent.shipping
    assert intent.shipping.to_dict()["address"] == {**address, "line2": None, "state": None}


async def test_a_saved_card_pays_only_for_its_customer(sim: SimulatedStripe) -> None:
    """`setup_future_usage` attaches the card. Intents of others, or of nobody, refuse it."""
    owner, other = [await sim.api.v1.customers.create_async({}) for _ in range(2)]
    first = await sim.intent(customer=owner.id, setup_future_usage="off_session")
    method = str((await confirm(sim, first.id)).payment_method)

    paid = await confirm(sim, (await sim.intent(customer=owner.id)).id, method)
    for intent in (await sim.intent(), await sim.intent(customer=other.id)):
        with pytest.raises(stripe.InvalidRequestError):
            await confirm(sim, intent.id, method)

    assert paid.status == "succeeded"
    assert (await sim.api.v1.payment_methods.retrieve_async(method)).customer == owner.id


async def test_a_card_without_a_customer_pays_once(sim: SimulatedStripe) -> None:
    """A second payment is refused, and so is one with a detached card."""
    paid = await confirm(sim, (await sim.intent()).id)
    customer, saved = await sim.saved_card()
    await sim.api.v1.payment_methods.detach_async(saved)

    for method, intent in (
        (str(paid.payment_method), await sim.intent()),
        (saved, await sim.intent(customer=customer)),
    ):
        with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
            await confirm(sim, intent.id, method)


@pytest.mark.parametrize(
    ("iban", "status", "events"),
    [
        (IBAN, "succeeded", ["charge.succeeded", "payment_intent.succeeded", "charge.updated"]),
        (FAILING_IBAN, "requires_payment_method", ["charge.failed", "payment_intent.payment_failed"]),
    ],
)
async def test_a_debit_is_processing_until_it_settles(
    sim: SimulatedStripe, iban: str, status: str, events: list[str]
) -> None:
    """Meanwhile it can neither be canceled nor paid again."""
    intent = await sim.intent(currency="eur")
    paying = await sim.pay(intent.id, payment_method=await sepa_debit(sim, iban))
    with pytest.raises(stripe.InvalidRequestError):
        await sim.api.v1.payment_intents.cancel_async(intent.id)
    again = await sim.pay(intent.id)
    await sim.control("POST", "/clock/advance", {"seconds": SETTLEMENT_SECONDS - 30})
    waiting = await fetch(sim, intent.id)

    await sim.control("POST", "/clock/advance", {"seconds": 30})

    settled = await fetch(sim, intent.id)
    assert (paying["status"], paying["amount_received"], waiting.status) == ("processing", 0, "processing")
    assert again["error"]["code"] == "payment_intent_unexpected_state"
    assert (settled.status, settled.amount_received) == (status, 1999 if status == "succeeded" else 0)
    assert await sim.event_types() == [
        "payment_intent.created",
        "charge.pending",
        "payment_intent.processing",
        *events,
    ]


@pytest.mark.parametrize(("succeed", "status"), [(True, "succeeded"), (False, "requires_payment_method")])
async def test_the_control_api_settles_a_debit(sim: SimulatedStripe, *, succeed: bool, status: str) -> None:
    """The clock then changes nothing."""
    intent = await sim.intent()
    await sim.pay(intent.id, payment_method="pm_usBankAccount")

    settled = await sim.control("POST", f"/payment_intents/{intent.id}/settle", {"succeed": succeed})
    await sim.control("POST", "/clock/advance", {"seconds": SETTLEMENT_SECONDS})

    assert settled["status"] == status
    assert (await fetch(sim, intent.id)).status == status


async def test_a_debit_needs_a_mandate_and_its_currency(sim: SimulatedStripe) -> None:
    """A server sends the mandate. SEPA debits only pay euros."""
    euros, dollars = await sim.intent(currency="eur"), await sim.intent()
    mandate = {"customer_acceptance": {"type": "offline"}}
    method = await sepa_debit(sim)

    with pytest.raises(stripe.InvalidRequestError) as without_mandate:
        await confirm(sim, euros.id, method)
    with pytest.raises(stripe.InvalidRequestError) as other_currency:
        await confirm(sim, dollars.id, method, mandate_data=mandate)
    confirmed = await confirm(sim, euros.id, method, mandate_data=mandate)

    assert without_mandate.value.code == "payment_intent_mandate_invalid"
    assert other_currency.value.code == "payment_intent_incompatible_payment_method"
    assert confirmed.status == "processing"


@pytest.mark.parametrize(
    "details", [{"type": "sepa_debit", "sepa_debit": {"iban": "DE00000000000000000000"}}, {"type": "alipay"}]
)
async def test_unknown_accounts_and_types_are_refused(sim: SimulatedStripe, details: Any) -> None:
    """Only the modelled test accounts can be saved."""
    with pytest.raises(stripe.InvalidRequestError):
        await sim.api.v1.payment_methods.create_async(details)
