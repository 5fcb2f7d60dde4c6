"""Due attempts are judged by Stripe's word, and none stops the others."""

import logging
from dataclasses import replace
from datetime import timedelta

import pytest

from payments_gateway.domain.attempts import (
    CloseReason,
    DeleteReason,
    IntentKind,
    IntentRef,
    Tombstone,
    UnreadableAttempt,
)
from payments_gateway.domain.intents import PAYABLE_STATUSES, IntentStatus
from payments_gateway.domain.purchases import Purchase, QuarantinedPayment, QuarantineReason, ReportChannel
from payments_gateway.domain.stripe_errors import StripeUnavailable
from servicekit.unavailable import ServiceUnavailable

from ..assembly import PAY_BY, WEBHOOK, Gateway
from ..reconciling import LEASE, Reconciler
from ..samples import ATTEMPT_ID, OTHER_ATTEMPT_ID, attempt_id_of

PAST_PAY_BY = PAY_BY.total_seconds() + 1
TEN_MINUTES = 600.0
HOUR = 3600.0


@pytest.fixture
def reconciler(gateway: Gateway) -> Reconciler:
    """Give a reconciler beside a gateway."""
    return Reconciler(gateway)


async def test_p3_a_payment_that_nothing_reported_is_fulfilled(gateway: Gateway, reconciler: Reconciler) -> None:
    """By the fulfilment of webhooks; the list shows the intent, so that it is not retrieved."""
    gateway.intents.pay(reconciler.stored().intent)
    reconciler.list_intents()

    await reconciler.sweep.run()

    assert isinstance(await gateway.orders.find_purchase(ATTEMPT_ID), Purchase)
    assert [report.channel for report in gateway.orders.reports] == [ReportChannel.RECONCILER]
    assert gateway.attempts.at(ATTEMPT_ID) == Tombstone(ATTEMPT_ID, DeleteReason.RECORDED, None, user_id=None)
    assert gateway.wire.calls.count("intents.retrieve") == 0


async def test_p4_a_recorded_attempt_whose_deletion_was_lost_is_deleted(
    gateway: Gateway, reconciler: Reconciler
) -> None:
    """The gateway was killed after the webhook's answer and before it deleted the attempt (ADR 56)."""
    paid = gateway.intents.pay(reconciler.stored().intent)
    await gateway.fulfilment.fulfil(paid, WEBHOOK)
    reconciler.list_intents()

    await reconciler.sweep.run()

    assert [purchase.intent_id for purchase in gateway.orders.purchases()] == [paid.ref.id]
    assert gateway.attempts.at(ATTEMPT_ID) == Tombstone(ATTEMPT_ID, DeleteReason.RECORDED, None, user_id=None)


async def test_an_attempt_of_a_newer_version_is_left_alone(gateway: Gateway, reconciler: Reconciler) -> None:
    """It is not closed, cancelled or deleted, and comes due again; the others are judged."""
    odd, usual = reconciler.stored(), reconciler.stored(OTHER_ATTEMPT_ID)
    newer = IntentRef(odd.intent.id, IntentKind.UNKNOWN)
    reconciler.make_due(replace(odd, intent=newer))
    gateway.intents.pay(usual.intent)
    reconciler.clock.advance(PAST_PAY_BY)

    await reconciler.sweep.run()

    assert gateway.attempts.at(ATTEMPT_ID) == odd
    assert reconciler.due.checks[ATTEMPT_ID] == reconciler.clock.now() + timedelta(minutes=5)
    assert isinstance(gateway.attempts.at(OTHER_ATTEMPT_ID), Tombstone)
    assert gateway.wire.calls.count("intents.cancel") == 0


async def test_p3_an_intent_with_edited_metadata_is_fulfilled(gateway: Gateway, reconciler: Reconciler) -> None:
    """checkout-session says whose intent it is: metadata can be edited at Stripe."""
    stored = reconciler.stored()
    gateway.intents.pay(stored.intent)
    gateway.intents.change(stored.intent, attempt_id=None)
    reconciler.list_intents()

    await reconciler.sweep.run()

    assert isinstance(await gateway.orders.find_purchase(ATTEMPT_ID), Purchase)


