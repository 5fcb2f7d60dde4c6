import logging
from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY

from payments_gateway.domain.attempts import DeleteReason, IntentKind, IntentRef, Tombstone
from payments_gateway.domain.errors import IntentMismatch
from payments_gateway.domain.intents import IntentStatus
from payments_gateway.domain.money import Money
from payments_gateway.domain.purchases import (
    Payment,
    PaymentReport,
    Purchase,
    QuarantinedPayment,
    QuarantineReason,
    ReportChannel,
)
from payments_gateway.domain.stripe_errors import StripeUnavailable
from servicekit.unavailable import ServiceUnavailable

from ..assembly import WEBHOOK, Gateway
from ..fakes import Crash
from ..samples import ATTEMPT_ID, CONTEXT, FOREIGN_ATTEMPT_ID, INTENT_CREATED_AT, OTHER_ATTEMPT_ID

MISSING = QuarantinedPayment(QuarantineReason.ATTEMPT_MISSING, content_kept=False)
UNREADABLE = QuarantinedPayment(QuarantineReason.ATTEMPT_UNREADABLE, content_kept=False)


def metric(name: str, **labels: str) -> float:
    """Return a counter's value."""
    return REGISTRY.get_sample_value(f"holdfast_{name}_total", labels) or 0


def delete_reason(gateway: Gateway) -> DeleteReason | None:
    """Return the reason for which the attempt's content was deleted; None while it is stored."""
    found = gateway.attempts.at(ATTEMPT_ID)
    return found.reason if isinstance(found, Tombstone) else None


async def test_p3_a_paid_attempt_becomes_a_purchase(gateway: Gateway) -> None:
    """It is recorded with the attempt's content, and only then the content is deleted (P4)."""
    stored = gateway.stored_attempt(user_id="user_ada")
    paid = replace(gateway.intents.pay(stored.intent), payment_method_id="pm_1", customer_id="cus_1")

    decision = await gateway.fulfil(paid)

    assert isinstance(decision, Purchase)
    assert gateway.wire.calls == ["attempts.find", "orders.record_purchase", "attempts.delete_all"]
    assert gateway.orders.contents == {stored.intent.id: stored.context}
    assert gateway.orders.payments == {
        stored.intent.id: Payment(
            stored.intent,
            ATTEMPT_ID,
            CONTEXT.total,
            livemode=False,
            intent_created_at=INTENT_CREATED_AT,
            payment_method_id="pm_1",
            customer_id="cus_1",
        )
    }
    assert gateway.orders.reports == [WEBHOOK]
    assert delete_reason(gateway) is DeleteReason.RECORDED


async def test_p3_a_repeated_report_changes_nothing(gateway: Gateway) -> None:
    """It finds the tombstone and the purchase; another attempt's decision is its own."""
    paid = gateway.paid_attempt()
    first = await gateway.fulfil(paid)

    second = await gateway.fulfil(paid)
    calls = gateway.wire.calls[3:]
    other = gateway.stored_attempt(attempt_id=OTHER_ATTEMPT_ID).intent
    await gateway.fulfil(gateway.intents.pay(other))

    assert second == first
    assert calls == ["attempts.find", "orders.quarantine"]
    assert [purchase.intent_id for purchase in gateway.orders.purchases()] == [paid.ref.id, other.id]


@pytest.mark.parametrize(
    "received",
    [Money(3299, "usd"), Money(3301, "usd"), Money(3300, "eur"), Money(0, "usd")],
    ids=["a cent less", "a cent more", "another currency", "nothing"],
)
async def test_p5_a_payment_of_another_sum_is_quarantined_with_the_content(gateway: Gateway, received: Money) -> None:
    """One minor unit or another currency makes the difference."""
    paid = gateway.paid_attempt(received=received)

    decision = await gateway.fulfil(paid)

    assert decision == QuarantinedPayment(QuarantineReason.AMOUNT_MISMATCH, content_kept=True)
    assert gateway.orders.contents == {paid.ref.id: CONTEXT}
    assert delete_reason(gateway) is DeleteReason.QUARANTINED


