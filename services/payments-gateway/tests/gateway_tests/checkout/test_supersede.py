"""A chain of attempts that replaced each other: it ends in one payable intent, or at the link that is paid."""

import uuid
from contextlib import nullcontext
from itertools import pairwise

import pytest

from payments_gateway.access.tokens import GUEST
from payments_gateway.domain.attempts import (
    Attempt,
    AttemptClosed,
    CloseReason,
    DeleteReason,
    Tombstone,
    UnreadableAttempt,
)
from payments_gateway.domain.callers import Caller
from payments_gateway.domain.errors import AlreadyPaid, AttemptNotFound, PaymentProcessing
from payments_gateway.domain.intents import IntentStatus
from payments_gateway.domain.stripe_errors import StripeUnavailable
from servicekit.unavailable import ServiceUnavailable

from ..assembly import Gateway
from ..fakes import Crash
from ..samples import ATTEMPT_ID, CONTEXT, attempt, intent_ref

READS = ["attempts.find", "intents.retrieve"]
STEPS = ["attempts.close", "intents.cancel", "attempts.delete"]
MIDDLE_ID, NEW_ID = "9e2a5b63-7d2f-4b66-8a1f-1e6a5d1bac22", "0c1d2e3f-4a5b-4c6d-8e7f-8a9b0c1d2e3f"
ADA, BOB = Caller("user_ada"), Caller("user_bob")


def superseded(attempt_id: str, *, by: str | None) -> Tombstone:
    """Return what is left of an attempt that was cancelled for another."""
    return Tombstone(attempt_id, DeleteReason.CANCELLED, CloseReason.SUPERSEDED, user_id=None, successor=by)


GIVEN_UP = superseded(NEW_ID, by=None)


async def supersede(gateway: Gateway, caller: Caller = GUEST) -> None:
    """Replace the tests' attempt by a new one, which is stored the first time."""
    new = gateway.attempts.at(NEW_ID) or gateway.stored_attempt(attempt_id=NEW_ID)
    assert isinstance(new, Attempt)
    await gateway.supersede.supersede(ATTEMPT_ID, new, caller)


@pytest.mark.parametrize("caller", [GUEST, ADA])
async def test_p4_an_attempt_is_closed_then_cancelled_then_deleted(gateway: Gateway, caller: Caller) -> None:
    """A guest's attempt may be replaced by anybody who has its id; a repeat changes nothing."""
    old = gateway.stored_attempt()

    await supersede(gateway, caller)
    await supersede(gateway, caller)

    assert gateway.wire.calls == [*READS, *STEPS, "attempts.find", "attempts.close"]
    assert gateway.status_of(old.intent) == "canceled"
    assert gateway.attempts.at(ATTEMPT_ID) == superseded(ATTEMPT_ID, by=NEW_ID)
    assert isinstance(gateway.attempts.at(NEW_ID), Attempt)


def pay_at_the_last_moment(gateway: Gateway, attempt: Attempt) -> None:
    """Let the buyer pay while the next cancel is on its way."""

    async def pay() -> None:
        gateway.intents.pay(attempt.intent)

    gateway.wire.meanwhile("intents.cancel", pay)


async def test_p3_an_attempt_that_turns_out_paid_is_fulfilled(gateway: Gateway) -> None:
    """Stripe refuses the cancel because the buyer has just paid; the new attempt is given up."""
    pay_at_the_last_moment(gateway, gateway.stored_attempt())

    with pytest.raises(AlreadyPaid) as refusal:
        await supersede(gateway)

    assert [refusal.value.purchase] == gateway.orders.purchases()
    assert [intent.status.value for intent in gateway.intents.all()] == ["succeeded", "canceled"]
    assert gateway.attempts.at(NEW_ID) == GIVEN_UP


@pytest.mark.parametrize("status", [IntentStatus.REQUIRES_ACTION, IntentStatus.UNKNOWN])
async def test_p4_content_stays_until_the_intent_is_cancelled(gateway: Gateway, status: IntentStatus) -> None:
    """Stripe may refuse the cancel and show an intent that can still be paid."""
    old = gateway.stored_attempt()
    gateway.intents.refuse_cancels(status)

    with pytest.raises(PaymentProcessing):
        await supersede(gateway)

    left = gateway.attempts.at(ATTEMPT_ID)
    assert isinstance(left, Attempt)
    assert left.context == old.context


@pytest.mark.parametrize("reason", [DeleteReason.RECORDED, DeleteReason.QUARANTINED])
async def test_a_decided_attempt_is_paid(gateway: Gateway, reason: DeleteReason) -> None:
    """The tombstone is enough, even without a purchase to show: before anything is begun, and after."""
    gateway.stored_attempt()
    await gateway.attempts.delete(ATTEMPT_ID, reason)

    for refuse in (gateway.supersede.ensure_replaceable(ATTEMPT_ID, GUEST), supersede(gateway)):
        with pytest.raises(AlreadyPaid) as refusal:
            await refuse
        assert refusal.value.purchase is None

    assert gateway.attempts.at(NEW_ID) == GIVEN_UP


