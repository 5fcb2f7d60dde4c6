from typing import Any

import pytest
import stripe

from stripe_simulator.testing import SimulatedStripe

AMOUNT = 1999


async def paid(sim: SimulatedStripe, **payment: Any) -> str:
    """Create a paid intent and return its id."""
    intent = await sim.intent()
    await sim.pay(intent.id, **payment)
    return intent.id


async def charge_of(sim: SimulatedStripe, intent_id: str) -> stripe.Charge:
    """Return the intent's charge as it is now."""
    intent = await sim.api.v1.payment_intents.retrieve_async(intent_id)
    return await sim.api.v1.charges.retrieve_async(str(intent.latest_charge))


async def refund(sim: SimulatedStripe, intent_id: str, amount: int | None = None) -> stripe.Refund:
    """Refund the rest, or a part of it."""
    params: Any = {"payment_intent": intent_id} | ({"amount": amount} if amount else {})
    return await sim.api.v1.refunds.create_async(params)


async def test_partial_refunds_add_up(sim: SimulatedStripe) -> None:
    """The charge counts them, and refuses more than it received."""
    intent_id = await paid(sim)
    await refund(sim, intent_id, 999)
    partly = await charge_of(sim, intent_id)
    with pytest.raises(
        stripe.InvalidRequestError, match=r"\(\$19.99 usd\) is greater than unrefunded .* \(\$10.00 usd\)"
    ):
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


async def test_a_refund_can_fail_after_it_succeeded(sim: SimulatedStripe) -> None:
    """The charge no longer counts it."""
    intent_id = await paid(sim)
    made = await refund(sim, intent_id)

    await sim.control("POST", f"/refunds/{made.id}/finish", {"status": "failed"})

    assert (await sim.api.v1.refunds.retrieve_async(made.id)).status == "failed"
    assert (await charge_of(sim, intent_id)).amount_refunded == 0
    assert (await sim.event_types())[-3:] == ["refund.updated", "charge.refund.updated", "refund.failed"]


async def test_the_refund_of_a_debit_is_pending_first(sim: SimulatedStripe) -> None:
    """It succeeds after the settlement time. Only a refund that waits for the customer can be canceled."""
    intent_id = await paid(sim, payment_method="pm_usBankAccount", settle="paid")
    made, canceled = await refund(sim, intent_id, 100), await refund(sim, intent_id, 100)
    with pytest.raises(stripe.InvalidRequestError, match="cannot cancel a refund with a status of pending"):
        await sim.api.v1.refunds.cancel_async(canceled.id)
    await sim.control("POST", f"/refunds/{canceled.id}/finish", {"status": "requires_action"})
    await sim.api.v1.refunds.cancel_async(canceled.id)

    await sim.control("POST", "/clock/advance", {"seconds": 200})

    after = [(await sim.api.v1.refunds.retrieve_async(each.id)).status for each in (made, canceled)]
    assert (made.status, after) == ("pending", ["succeeded", "canceled"])


@pytest.mark.parametrize(("currency", "amount"), [("kwd", 5125), ("isk", 550)])
async def test_a_refund_is_a_whole_step_of_its_currency(sim: SimulatedStripe, currency: str, amount: int) -> None:
    """Fils in tens, and whole krónur, as they are charged."""
    intent = await sim.intent(amount=10_000, currency=currency)
    await sim.pay(intent.id)

    with pytest.raises(stripe.InvalidRequestError, match="multiple of") as refused:
        await refund(sim, intent.id, amount)

    assert refused.value.param == "amount"


async def test_an_unpaid_intent_cannot_be_refunded(sim: SimulatedStripe) -> None:
    """It has no charge."""
    intent = await sim.intent()

    with pytest.raises(stripe.InvalidRequestError) as refused:
        await refund(sim, intent.id)

    assert refused.value.code == "payment_intent_unexpected_state"


async def test_only_metadata_can_be_updated(sim: SimulatedStripe) -> None:
    """Of a refund as of a dispute. An update that changes nothing publishes nothing."""
    intent_id = await paid(sim)
    made = await refund(sim, intent_id, 100)
    dispute = await sim.control("POST", f"/payment_intents/{intent_id}/dispute", {})
    before = len(await sim.event_types())

    for _ in range(2):
        changed = await sim.api.v1.refunds.update_async(made.id, {"metadata": {"order": "7"}})
        await sim.api.v1.disputes.update_async(dispute["id"], {"metadata": {"order": "7"}})

    assert changed.to_dict() == made.to_dict() | {"metadata": {"order": "7"}}
    assert (await sim.event_types())[before:] == ["refund.updated", "charge.refund.updated", "charge.dispute.updated"]
    with pytest.raises(stripe.InvalidRequestError, match="unknown parameter: reason"):
        await sim.api.v1.refunds.update_async(made.id, {"reason": "fraudulent"})  # type: ignore[arg-type]


async def test_a_charged_back_charge_cannot_be_refunded(sim: SimulatedStripe) -> None:
    """One with an inquiry can, and one whose dispute was won."""
    intent_id = await paid(sim)
    opened = await sim.control("POST", f"/payment_intents/{intent_id}/dispute", {"status": "warning_needs_response"})
    await refund(sim, intent_id, 100)
    await sim.control("POST", f"/disputes/{opened['id']}/move", {"status": "needs_response"})

    with pytest.raises(stripe.InvalidRequestError) as refused:
        await refund(sim, intent_id, 100)
    await sim.control("POST", f"/disputes/{opened['id']}/move", {"status": "won"})

    assert refused.value.code == "charge_disputed"
    assert (await refund(sim, intent_id, 100)).status == "succeeded"


async def test_a_closed_dispute_is_lost(sim: SimulatedStripe) -> None:
    """The account accepts it."""
    intent_id = await paid(sim)
    opened = await sim.control("POST", f"/payment_intents/{intent_id}/dispute", {})

    closed = await sim.api.v1.disputes.close_async(opened["id"])

    assert (closed.status, (await sim.event_types())[-1]) == ("lost", "charge.dispute.closed")


@pytest.mark.parametrize("outcome", ["won", "lost"])
async def test_a_dispute_is_decided_once(sim: SimulatedStripe, outcome: str) -> None:
    """The bank opens it for the whole charge and decides it."""
    intent_id = await paid(sim)
    opened = await sim.control("POST", f"/payment_intents/{intent_id}/dispute", {})

    await sim.control("POST", f"/disputes/{opened['id']}/move", {"status": outcome})

    found = await sim.api.v1.disputes.retrieve_async(opened["id"])
    assert (opened["status"], opened["amount"]) == ("needs_response", AMOUNT)
    assert (found.status, found.payment_intent) == (outcome, intent_id)
    assert (await charge_of(sim, intent_id)).disputed
    await sim.control("POST", f"/disputes/{opened['id']}/move", {"status": "won"}, status=400)


async def test_an_inquiry_becomes_a_chargeback(sim: SimulatedStripe) -> None:
    """Only then the funds are withdrawn."""
    intent_id = await paid(sim)
    opened = await sim.control("POST", f"/payment_intents/{intent_id}/dispute", {"status": "warning_needs_response"})
    before = await sim.event_types()

    await sim.control("POST", f"/disputes/{opened['id']}/move", {"status": "needs_response"})

    assert "charge.dispute.funds_withdrawn" not in before
    assert (await sim.event_types())[-1] == "charge.dispute.funds_withdrawn"