async def test_p4_another_intent_is_quarantined_and_the_attempt_stays(gateway: Gateway) -> None:
    """The attempt's own intent may still be paid, and needs the content then."""
    stored = gateway.stored_attempt()
    other = gateway.intents.another(ATTEMPT_ID, CONTEXT.total)

    decision = await gateway.fulfil(gateway.intents.pay(other))
    stored_before = gateway.attempts.stored()
    purchase = await gateway.fulfil(gateway.intents.pay(stored.intent))

    assert decision == QuarantinedPayment(QuarantineReason.INTENT_MISMATCH, content_kept=True)
    assert stored_before == [stored]
    assert isinstance(purchase, Purchase)
    assert purchase.intent_id == stored.intent.id


async def test_a_setup_intent_does_not_pay_a_payment_attempt(gateway: Gateway) -> None:
    """It received nothing."""
    stored = gateway.stored_attempt()
    setup = replace(
        gateway.intents.pay(stored.intent), ref=IntentRef(stored.intent.id, IntentKind.SETUP), received=None
    )

    decision = await gateway.fulfil(setup)

    assert decision == QuarantinedPayment(QuarantineReason.INTENT_MISMATCH, content_kept=True)
    assert gateway.attempts.stored() == [stored]


async def test_p4_a_repeated_report_does_not_delete_an_attempt_that_another_intent_pays(gateway: Gateway) -> None:
    """checkout-session lost the bought attempt, and its id was begun again: that intent may still be paid."""
    bought = gateway.stored_attempt()
    paid = gateway.intents.pay(bought.intent)
    await gateway.fulfil(paid)
    gateway.attempts.lose(ATTEMPT_ID)
    begun_again = replace(bought, intent=gateway.intents.another(ATTEMPT_ID, CONTEXT.total))
    gateway.attempts.put(begun_again)

    decision = await gateway.fulfil(paid)

    assert isinstance(decision, Purchase)
    assert gateway.attempts.stored() == [begun_again]


async def test_p3_a_payment_without_its_attempt_is_quarantined_until_the_attempt_is_restored(gateway: Gateway) -> None:
    """It is quarantined once, without content; a restored backup of checkout-session makes it a purchase."""
    stored = gateway.stored_attempt()
    paid = gateway.intents.pay(stored.intent)
    gateway.attempts.lose(ATTEMPT_ID)

    returned = [await gateway.fulfil(paid) for _ in range(2)]
    recorded = list(gateway.orders.decisions.values())
    gateway.attempts.put(stored)
    purchase = await gateway.fulfil(paid)

    assert (returned, recorded) == ([MISSING, MISSING], [MISSING])
    assert isinstance(purchase, Purchase)
    assert delete_reason(gateway) is DeleteReason.RECORDED


async def test_p4_restored_content_stays_while_the_quarantine_lacks_it(gateway: Gateway) -> None:
    """The payment has another sum, so the earlier quarantine without content stays."""
    stored = gateway.stored_attempt()
    paid = gateway.intents.pay(stored.intent, Money(1, "usd"))
    gateway.attempts.lose(ATTEMPT_ID)
    await gateway.fulfil(paid)
    gateway.attempts.put(stored)

    decision = await gateway.fulfil(paid)

    assert decision == MISSING
    assert gateway.attempts.stored() == [stored]


@pytest.mark.parametrize("is_stored", [False, True], ids=["attempt deleted", "attempt restored"])
async def test_p3_a_second_payment_of_an_attempt_is_quarantined(gateway: Gateway, *, is_stored: bool) -> None:
    """The purchase stays the only one. Restored content goes to the quarantine and is deleted then."""
    stored = gateway.stored_attempt()
    await gateway.fulfil(gateway.intents.pay(stored.intent))
    second = gateway.intents.pay(gateway.intents.another(ATTEMPT_ID, CONTEXT.total))
    if is_stored:
        gateway.attempts.lose(ATTEMPT_ID)
        gateway.attempts.put(replace(stored, intent=second.ref))

    decision = await gateway.fulfil(second)

    assert decision == QuarantinedPayment(QuarantineReason.DUPLICATE_PAYMENT, content_kept=is_stored)
    assert len(gateway.orders.purchases()) == 1
    assert gateway.attempts.stored() == []