@pytest.mark.parametrize("caller", [GUEST, BOB])
async def test_somebody_elses_purchase_is_not_shown_when_its_tombstone_names_nobody(
    gateway: Gateway, caller: Caller
) -> None:
    """The content was lost before the tombstone was made; the purchase still names its owner."""
    purchase = await gateway.fulfil(gateway.paid_attempt(user_id="user_ada"))
    gateway.attempts.lose(ATTEMPT_ID)
    await gateway.attempts.delete(ATTEMPT_ID, DeleteReason.RECORDED)

    with pytest.raises((AttemptNotFound, AlreadyPaid)) as others:
        await gateway.supersede.ensure_replaceable(ATTEMPT_ID, caller)
    with pytest.raises(AlreadyPaid) as owners:
        await gateway.supersede.ensure_replaceable(ATTEMPT_ID, ADA)

    assert isinstance(others.value, AttemptNotFound)
    assert owners.value.purchase == purchase


async def test_p4_an_attempt_whose_payment_is_processing_keeps_its_content(gateway: Gateway) -> None:
    """The payment can still succeed, and is then fulfilled."""
    old = gateway.stored_attempt()
    gateway.intents.change(old.intent, status=IntentStatus.PROCESSING)
    with pytest.raises(PaymentProcessing):
        await supersede(gateway)
    [stored] = gateway.attempts.stored()

    await gateway.fulfil(gateway.intents.pay(old.intent))

    [purchase] = gateway.orders.purchases()
    assert stored.context == CONTEXT
    assert purchase.intent_id == old.intent.id
    assert gateway.attempts.at(NEW_ID) == GIVEN_UP


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("step", STEPS)
async def test_p4_a_repeat_completes_after_a_crash_at_any_step(
    gateway: Gateway, step: str, *, after_effect: bool
) -> None:
    """Content is deleted only once the intent is cancelled, and the repeat ends as an undisturbed run does."""
    old = gateway.stored_attempt()
    gateway.wire.fail(step, Crash(), after_effect=after_effect)

    with pytest.raises(Crash):
        await supersede(gateway)
    is_payable = gateway.status_of(old.intent) != "canceled"
    is_stored = isinstance(gateway.attempts.at(ATTEMPT_ID), Attempt)
    gateway.wire.heal()
    await supersede(gateway)

    assert is_stored or not is_payable
    assert gateway.status_of(old.intent) == "canceled"
    assert gateway.attempts.at(ATTEMPT_ID) == superseded(ATTEMPT_ID, by=NEW_ID)


async def test_an_attempt_that_is_paid_between_close_and_cancel_ends_the_repeat(gateway: Gateway) -> None:
    """The request before was killed in between, and the buyer paid in the old tab."""
    old = gateway.stored_attempt()
    gateway.wire.fail("intents.cancel", Crash())
    with pytest.raises(Crash):
        await supersede(gateway)
    gateway.wire.heal()
    gateway.intents.pay(old.intent)

    with pytest.raises(AlreadyPaid) as refusal:
        await supersede(gateway)

    assert [refusal.value.purchase] == gateway.orders.purchases()
    assert gateway.attempts.at(NEW_ID) == GIVEN_UP


@pytest.mark.parametrize(
    ("call", "failure"),
    [("intents.cancel", StripeUnavailable()), ("attempts.delete", ServiceUnavailable("checkout-session"))],
)
async def test_a_new_attempt_that_cannot_be_given_up_changes_no_answer(
    gateway: Gateway, call: str, failure: Exception
) -> None:
    """Nobody has its secret."""
    await gateway.fulfil(gateway.paid_attempt())
    gateway.wire.fail(call, failure)

    with pytest.raises(AlreadyPaid):
        await supersede(gateway)


async def test_an_intent_that_stripe_does_not_know_is_not_called_unpayable(gateway: Gateway) -> None:
    """It may be payable at an account that the shop had before. Its content stays, and no secret is released."""
    gateway.attempts.put(attempt(intent_ref("pi_of_another_account")))

    with pytest.raises(AttemptNotFound):
        await supersede(gateway)

    assert isinstance(gateway.attempts.at(ATTEMPT_ID), Attempt)
    assert gateway.attempts.at(NEW_ID) == GIVEN_UP


@pytest.mark.parametrize("is_paid", [False, True])
async def test_an_attempt_that_cannot_be_decrypted_is_superseded_by_its_intent(
    gateway: Gateway, *, is_paid: bool
) -> None:
    """Cancelled it is deleted. Paid it is left to the webhook, with its content, and the new attempt is given up."""
    old = gateway.stored_attempt()
    gateway.attempts.make_unreadable(ATTEMPT_ID)
    if is_paid:
        gateway.intents.pay(old.intent)

    with pytest.raises(AlreadyPaid) if is_paid else nullcontext():
        await supersede(gateway)

    left = {ATTEMPT_ID: gateway.attempts.at(ATTEMPT_ID), NEW_ID: gateway.attempts.at(NEW_ID)}
    assert isinstance(left[ATTEMPT_ID], UnreadableAttempt if is_paid else Tombstone)
    assert isinstance(left[NEW_ID], Tombstone if is_paid else Attempt)
    assert gateway.orders.decisions == {}


