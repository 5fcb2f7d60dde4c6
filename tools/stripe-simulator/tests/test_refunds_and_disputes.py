from typing import Any

import pytest
import stripe

from stripe_simulator.testing import SimulatedStripe

AMOUNT = 1999


async def paid(sim: SimulatedStripe, **payment: Any) -> str:
    """Make a paid intent; answer its id."""
    intent = await sim.intent()
    await sim.pay(intent.id, **payment)
    return intent.id


async def charge_of(sim: SimulatedStripe, intent_id: str) -> stripe.Charge:
    """Answer the intent's charge as it is now."""
    return (await sim.api.v1.charges.list_async({"payment_intent": intent_id})).data[0]


async def refund(sim: SimulatedStripe, intent_id: str, amount: int | None = None) -> stripe.Refund:
    """Refund all that is left, or a part of it."""
    params: Any = {"payment_intent": intent_id} | ({"amount": amount} if amount else {})
    return await sim.api.v1.refunds.create_async(params)


async def test_parts_are_refunded_until_nothing_is_left(sim: SimulatedStripe) -> None:
    """The charge counts what was given back, and refuses more than it took."""
    intent_id = await paid(sim)
    await refund(sim, intent_id, 999)
    partly = await charge_of(sim, intent_id)
    with pytest.raises(stripe.InvalidRequestError):
        await refund(sim, intent_id, AMOUNT)

    rest = await refund(sim, intent_id)

    wholly = await charge_of(sim, intent_id)
    assert (partly.amount_refunded, partly.refunded) == (999, False)
    assert (rest.amount, rest.status) == (1000, "succeeded")
    assert (wholly.amount_refunded, wholly.refunded) == (AMOUNT, True)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await refund(sim, intent_id)
    assert refused.value.code == "charge_already_refunded"
    assert (await sim.event_types())[-2:] == ["refund.created", "charge.refunded"]


async def test_a_refund_that_the_bank_sends_back_is_undone(sim: SimulatedStripe) -> None:
    """It fails after it had succeeded, and the charge counts it no more."""
    intent_id = await paid(sim)
    made = await refund(sim, intent_id)

    await sim.control("POST", f"/refunds/{made.id}/finish", {"status": "failed"})

    assert (await sim.api.v1.refunds.retrieve_async(made.id)).status == "failed"
    assert (await charge_of(sim, intent_id)).amount_refunded == 0
    assert (await sim.event_types())[-3:] == ["refund.updated", "charge.refund.updated", "refund.failed"]


async def test_a_debit_is_refunded_after_a_while(sim: SimulatedStripe) -> None:
    """It is pending until the clock says so."""
    intent_id = await paid(sim, payment_method="pm_usBankAccount", settle="paid")
    made = await refund(sim, intent_id)

    await sim.control("POST", "/clock/advance", {"seconds": 200})

    assert made.status == "pending"
    assert (await sim.api.v1.refunds.retrieve_async(made.id)).status == "succeeded"


async def test_what_is_not_paid_cannot_be_refunded(sim: SimulatedStripe) -> None:
    """There is no charge to give back."""
    intent = await sim.intent()

    with pytest.raises(stripe.InvalidRequestError) as refused:
        await refund(sim, intent.id)

    assert refused.value.code == "payment_intent_unexpected_state"


@pytest.mark.parametrize("outcome", ["won", "lost"])
async def test_a_dispute_is_decided(sim: SimulatedStripe, outcome: str) -> None:
    """The bank opens it over the whole charge and decides it, once."""
    intent_id = await paid(sim)
    opened = await sim.control("POST", f"/payment_intents/{intent_id}/dispute", {})

    await sim.control("POST", f"/disputes/{opened['id']}/move", {"status": outcome})

    found = await sim.api.v1.disputes.retrieve_async(opened["id"])
    assert (opened["status"], opened["amount"]) == ("needs_response", AMOUNT)
    assert (found.status, found.payment_intent) == (outcome, intent_id)
    assert (await charge_of(sim, intent_id)).disputed
    await sim.control("POST", f"/disputes/{opened['id']}/move", {"status": "won"}, status=400)


async def test_an_inquiry_becomes_a_chargeback(sim: SimulatedStripe) -> None:
    """Money is withdrawn only then."""
    intent_id = await paid(sim)
    opened = await sim.control("POST", f"/payment_intents/{intent_id}/dispute", {"status": "warning_needs_response"})
    before = await sim.event_types()

    await sim.control("POST", f"/disputes/{opened['id']}/move", {"status": "needs_response"})

    assert "charge.dispute.funds_withdrawn" not in before
    assert (await sim.event_types())[-1] == "charge.dispute.funds_withdrawn"


async def test_evidence_moves_it_under_review(sim: SimulatedStripe) -> None:
    """Submitting is what the shop does."""
    intent_id = await paid(sim)
    opened = await sim.control("POST", f"/payment_intents/{intent_id}/dispute", {})

    submitted = await sim.api.v1.disputes.update_async(opened["id"], {"submit": True})

    assert submitted.status == "under_review"