@pytest.mark.parametrize(
    "changes", [{"attempt_id": None}, {"attempt_id": ""}, {"attempt_id": "order-17"}, {"livemode": True}]
)
async def test_an_intent_that_is_not_ours_is_left_alone(gateway: Gateway, changes: dict[str, object]) -> None:
    """Other software may use the same Stripe account: its intents are acknowledged and counted."""
    before = metric("fulfilments", channel="webhook", outcome="not_ours")
    intent = replace(gateway.paid_attempt(), **changes)  # type: ignore[arg-type]  # any field

    assert await gateway.fulfil(intent) is None
    assert gateway.wire.calls == []
    assert metric("fulfilments", channel="webhook", outcome="not_ours") == before + 1


async def test_p3_an_unknown_attempt_of_another_shop_is_left_alone(gateway: Gateway) -> None:
    """Its id was made with another secret. One that we made was lost here, and is quarantined."""
    foreign = gateway.intents.pay(gateway.intents.another(FOREIGN_ATTEMPT_ID, CONTEXT.total))
    lost = gateway.intents.pay(gateway.intents.another(ATTEMPT_ID, CONTEXT.total))

    assert await gateway.fulfil(foreign) is None
    assert gateway.wire.calls == ["attempts.find"]
    assert await gateway.fulfil(lost) == MISSING


async def test_p3_a_stored_attempt_is_ours_whatever_secret_made_its_id(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    """A secret that was removed too early loses no payment. A metric and a warning tell."""
    stored = gateway.stored_attempt(attempt_id=FOREIGN_ATTEMPT_ID)
    before = metric("attempt_ids_of_unknown_secret")

    decision = await gateway.fulfil(gateway.intents.pay(stored.intent))

    assert isinstance(decision, Purchase)
    assert metric("attempt_ids_of_unknown_secret") == before + 1
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == [
        "attempt id was made with a secret that is no longer configured"
    ]


@pytest.mark.parametrize("named", [None, "", "order-17", OTHER_ATTEMPT_ID, FOREIGN_ATTEMPT_ID])
async def test_p3_metadata_that_was_edited_at_stripe_is_only_a_hint(gateway: Gateway, named: str | None) -> None:
    """The buyer's return knows the attempt, whose stored intent this is."""
    stored = gateway.stored_attempt()
    paid = replace(gateway.intents.pay(stored.intent), attempt_id=named)

    decision = await gateway.fulfilment.fulfil_for_buyer(paid, stored)

    assert isinstance(decision, Purchase)
    assert gateway.orders.payments[paid.ref.id].attempt_id == ATTEMPT_ID
    assert delete_reason(gateway) is DeleteReason.RECORDED


@pytest.mark.parametrize("is_stored", [True, False], ids=["attempt", "tombstone"])
async def test_a_buyer_cannot_use_another_attempts_intent(gateway: Gateway, *, is_stored: bool) -> None:
    """Neither the stored intent nor the metadata names the attempt, or the intent is of the other mode."""
    found = gateway.stored_attempt() if is_stored else Tombstone(ATTEMPT_ID, DeleteReason.RECORDED, None, None)
    other = gateway.intents.pay(gateway.intents.another(OTHER_ATTEMPT_ID, CONTEXT.total))

    for intent in (other, replace(other, attempt_id=ATTEMPT_ID, livemode=True)):
        with pytest.raises(IntentMismatch):
            await gateway.fulfilment.fulfil_for_buyer(intent, found)

    assert gateway.wire.calls == []


async def test_p3_an_unreadable_attempt_is_waited_for_then_quarantined_until_its_key_is_back(gateway: Gateway) -> None:
    """Stripe gets a 503 for an hour. Then the content is quarantined as it is stored, and it stays stored (P4)."""
    paid = gateway.paid_attempt()
    gateway.attempts.make_unreadable(ATTEMPT_ID)
    report = PaymentReport(ReportChannel.WEBHOOK, "evt_1", gateway.clock.now())

    gateway.clock.advance(timedelta(minutes=59, seconds=59).total_seconds())
    with pytest.raises(ServiceUnavailable):
        await gateway.fulfilment.fulfil(paid, report)
    assert gateway.wire.calls == ["attempts.find"]

    gateway.clock.advance(1)
    assert await gateway.fulfilment.fulfil(paid, report) == UNREADABLE
    assert gateway.wire.calls[1:] == ["attempts.find", "refunds.sync_payment", "orders.quarantine"]
    assert gateway.orders.encrypted_contents == {paid.ref.id: b"encrypted"}
    assert len(gateway.attempts.stored()) == 1

    gateway.attempts.make_readable(ATTEMPT_ID)
    assert isinstance(await gateway.fulfilment.fulfil(paid, report), Purchase)
    await gateway.deletions.flush()
    assert delete_reason(gateway) is DeleteReason.RECORDED


async def test_a_buyers_return_leaves_an_unreadable_attempt_to_the_webhook(gateway: Gateway) -> None:
    """The buyer sees that a person looks at the payment; nothing is written, since the key may be on its way."""
    paid = gateway.paid_attempt()
    gateway.attempts.make_unreadable(ATTEMPT_ID)
    found = await gateway.attempts.find(ATTEMPT_ID)

    decision = await gateway.fulfilment.fulfil_for_buyer(paid, found)

    assert decision == UNREADABLE
    assert gateway.wire.calls == ["attempts.find"]


async def test_a_quarantined_payment_counts_once(gateway: Gateway) -> None:
    """Reported six times, it is counted once as quarantined."""
    paid = gateway.paid_attempt(received=Money(1, "usd"))
    outcomes = ("quarantined", "quarantined_before")
    before = [metric("fulfilments", channel="webhook", outcome=outcome) for outcome in outcomes]

    for _ in range(6):
        await gateway.fulfil(paid)

    after = [metric("fulfilments", channel="webhook", outcome=outcome) for outcome in outcomes]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 5]


