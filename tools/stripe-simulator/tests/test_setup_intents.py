from typing import Any

import pytest
import stripe

from stripe_simulator.testing import SimulatedStripe

METADATA = {"checkoutAttemptId": "an-attempt"}


async def setup_intent(sim: SimulatedStripe, **changes: Any) -> stripe.SetupIntent:
    """Make a customer's setup intent as the gateway does."""
    customer = await sim.api.v1.customers.create_async({})
    params: Any = {"customer": customer.id, "usage": "off_session", "metadata": METADATA} | changes
    return await sim.api.v1.setup_intents.create_async(params)


async def pay(sim: SimulatedStripe, intent_id: str, **payment: Any) -> Any:
    """Confirm as a buyer's browser would."""
    return await sim.control("POST", f"/setup_intents/{intent_id}/pay", payment)


async def test_a_new_intent_waits_for_a_payment_method(sim: SimulatedStripe) -> None:
    """It has a client secret, the metadata given and nothing else."""
    intent = await setup_intent(sim)

    assert (intent.status, intent.usage) == ("requires_payment_method", "off_session")
    assert intent.metadata is not None
    assert intent.metadata.to_dict() == METADATA
    assert str(intent.client_secret).startswith(f"{intent.id}_secret_")


async def test_a_confirmed_card_belongs_to_the_customer(sim: SimulatedStripe) -> None:
    """Nothing is charged; the payment method can be used for the customer from now on."""
    intent = await setup_intent(sim)

    outcome = await pay(sim, intent.id)

    done = await sim.api.v1.setup_intents.retrieve_async(intent.id, {"expand": ["payment_method"]})
    method: Any = done.payment_method
    assert outcome["status"] == done.status == "succeeded"
    assert method.customer == intent.customer
    assert (await sim.control("GET", "/state"))["objects"]["charges"] == 0
    assert (await sim.event_types())[-2:] == ["payment_method.attached", "setup_intent.succeeded"]


@pytest.mark.parametrize(("challenge", "status"), [("pass", "succeeded"), ("fail", "requires_payment_method")])
async def test_a_challenge_is_passed_or_failed(sim: SimulatedStripe, challenge: str, status: str) -> None:
    """A card that asks for 3-D Secure waits for the buyer."""
    intent = await setup_intent(sim)
    asked = await pay(sim, intent.id, payment_method="pm_card_authenticationRequired")

    outcome = await sim.control("POST", f"/setup_intents/{intent.id}/challenge", {"succeed": challenge == "pass"})

    assert asked["status"] == "requires_action"
    assert outcome["status"] == status


async def test_a_card_that_may_not_be_saved_is_declined(sim: SimulatedStripe) -> None:
    """The bank's refusal is a card error, and the intent waits for another payment method."""
    intent = await setup_intent(sim)

    outcome = await pay(sim, intent.id, payment_method="pm_card_chargeDeclined")

    refused = await sim.api.v1.setup_intents.retrieve_async(intent.id)
    assert outcome["error"]["code"] == "card_declined"
    assert (refused.status, refused.payment_method) == ("requires_payment_method", None)
    assert (await sim.event_types())[-1] == "setup_intent.setup_failed"


async def test_a_canceled_intent_cannot_be_confirmed(sim: SimulatedStripe) -> None:
    """Cancelling is final."""
    intent = await setup_intent(sim)
    canceled = await sim.api.v1.setup_intents.cancel_async(intent.id)

    outcome = await pay(sim, intent.id)

    assert canceled.status == outcome["status"] == "canceled"
    assert outcome["error"]["code"] == "setup_intent_unexpected_state"


async def test_what_succeeded_cannot_be_canceled(sim: SimulatedStripe) -> None:
    """The refusal carries the intent."""
    intent = await setup_intent(sim)
    await pay(sim, intent.id)

    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.api.v1.setup_intents.cancel_async(intent.id)

    assert refused.value.code == "setup_intent_unexpected_state"


async def test_a_browser_needs_the_client_secret(sim: SimulatedStripe) -> None:
    """With it, a browser sees a reduced intent; without it, nothing."""
    intent = await setup_intent(sim)

    shown = await sim.browser.v1.setup_intents.retrieve_async(intent.id, {"client_secret": str(intent.client_secret)})

    assert "metadata" not in shown.to_dict()
    with pytest.raises(stripe.InvalidRequestError):
        await sim.browser.v1.setup_intents.retrieve_async(intent.id)


async def test_the_same_key_answers_the_same_intent(sim: SimulatedStripe) -> None:
    """Idempotency keys hold for setup intents as for everything else."""
    customer = await sim.api.v1.customers.create_async({})
    params: Any = {"customer": customer.id}

    first = await sim.api.v1.setup_intents.create_async(params, {"idempotency_key": "attempt:1"})
    again = await sim.api.v1.setup_intents.create_async(params, {"idempotency_key": "attempt:1"})

    assert first.id == again.id
    listed = await sim.api.v1.setup_intents.list_async({"customer": customer.id})
    assert [intent.id for intent in listed.data] == [first.id]