async def middle_of_a_chain(gateway: Gateway, *, user_id: str | None = None) -> Attempt:
    """Replace the tests' attempt by another, whose secret is released."""
    gateway.stored_attempt()
    middle = gateway.stored_attempt(attempt_id=MIDDLE_ID, user_id=user_id)
    await gateway.supersede.supersede(ATTEMPT_ID, middle, GUEST)
    return middle


async def test_the_head_of_the_chain_is_superseded(gateway: Gateway) -> None:
    """The back button: a buyer whose page still has the first attempt ends the second one too."""
    middle = await middle_of_a_chain(gateway)
    gateway.wire.calls.clear()

    await supersede(gateway)

    assert gateway.wire.calls == ["attempts.find", "attempts.close", *READS, *STEPS]
    assert gateway.status_of(middle.intent) == "canceled"
    assert gateway.attempts.at(MIDDLE_ID) == superseded(MIDDLE_ID, by=NEW_ID)
    assert gateway.attempts.at(ATTEMPT_ID) == superseded(ATTEMPT_ID, by=MIDDLE_ID)


async def test_p3_a_paid_head_ends_the_chain(gateway: Gateway) -> None:
    """Reported or not, its purchase is shown and the new attempt given up, whichever link the buyer's page names."""
    middle = await middle_of_a_chain(gateway)
    gateway.intents.pay(middle.intent)

    with pytest.raises(AlreadyPaid) as fulfilled:
        await supersede(gateway)
    gateway.attempts.lose(NEW_ID)
    with pytest.raises(AlreadyPaid) as recorded:
        await supersede(gateway)

    [purchase] = gateway.orders.purchases()
    assert fulfilled.value.purchase == recorded.value.purchase == purchase
    assert gateway.attempts.at(NEW_ID) == GIVEN_UP


async def test_p3_a_link_is_judged_before_its_successor(gateway: Gateway) -> None:
    """The superseding before was killed between close and cancel, and the buyer pays the link just before the next."""
    old = gateway.stored_attempt()
    middle = gateway.stored_attempt(attempt_id=MIDDLE_ID)
    gateway.wire.fail("intents.cancel", Crash())
    with pytest.raises(Crash):
        await gateway.supersede.supersede(ATTEMPT_ID, middle, GUEST)
    gateway.wire.heal()
    pay_at_the_last_moment(gateway, old)

    with pytest.raises(AlreadyPaid) as refusal:
        await supersede(gateway)

    assert [refusal.value.purchase] == gateway.orders.purchases()
    assert gateway.attempts.at(MIDDLE_ID) == middle  # it was not asked


@pytest.mark.parametrize(("caller", "named"), [(ADA, MIDDLE_ID), (GUEST, None)])
async def test_p6_a_processing_payment_is_named_to_its_owner_alone(
    gateway: Gateway, caller: Caller, named: str | None
) -> None:
    """A page that still has the first attempt of the chain learns which one to ask about, unless it is another's."""
    middle = await middle_of_a_chain(gateway, user_id="user_ada")
    gateway.intents.change(middle.intent, status=IntentStatus.PROCESSING)

    with pytest.raises(PaymentProcessing) as replaced:
        await supersede(gateway, caller)
    with pytest.raises(PaymentProcessing) as looked_through:
        await gateway.supersede.ensure_not_paid(ATTEMPT_ID, caller)

    assert [replaced.value.attempt_id, looked_through.value.attempt_id] == [named, named]


async def test_p6_a_users_purchase_is_not_shown_to_the_guest_whose_chain_it_continued(gateway: Gateway) -> None:
    """The guest is told that it is paid, and no more."""
    middle = await middle_of_a_chain(gateway, user_id="user_ada")
    await gateway.fulfil(gateway.intents.pay(middle.intent))

    with pytest.raises(AlreadyPaid) as refusal:
        await supersede(gateway, GUEST)

    assert refusal.value.purchase is None


async def test_a_successor_whose_save_is_in_flight_cannot_be_saved_any_more(gateway: Gateway) -> None:
    """It is closed before it is there."""
    gateway.stored_attempt()
    await gateway.attempts.close(ATTEMPT_ID, CloseReason.SUPERSEDED, successor=MIDDLE_ID)

    await supersede(gateway)

    with pytest.raises(AttemptClosed):
        await gateway.attempts.save(MIDDLE_ID, b"h" * 32, CONTEXT, intent_ref("pi_late"))


async def test_a_chain_that_is_too_long_is_not_followed_to_its_end(gateway: Gateway) -> None:
    """The new attempt's secret is not released, and the buyer has to begin a checkout of its own."""
    ids = [ATTEMPT_ID, *(str(uuid.UUID(int=number, version=4)) for number in range(40))]
    for link, successor in pairwise(ids):
        await gateway.attempts.close(link, CloseReason.SUPERSEDED, successor=successor)
    gateway.wire.calls.clear()

    with pytest.raises(AttemptNotFound):
        await supersede(gateway)

    assert gateway.wire.calls.count("attempts.close") == 32 + 1
    assert gateway.attempts.at(NEW_ID) == GIVEN_UP