async def test_a_payment_that_was_refunded_in_full_keeps_its_attempt(gateway: Gateway) -> None:
    """It is counted apart, because there is nothing to resolve. If the refund fails, the next report records it."""
    paid = gateway.paid_attempt()
    gateway.orders.refunded_intents.add(paid.ref.id)
    before = metric("fulfilments", channel="webhook", outcome="refunded")

    decision = await gateway.fulfil(paid)
    gateway.orders.refunded_intents.clear()
    purchase = await gateway.fulfil(paid)

    assert decision == QuarantinedPayment(QuarantineReason.REFUNDED, content_kept=True)
    assert metric("fulfilments", channel="webhook", outcome="refunded") == before + 1
    assert isinstance(purchase, Purchase)
    assert delete_reason(gateway) is DeleteReason.RECORDED


@pytest.mark.parametrize(("age_seconds", "late"), [(60, False), (61, True)])
async def test_refunds_of_a_payment_that_is_reported_late_are_read_first(
    gateway: Gateway, age_seconds: int, *, late: bool
) -> None:
    """Stripe may deliver their events after it. A report on time asks Stripe nothing."""
    paid = gateway.paid_attempt()
    gateway.refunds.intents.add(paid.ref.id)
    report = PaymentReport(ReportChannel.WEBHOOK, "evt_1", gateway.clock.now())
    gateway.clock.advance(age_seconds)

    decision = await gateway.fulfilment.fulfil(paid, report)

    assert isinstance(decision, QuarantinedPayment) is late
    assert ("refunds.sync_payment" in gateway.wire.calls) is late


async def test_a_late_report_is_repeated_while_its_refunds_cannot_be_read(gateway: Gateway) -> None:
    """Nothing is decided without them."""
    paid = gateway.paid_attempt()
    report = PaymentReport(ReportChannel.WEBHOOK, "evt_1", gateway.clock.now() - timedelta(hours=1))
    gateway.wire.fail("refunds.sync_payment", StripeUnavailable())

    with pytest.raises(StripeUnavailable):
        await gateway.fulfilment.fulfil(paid, report)

    assert gateway.orders.decisions == {}