async def test_p3_a_payment_whose_content_expired_is_quarantined(gateway: Gateway, reconciler: Reconciler) -> None:
    """The index still names its intent; afterwards nothing is left to check."""
    stored = reconciler.stored(content_exists=False)
    gateway.attempts.lose(ATTEMPT_ID)
    gateway.intents.pay(stored.intent)
    reconciler.list_intents()

    await reconciler.sweep.run()

    [decision] = gateway.orders.decisions.values()
    assert decision == QuarantinedPayment(QuarantineReason.ATTEMPT_MISSING, content_kept=False)
    assert isinstance(gateway.attempts.at(ATTEMPT_ID), Tombstone)


async def test_p3_a_payment_of_an_unreadable_attempt_waits_for_the_key(
    gateway: Gateway, reconciler: Reconciler
) -> None:
    """For an hour after the payment, however long ago the checkout began (ADR 28)."""
    stored = reconciler.stored()
    gateway.attempts.make_unreadable(ATTEMPT_ID)
    reconciler.clock.advance(2 * HOUR)
    gateway.intents.pay(stored.intent)
    gateway.intents.change(stored.intent, charged_at=reconciler.clock.now())

    reconciler.clock.advance(HOUR - 1)
    await reconciler.sweep.run()
    early = dict(gateway.orders.decisions)
    reconciler.clock.advance(TEN_MINUTES)
    await reconciler.sweep.run()

    assert early == {}
    [decision] = gateway.orders.decisions.values()
    assert decision == QuarantinedPayment(QuarantineReason.ATTEMPT_UNREADABLE, content_kept=False)


async def test_an_unreadable_attempt_ends_after_35_days(gateway: Gateway, reconciler: Reconciler) -> None:
    """Its payment is in quarantine with the encrypted bytes; personal data must not stay for ever."""
    stored = reconciler.stored()
    gateway.attempts.make_unreadable(ATTEMPT_ID)
    gateway.intents.pay(stored.intent)
    reconciler.clock.advance(34 * 24 * HOUR)
    await reconciler.sweep.run()
    before = gateway.attempts.at(ATTEMPT_ID)

    reconciler.clock.advance(2 * 24 * HOUR)
    await reconciler.sweep.run()

    assert isinstance(before, UnreadableAttempt)
    assert gateway.attempts.at(ATTEMPT_ID) == Tombstone(ATTEMPT_ID, DeleteReason.QUARANTINED, None, user_id=None)


@pytest.mark.parametrize("status", sorted(PAYABLE_STATUSES))
async def test_p2_an_unpaid_attempt_past_its_pay_by_is_closed_then_cancelled_then_deleted(
    gateway: Gateway, reconciler: Reconciler, status: IntentStatus
) -> None:
    """Close before cancel: else a retry of its request could release a new secret in between."""
    stored = reconciler.stored()
    gateway.intents.change(stored.intent, status=status)
    reconciler.list_intents()
    reconciler.clock.advance(PAST_PAY_BY)

    await reconciler.sweep.run()

    changes = [call for call in gateway.wire.calls if call.startswith(("attempts.", "intents."))]
    assert changes == ["attempts.close", "intents.cancel", "attempts.delete"]
    assert gateway.status_of(stored.intent) == "canceled"


async def test_a_superseded_attempt_is_cancelled_before_its_pay_by(gateway: Gateway, reconciler: Reconciler) -> None:
    """A superseding was killed before the cancel."""
    stored = reconciler.stored()
    reconciler.make_due(replace(stored, close_reason=CloseReason.SUPERSEDED))
    reconciler.list_intents()

    await reconciler.sweep.run()

    assert gateway.status_of(stored.intent) == "canceled"


