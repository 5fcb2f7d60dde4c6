from typing import Any

import pytest
import stripe

from stripe_simulator.testing import SimulatedStripe

METADATA = {"checkoutAttemptId": "an-attempt"}


async def setup_intent(sim: SimulatedStripe, **changes: Any) -> stripe.SetupIntent:
    """Create a customer's setup intent as the gateway does."""
    customer = await sim.api.v1.customers.create_async({})
    params: Any = {"customer": customer.id, "usage": "off_session", "metadata": METADATA} | changes
    return await sim.api.v1.setup_intents.create_async(params)


async def pay(sim: SimulatedStripe, intent_id: str, **payment: Any) -> Any:
    """Confirm as a buyer's browser does."""
    return await sim.control("POST", f"/setup_intents/{intent_id}/pay", payment)


async def test_a_confirmed_card_is_attached(sim: SimulatedStripe) -> None:
    """Nothing is charged."""
    intent = await setup_intent(sim)

    outcome = await pay(sim, intent.id)

    done = await sim.api.v1.setup_intents.retrieve_async(intent.id, {"expand": ["payment_method"]})
    method: Any = done.payment_method
    assert (intent.status, intent.usage, intent.to_dict()["metadata"]) == (
        "requires_payment_method",
        "off_session",
        METADATA,
    )
    assert str(intent.client_secret).startswith(f"{intent.id}_secret_")
    assert outcome["status"] == done.status == "succeeded"
    assert method.customer == intent.customer
    assert (await sim.event_types())[-2:] == ["payment_method.attached", "setup_intent.succeeded"]


@pytest.mark.parametrize(("challenge", "status"), [("pass", "succeeded"), ("fail", "requires_payment_method")])
async def test_a_challenge_is_passed_or_failed(sim: SimulatedStripe, challenge: str, status: str) -> None:
    """3-D Secure stops at `requires_action` until the buyer answers."""
    intent = await setup_intent(sim)
    asked = await pay(sim, intent.id, payment_method="pm_card_authenticationRequired")

    outcome = await sim.control("POST", f"/setup_intents/{intent.id}/challenge", {"succeed": challenge == "pass"})

    assert (asked["status"], outcome["status"]) == ("requires_action", status)


async def test_a_card_that_may_not_be_saved_is_declined(sim: SimulatedStripe) -> None:
    """The intent then waits for another payment method."""
    intent = await setup_intent(sim)

    outcome = await pay(sim, intent.id, payment_method="pm_card_chargeDeclined")

    refused = await sim.api.v1.setup_intents.retrieve_async(intent.id)
    assert outcome["error"]["code"] == "card_declined"
    assert (refused.status, refused.payment_method) == ("requires_payment_method", None)
    assert (await sim.event_types())[-1] == "setup_intent.setup_failed"


async def test_cancel_is_final(sim: SimulatedStripe) -> None:
    """A canceled intent cannot be confirmed, and a succeeded one cannot be canceled."""
    intent, succeeded = await setup_intent(sim), await setup_intent(sim)
    await pay(sim, succeeded.id)
    canceled = await sim.api.v1.setup_intents.cancel_async(intent.id)

    outcome = await pay(sim, intent.id)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.api.v1.setup_intents.cancel_async(succeeded.id)

    assert canceled.status == outcome["status"] == "canceled"
    assert outcome["error"]["code"] == refused.value.code == "setup_intent_unexpected_state"


async def test_a_browser_needs_the_client_secret(sim: SimulatedStripe) -> None:
    """With it, a browser sees a reduced intent."""
    intent = await setup_intent(sim)

    shown = await sim.browser.v1.setup_intents.retrieve_async(intent.id, {"client_secret": str(intent.client_secret)})

    assert "metadata" not in shown.to_dict()
    with pytest.raises(stripe.InvalidRequestError):
        await sim.browser.v1.setup_intents.retrieve_async(intent.id)