@pytest.mark.parametrize("refunded", [0, 1], ids=["nothing", "a part or all"])
async def test_refunds_that_stripe_shows_are_read_before_a_buyers_return_decides(
    gateway: Gateway, refunded: int
) -> None:
    """Their events may be on their way, or were acknowledged because the metadata was edited away."""
    stored = gateway.stored_attempt()
    paid = replace(gateway.intents.pay(stored.intent), attempt_id=None, refunded=Money(refunded, "usd"))
    gateway.refunds.intents.add(paid.ref.id)

    decision = await gateway.fulfilment.fulfil_for_buyer(paid, stored)

    assert isinstance(decision, QuarantinedPayment) is bool(refunded)
    assert ("refunds.sync_payment" in gateway.wire.calls) is bool(refunded)


async def test_p4_an_attempt_stays_while_the_quarantine_keeps_anothers_content(gateway: Gateway) -> None:
    """The metadata named another attempt when the payment was quarantined, and that attempt's content went with it."""
    stored, other = gateway.stored_attempt(), gateway.stored_attempt(attempt_id=OTHER_ATTEMPT_ID)
    paid = gateway.intents.pay(stored.intent)
    mismatch = await gateway.fulfil(replace(paid, attempt_id=OTHER_ATTEMPT_ID))

    decision = await gateway.fulfilment.fulfil_for_buyer(paid, stored)

    assert decision == mismatch == QuarantinedPayment(QuarantineReason.INTENT_MISMATCH, content_kept=True)
    assert gateway.attempts.stored() == [stored, other]


@pytest.mark.parametrize("status", [status for status in IntentStatus if status is not IntentStatus.SUCCEEDED])
async def test_only_a_succeeded_intent_is_fulfilled(gateway: Gateway, status: IntentStatus) -> None:
    """Any other is a programming error, and nothing is recorded."""
    intent = gateway.intents.change(gateway.stored_attempt().intent, status=status)

    with pytest.raises(ValueError, match="only a succeeded intent"):
        await gateway.fulfil(intent)

    assert gateway.wire.calls == []


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("call", range(4))
@pytest.mark.parametrize(
    ("received", "refused", "expected"),
    [
        (CONTEXT.total, set[str](), None),
        (Money(3299, "usd"), set[str](), QuarantineReason.AMOUNT_MISMATCH),
        (CONTEXT.total, {ATTEMPT_ID}, QuarantineReason.UNRECORDABLE),
    ],
    ids=["recorded", "a cent less", "refused by orders"],
)
async def test_p3_p4_a_repeat_completes_after_a_crash_at_any_call(
    gateway: Gateway,
    received: Money,
    refused: set[str],
    expected: QuarantineReason | None,
    call: int,
    *,
    after_effect: bool,
) -> None:
    """Killed before or after the effect of any call, or not: one decision with the content, which is nowhere lost."""
    gateway.orders.refused_attempts |= refused
    paid = gateway.paid_attempt(received=received)
    gateway.wire.fail(call, Crash(), after_effect=after_effect)

    try:
        await gateway.fulfil(paid)
    except Crash:
        assert gateway.attempts.stored() or paid.ref.id in gateway.orders.contents
    gateway.wire.heal()
    await gateway.fulfil(paid)

    assert gateway.orders.contents == {paid.ref.id: CONTEXT}
    [decision] = gateway.orders.decisions.values()
    if expected is None:
        assert isinstance(decision, Purchase)
        assert delete_reason(gateway) is DeleteReason.RECORDED
    else:
        assert decision == QuarantinedPayment(expected, content_kept=True)
        assert delete_reason(gateway) is DeleteReason.QUARANTINED


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("call", range(3, 5))
async def test_p3_a_repeat_quarantines_a_second_payment_after_a_crash(
    gateway: Gateway, call: int, *, after_effect: bool
) -> None:
    """The purchase stays the only one, and the second payment is quarantined once."""
    await gateway.fulfil(gateway.paid_attempt())
    second = gateway.intents.pay(gateway.intents.another(ATTEMPT_ID, CONTEXT.total))
    gateway.wire.fail(call, Crash(), after_effect=after_effect)

    with pytest.raises(Crash):
        await gateway.fulfil(second)
    gateway.wire.heal()
    await gateway.fulfil(second)

    assert [type(decision) for decision in gateway.orders.decisions.values()] == [Purchase, QuarantinedPayment]