async def test_p3_an_attempt_that_is_paid_while_it_is_cancelled_is_fulfilled(
    gateway: Gateway, reconciler: Reconciler
) -> None:
    """The list showed it as payable; Stripe's answer to the cancel counts."""
    stored = reconciler.stored()
    reconciler.list_intents()
    gateway.intents.pay(stored.intent)
    reconciler.clock.advance(PAST_PAY_BY)

    await reconciler.sweep.run()

    assert isinstance(await gateway.orders.find_purchase(ATTEMPT_ID), Purchase)


async def test_an_attempt_whose_intent_is_cancelled_is_deleted(gateway: Gateway, reconciler: Reconciler) -> None:
    """A process was killed between cancel and delete, or somebody cancelled it in Stripe's dashboard."""
    gateway.intents.change(reconciler.stored().intent, status=IntentStatus.CANCELED)
    reconciler.list_intents()

    await reconciler.sweep.run()

    assert gateway.attempts.at(ATTEMPT_ID) == Tombstone(ATTEMPT_ID, DeleteReason.CANCELLED, None, user_id=None)


@pytest.mark.parametrize(
    ("age", "delay"),
    [(0.0, 5.0), (TEN_MINUTES, TEN_MINUTES), (23.9 * 3600, 0.1 * 3600), (8 * 3600, 3 * 3600)],
)
async def test_an_open_attempt_is_checked_again_at_twice_its_age(
    reconciler: Reconciler, age: float, delay: float
) -> None:
    """Every three hours at most, and when its pay-by has passed."""
    reconciler.stored()
    reconciler.list_intents()
    reconciler.clock.advance(age)

    await reconciler.sweep.run()

    assert reconciler.next_check().total_seconds() == pytest.approx(delay)


async def test_a_debit_at_the_bank_is_left_alone_for_days(gateway: Gateway, reconciler: Reconciler) -> None:
    """Its pay-by passes; it is neither closed nor cancelled, and checked every three hours."""
    gateway.intents.change(reconciler.stored().intent, status=IntentStatus.PROCESSING)
    reconciler.list_intents()
    reconciler.clock.advance(3 * PAST_PAY_BY)

    await reconciler.sweep.run()

    assert not [call for call in gateway.wire.calls if call.startswith("attempts.")]
    assert reconciler.next_check() == timedelta(hours=3)


async def test_a_debit_that_began_after_the_list_is_not_cancelled(gateway: Gateway, reconciler: Reconciler) -> None:
    """Cancels of a crowd take minutes: Stripe is asked again before each, and in rare cases it cancels a debit."""
    debit, unpaid = reconciler.stored(), reconciler.stored(OTHER_ATTEMPT_ID)
    gateway.intents.let_debits_be_cancelled()
    reconciler.list_intents()
    reconciler.clock.advance(PAST_PAY_BY)

    async def pay_by_debit() -> None:
        gateway.intents.change(debit.intent, status=IntentStatus.PROCESSING)
        reconciler.clock.advance(6)

    gateway.wire.meanwhile("attempts.close", pay_by_debit)

    await reconciler.sweep.run()

    assert (gateway.status_of(debit.intent), gateway.status_of(unpaid.intent)) == ("processing", "canceled")
    assert gateway.attempts.at(ATTEMPT_ID) == debit


async def test_a_bank_account_that_is_being_verified_outlives_the_pay_by(
    gateway: Gateway, reconciler: Reconciler
) -> None:
    """The deposit takes days to arrive, and the buyer has chosen to pay (ADR 43)."""
    stored = reconciler.stored()
    gateway.intents.change(stored.intent, status=IntentStatus.REQUIRES_ACTION, awaits_microdeposits=True)
    reconciler.list_intents()
    reconciler.clock.advance(PAST_PAY_BY)

    await reconciler.sweep.run()

    assert gateway.status_of(stored.intent) == "requires_action"
    assert reconciler.next_check() == timedelta(hours=3)


