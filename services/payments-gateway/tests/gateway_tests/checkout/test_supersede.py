import pytest

from payments_gateway.access.tokens import GUEST
from payments_gateway.domain.attempts import Attempt, CloseReason, DeleteReason, Tombstone
from payments_gateway.domain.callers import Caller
from payments_gateway.domain.errors import AlreadyPaid, AttemptNotFound, PaymentProcessing
from payments_gateway.domain.intents import IntentStatus

from ..assembly import Gateway
from ..fakes import Crash
from ..samples import ATTEMPT_ID, CONTEXT

STEPS = ["attempts.find", "attempts.close", "intents.cancel", "attempts.delete"]
SUPERSEDED = Tombstone(ATTEMPT_ID, DeleteReason.CANCELLED, CloseReason.SUPERSEDED, user_id=None)
ADA, BOB = Caller("user_ada"), Caller("user_bob")


@pytest.mark.parametrize("caller", [GUEST, ADA])
async def test_p4_an_attempt_is_closed_then_cancelled_then_deleted(gateway: Gateway, caller: Caller) -> None:
    """A guest's attempt may be replaced by anybody who has its id; a repeat changes nothing."""
    old = gateway.stored_attempt()

    await gateway.supersede.supersede(ATTEMPT_ID, caller)
    await gateway.supersede.supersede(ATTEMPT_ID, caller)

    assert gateway.wire.calls == [*STEPS, "attempts.find"]
    assert gateway.status_of(old.intent) == "canceled"
    assert gateway.attempts.at(ATTEMPT_ID) == SUPERSEDED


async def test_p3_an_attempt_that_turns_out_paid_is_fulfilled(gateway: Gateway) -> None:
    """Stripe refuses the cancel because the buyer has just paid; a repeat is shown the same purchase."""
    gateway.paid_attempt()

    for _ in range(2):
        with pytest.raises(AlreadyPaid) as refusal:
            await gateway.supersede.supersede(ATTEMPT_ID, GUEST)
        assert [refusal.value.purchase] == gateway.orders.purchases()

    left = gateway.attempts.at(ATTEMPT_ID)
    assert isinstance(left, Tombstone)
    assert left.reason is DeleteReason.RECORDED


@pytest.mark.parametrize("status", [IntentStatus.REQUIRES_ACTION, IntentStatus.UNKNOWN])
async def test_p4_content_stays_until_the_intent_is_cancelled(gateway: Gateway, status: IntentStatus) -> None:
    """Stripe may refuse the cancel and show an intent that can still be paid."""
    old = gateway.stored_attempt()
    gateway.intents.refuse_cancels(status)

    with pytest.raises(PaymentProcessing):
        await gateway.supersede.supersede(ATTEMPT_ID, GUEST)

    left = gateway.attempts.at(ATTEMPT_ID)
    assert isinstance(left, Attempt)
    assert left.context == old.context


@pytest.mark.parametrize("reason", [DeleteReason.RECORDED, DeleteReason.QUARANTINED])
async def test_a_decided_attempt_is_paid(gateway: Gateway, reason: DeleteReason) -> None:
    """The tombstone is enough, even without a purchase to show."""
    gateway.stored_attempt()
    await gateway.attempts.delete(ATTEMPT_ID, reason)

    with pytest.raises(AlreadyPaid) as refusal:
        await gateway.supersede.supersede(ATTEMPT_ID, GUEST)

    assert refusal.value.purchase is None


@pytest.mark.parametrize("caller", [GUEST, BOB])
async def test_somebody_elses_purchase_is_not_shown_when_its_tombstone_names_nobody(
    gateway: Gateway, caller: Caller
) -> None:
    """The content was lost before the tombstone was made; the purchase still names its owner."""
    purchase = await gateway.fulfil(gateway.paid_attempt(user_id="user_ada"))
    gateway.attempts.lose(ATTEMPT_ID)
    await gateway.attempts.delete(ATTEMPT_ID, DeleteReason.RECORDED)

    with pytest.raises((AttemptNotFound, AlreadyPaid)) as others:
        await gateway.supersede.supersede(ATTEMPT_ID, caller)
    with pytest.raises(AlreadyPaid) as owners:
        await gateway.supersede.supersede(ATTEMPT_ID, ADA)

    assert isinstance(others.value, AttemptNotFound)
    assert owners.value.purchase == purchase


async def test_p4_an_attempt_whose_payment_is_processing_keeps_its_content(gateway: Gateway) -> None:
    """The payment can still succeed, and is then fulfilled although the attempt is closed."""
    old = gateway.stored_attempt()
    gateway.intents.change(old.intent, status=IntentStatus.PROCESSING)
    with pytest.raises(PaymentProcessing):
        await gateway.supersede.supersede(ATTEMPT_ID, GUEST)
    [stored] = gateway.attempts.stored()

    await gateway.fulfil(gateway.intents.pay(old.intent))

    [purchase] = gateway.orders.purchases()
    assert stored.context == CONTEXT
    assert purchase.intent_id == old.intent.id


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("step", STEPS)
async def test_p4_a_repeat_completes_after_a_crash_at_any_step(
    gateway: Gateway, step: str, *, after_effect: bool
) -> None:
    """Content is deleted only once the intent is cancelled, and the repeat ends as an undisturbed run does."""
    old = gateway.stored_attempt()
    gateway.wire.fail(step, Crash(), after_effect=after_effect)

    with pytest.raises(Crash):
        await gateway.supersede.supersede(ATTEMPT_ID, GUEST)
    is_payable = gateway.status_of(old.intent) != "canceled"
    is_stored = bool(gateway.attempts.stored())
    gateway.wire.heal()
    await gateway.supersede.supersede(ATTEMPT_ID, GUEST)

    assert is_stored or not is_payable
    assert gateway.status_of(old.intent) == "canceled"
    assert gateway.attempts.at(ATTEMPT_ID) == SUPERSEDED
