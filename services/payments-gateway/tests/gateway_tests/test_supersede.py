import pytest

from payments_gateway.access.tokens import GUEST
from payments_gateway.domain.attempts import AttemptClosed, CloseReason, DeleteReason, Tombstone
from payments_gateway.domain.callers import Caller
from payments_gateway.domain.errors import AlreadyPaid, AttemptNotFound, PaymentProcessing
from payments_gateway.domain.intents import IntentStatus
from payments_gateway.domain.purchases import PaymentReport, ReportChannel

from .assembly import Gateway
from .fakes import Crash
from .samples import ATTEMPT_ID, CONTEXT

STEPS = ["attempts.find", "attempts.close", "intents.cancel", "attempts.delete"]


async def test_an_attempt_is_closed_then_cancelled_then_deleted(gateway: Gateway) -> None:
    """Closed before cancelled, else a retry could store a fresh intent in between; deleted only once unpayable."""
    old = gateway.stored_attempt()

    await gateway.supersede.supersede(ATTEMPT_ID, GUEST)

    assert gateway.wire.calls == STEPS
    assert gateway.status_of(old.intent) == "canceled"
    assert gateway.attempts.at(ATTEMPT_ID) == Tombstone(
        ATTEMPT_ID, DeleteReason.CANCELLED, CloseReason.SUPERSEDED, user_id=None
    )


async def test_no_save_gets_through_once_the_cancel_is_on_its_way(gateway: Gateway) -> None:
    """By the time Stripe is asked to cancel, the attempt takes no further save."""

    async def save_again() -> None:
        with pytest.raises(AttemptClosed):
            await gateway.attempts.save(ATTEMPT_ID, old.request_hash, CONTEXT, old.intent)

    old = gateway.stored_attempt()
    gateway.wire.meanwhile("intents.cancel", save_again)

    await gateway.supersede.supersede(ATTEMPT_ID, GUEST)

    assert gateway.wire.calls.count("attempts.save") == 1


async def test_an_unknown_attempt_is_not_found(gateway: Gateway) -> None:
    """Nothing is closed or cancelled."""
    with pytest.raises(AttemptNotFound):
        await gateway.supersede.supersede(ATTEMPT_ID, GUEST)

    assert gateway.wire.calls == ["attempts.find"]


@pytest.mark.parametrize("caller", [GUEST, Caller("user_bob")])
async def test_somebody_elses_attempt_is_not_found(gateway: Gateway, caller: Caller) -> None:
    """Whether it exists is told to nobody, and it stays as it was."""
    old = gateway.stored_attempt(user_id="user_ada")

    with pytest.raises(AttemptNotFound):
        await gateway.supersede.supersede(ATTEMPT_ID, caller)

    assert gateway.wire.calls == ["attempts.find"]
    assert gateway.attempts.stored() == [old]


async def test_somebody_elses_former_attempt_is_not_found(gateway: Gateway) -> None:
    """A tombstone answers to nobody but its owner either."""
    gateway.stored_attempt(user_id="user_ada")
    await gateway.attempts.delete(ATTEMPT_ID, DeleteReason.RECORDED)

    with pytest.raises(AttemptNotFound):
        await gateway.supersede.supersede(ATTEMPT_ID, GUEST)


async def test_a_guests_attempt_may_be_replaced_after_signing_in(gateway: Gateway) -> None:
    """Whoever holds the id of a guest's attempt may replace it."""
    gateway.stored_attempt()

    await gateway.supersede.supersede(ATTEMPT_ID, Caller("user_ada"))

    assert isinstance(gateway.attempts.at(ATTEMPT_ID), Tombstone)


async def test_p3_an_attempt_that_turns_out_paid_is_fulfilled(gateway: Gateway) -> None:
    """Stripe refuses the cancel because the buyer just paid: the payment becomes its purchase, which is shown."""
    old = gateway.stored_attempt()
    gateway.intents.pay(old.intent)

    with pytest.raises(AlreadyPaid) as refusal:
        await gateway.supersede.supersede(ATTEMPT_ID, GUEST)

    left = gateway.attempts.at(ATTEMPT_ID)
    assert [refusal.value.purchase] == gateway.orders.purchases()
    assert isinstance(left, Tombstone)
    assert left.reason is DeleteReason.RECORDED


@pytest.mark.parametrize("reason", [DeleteReason.RECORDED, DeleteReason.QUARANTINED])
async def test_an_attempt_that_was_decided_is_paid(gateway: Gateway, reason: DeleteReason) -> None:
    """A tombstone tells that it was paid, and there may be no purchase to show."""
    gateway.stored_attempt()
    await gateway.attempts.delete(ATTEMPT_ID, reason)

    with pytest.raises(AlreadyPaid) as refusal:
        await gateway.supersede.supersede(ATTEMPT_ID, GUEST)

    assert refusal.value.purchase is None