@pytest.mark.parametrize("status", [IntentStatus.REQUIRES_CAPTURE, IntentStatus.UNKNOWN, None])
async def test_an_intent_that_no_machine_should_decide_is_an_error_in_the_log(
    gateway: Gateway, reconciler: Reconciler, caplog: pytest.LogCaptureFixture, status: IntentStatus | None
) -> None:
    """An authorised payment, a new status, or an intent that Stripe does not know: kept, and checked again."""
    stored = reconciler.stored()
    if status is None:
        gateway.intents.forget(stored.intent)
    else:
        gateway.intents.change(stored.intent, status=status)
    reconciler.list_intents()
    reconciler.clock.advance(PAST_PAY_BY)

    await reconciler.sweep.run()

    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert gateway.attempts.at(ATTEMPT_ID) == stored
    assert reconciler.next_check() == timedelta(hours=3)


@pytest.mark.parametrize("failure", [ServiceUnavailable("orders"), RuntimeError("broken")])
async def test_one_attempt_that_fails_stops_no_other(
    gateway: Gateway, reconciler: Reconciler, failure: Exception
) -> None:
    """It is judged again soon."""
    for attempt_id in (ATTEMPT_ID, OTHER_ATTEMPT_ID):
        gateway.intents.pay(reconciler.stored(attempt_id).intent)
    reconciler.list_intents()
    gateway.wire.meanwhile("orders.record_purchase", lambda: _raise(failure))

    await reconciler.sweep.run()

    recorded = [await gateway.orders.find_purchase(each) is not None for each in (ATTEMPT_ID, OTHER_ATTEMPT_ID)]
    assert sorted(recorded) == [False, True]
    failed = (ATTEMPT_ID, OTHER_ATTEMPT_ID)[recorded.index(False)]
    assert reconciler.next_check(failed) == timedelta(seconds=30)


@pytest.mark.parametrize("call", ["lists.page", "intents.retrieve"])
async def test_nothing_waits_for_its_lease_when_stripe_is_away(
    gateway: Gateway, reconciler: Reconciler, call: str
) -> None:
    """Everything claimed comes due soon, and the sweep fails, so that its lag shows."""
    for number in range(5):
        reconciler.stored(attempt_id_of(f"checkout {number}"))
    gateway.wire.fail(call, StripeUnavailable())

    with pytest.raises(StripeUnavailable):
        await reconciler.sweep.run()

    assert set(reconciler.due.checks.values()) == {reconciler.clock.now() + timedelta(seconds=30)}


async def test_a_failed_run_leaves_no_claim_behind(gateway: Gateway, reconciler: Reconciler) -> None:
    """The next run judges what the first one claimed."""
    gateway.intents.pay(reconciler.stored().intent)
    reconciler.list_intents()
    gateway.wire.fail("lists.page", RuntimeError("broken"))
    with pytest.raises(RuntimeError):
        await reconciler.sweep.run()
    gateway.wire.heal()
    reconciler.clock.advance(30)

    await reconciler.sweep.run()

    assert isinstance(await gateway.orders.find_purchase(ATTEMPT_ID), Purchase)


async def test_leases_are_renewed_while_a_long_run_lasts(gateway: Gateway, reconciler: Reconciler) -> None:
    """Cancels of a crowd take longer than a lease, and what waits for them is not handed to another process."""
    for number in range(10):
        reconciler.stored(attempt_id_of(f"checkout {number}"))
    reconciler.list_intents()
    reconciler.clock.advance(PAST_PAY_BY)
    claimed_by_another = list[object]()

    async def take_time() -> None:
        gateway.wire.meanwhile("intents.cancel", take_time)
        reconciler.clock.advance(15)
        claimed_by_another.extend(await reconciler.due.claim(10, LEASE))

    gateway.wire.meanwhile("intents.cancel", take_time)
    while await reconciler.sweep.run():
        pass

    assert {each.status for each in gateway.intents.all()} == {IntentStatus.CANCELED}
    assert claimed_by_another == []


async def _raise(failure: Exception) -> None:
    raise failure