async def test_an_attempt_that_was_recorded_shows_its_purchase(gateway: Gateway) -> None:
    """The buyer of a stale tab learns what was bought."""
    old = gateway.stored_attempt()
    purchase = await gateway.fulfilment.fulfil(
        gateway.intents.pay(old.intent), PaymentReport(ReportChannel.WEBHOOK, "evt_1")
    )

    with pytest.raises(AlreadyPaid) as refusal:
        await gateway.supersede.supersede(ATTEMPT_ID, GUEST)

    assert refusal.value.purchase == purchase


@pytest.mark.parametrize("caller", [GUEST, Caller("user_bob")])
async def test_somebody_elses_purchase_is_not_shown_when_its_tombstone_names_nobody(
    gateway: Gateway, caller: Caller
) -> None:
    """The content was lost before the tombstone was made; the purchase knows its owner, who alone is told of it."""
    old = gateway.stored_attempt(user_id="user_ada")
    purchase = await gateway.fulfilment.fulfil(
        gateway.intents.pay(old.intent), PaymentReport(ReportChannel.WEBHOOK, "evt_1")
    )
    gateway.attempts.lose(ATTEMPT_ID)
    await gateway.attempts.delete(ATTEMPT_ID, DeleteReason.RECORDED)

    with pytest.raises((AttemptNotFound, AlreadyPaid)) as strangers:
        await gateway.supersede.supersede(ATTEMPT_ID, caller)
    with pytest.raises(AlreadyPaid) as owners:
        await gateway.supersede.supersede(ATTEMPT_ID, Caller("user_ada"))

    assert isinstance(strangers.value, AttemptNotFound)
    assert owners.value.purchase == purchase


async def test_p4_an_attempt_whose_payment_is_at_the_bank_keeps_its_content(gateway: Gateway) -> None:
    """The payment may still succeed, and then needs the content; the buyer must not pay twice."""
    old = gateway.stored_attempt()
    gateway.intents.turn(old.intent, IntentStatus.PROCESSING)

    with pytest.raises(PaymentProcessing):
        await gateway.supersede.supersede(ATTEMPT_ID, GUEST)

    [kept] = gateway.attempts.stored()
    assert kept.context == CONTEXT
    assert "attempts.delete" not in gateway.wire.calls


async def test_a_payment_that_ends_well_after_all_is_fulfilled_although_closed(gateway: Gateway) -> None:
    """Closing bars saves, not fulfilment."""
    old = gateway.stored_attempt()
    gateway.intents.turn(old.intent, IntentStatus.PROCESSING)
    with pytest.raises(PaymentProcessing):
        await gateway.supersede.supersede(ATTEMPT_ID, GUEST)

    await gateway.fulfilment.fulfil(gateway.intents.pay(old.intent), PaymentReport(ReportChannel.WEBHOOK, "evt_1"))

    [purchase] = gateway.orders.purchases()
    assert purchase.intent_id == old.intent.id


async def test_replacing_twice_is_replacing_once(gateway: Gateway) -> None:
    """The second finds it done."""
    gateway.stored_attempt()
    await gateway.supersede.supersede(ATTEMPT_ID, GUEST)

    await gateway.supersede.supersede(ATTEMPT_ID, GUEST)

    assert gateway.wire.calls == [*STEPS, "attempts.find"]


@pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
async def test_p4_a_crash_at_any_step_is_made_good_by_repeating(
    gateway: Gateway,
    step: str,
    after_effect: bool,  # noqa: FBT001 — a case
) -> None:
    """Content goes only once the intent is cancelled, and the repeat ends where an undisturbed run does."""
    old = gateway.stored_attempt()
    gateway.wire.fail(step, Crash(), after_effect=after_effect)

    with pytest.raises(Crash):
        await gateway.supersede.supersede(ATTEMPT_ID, GUEST)
    payable = gateway.status_of(old.intent) != "canceled"
    kept = bool(gateway.attempts.stored())
    gateway.wire.heal()
    await gateway.supersede.supersede(ATTEMPT_ID, GUEST)

    assert kept or not payable
    assert gateway.status_of(old.intent) == "canceled"
    assert gateway.attempts.at(ATTEMPT_ID) == Tombstone(
        ATTEMPT_ID, DeleteReason.CANCELLED, CloseReason.SUPERSEDED, user_id=None
    )
