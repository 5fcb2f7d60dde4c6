import asyncio
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY

from payments_gateway.access.tokens import GUEST
from payments_gateway.domain.attempts import DeleteReason, IntentKind, IntentRef, Tombstone
from payments_gateway.domain.intents import IntentStatus, StripeIntent
from payments_gateway.domain.money import Money
from payments_gateway.domain.purchases import (
    Payment,
    PaymentReport,
    Purchase,
    QuarantinedPayment,
    QuarantineReason,
    ReportChannel,
)
from servicekit.grpc_client import ServiceUnavailable

from .assembly import Gateway
from .samples import ATTEMPT_ID, CONTEXT, OTHER_ATTEMPT_ID

WEBHOOK = PaymentReport(ReportChannel.WEBHOOK, "evt_1")


def tombstone_reason(gateway: Gateway, attempt_id: str = ATTEMPT_ID) -> DeleteReason | None:
    """Show why an attempt's content is gone; None when it is there."""
    found = gateway.attempts.at(attempt_id)
    return found.reason if isinstance(found, Tombstone) else None


async def test_p3_a_paid_attempt_becomes_a_purchase(gateway: Gateway) -> None:
    """Recorded with the attempt's content, and only then is the content deleted (P4)."""
    stored = gateway.stored_attempt(user_id="user_ada")

    decision = await gateway.fulfilment.fulfil(gateway.intents.pay(stored.intent), WEBHOOK)

    assert isinstance(decision, Purchase)
    assert gateway.wire.calls == ["attempts.find", "orders.record_purchase", "attempts.delete"]
    assert gateway.orders.contents == {stored.intent.id: stored.context}
    assert gateway.orders.payments == {
        stored.intent.id: Payment(stored.intent, ATTEMPT_ID, CONTEXT.total, livemode=False)
    }
    assert gateway.orders.reports == [WEBHOOK]
    assert tombstone_reason(gateway) is DeleteReason.RECORDED


async def test_p3_the_same_news_again_changes_nothing(gateway: Gateway) -> None:
    """A duplicate finds the tombstone and the purchase that stands."""
    paid = gateway.intents.pay(gateway.stored_attempt().intent)
    first = await gateway.fulfilment.fulfil(paid, WEBHOOK)

    second = await gateway.fulfilment.fulfil(paid, PaymentReport(ReportChannel.WEBHOOK, "evt_2"))

    assert second == first
    assert gateway.wire.calls[3:] == ["attempts.find", "orders.find_purchase"]
    assert len(gateway.orders.decisions) == 1


async def test_p3_news_by_every_road_at_once_is_one_purchase(gateway: Gateway) -> None:
    """Webhooks and browsers at the same moment: all are told of the same purchase."""
    stored = gateway.stored_attempt()
    paid = gateway.intents.pay(stored.intent)

    decisions = await asyncio.gather(
        *(gateway.fulfilment.fulfil(paid, WEBHOOK) for _ in range(8)),
        *(gateway.browser_return.complete(ATTEMPT_ID, stored.intent, GUEST) for _ in range(8)),
    )

    assert len(gateway.orders.purchases()) == len(gateway.orders.decisions) == 1
    assert list(decisions) == gateway.orders.purchases() * 16
    assert tombstone_reason(gateway) is DeleteReason.RECORDED


@pytest.mark.parametrize(
    "received",
    [Money(3299, "usd"), Money(3301, "usd"), Money(3300, "eur"), Money(0, "usd")],
    ids=["a cent short", "a cent over", "another currency", "nothing"],
)
async def test_p5_another_sum_is_quarantined_with_the_content(gateway: Gateway, received: Money) -> None:
    """A sum that differs by one minor unit, or in its currency, is no purchase; the content goes along."""
    stored = gateway.stored_attempt()

    decision = await gateway.fulfilment.fulfil(gateway.intents.pay(stored.intent, received), WEBHOOK)

    assert decision == QuarantinedPayment(QuarantineReason.AMOUNT_MISMATCH, content_kept=True)
    assert gateway.orders.purchases() == []
    assert gateway.orders.contents == {stored.intent.id: CONTEXT}
    assert tombstone_reason(gateway) is DeleteReason.QUARANTINED


async def test_p4_another_intent_is_quarantined_and_the_attempt_stays(gateway: Gateway) -> None:
    """The attempt's own intent may still be paid: its content must be there then."""
    stored = gateway.stored_attempt()
    other = gateway.intents.another(ATTEMPT_ID, CONTEXT.total)

    decision = await gateway.fulfilment.fulfil(gateway.intents.pay(other), WEBHOOK)

    assert decision == QuarantinedPayment(QuarantineReason.INTENT_MISMATCH, content_kept=True)
    assert gateway.attempts.stored() == [stored]

    purchase = await gateway.fulfilment.fulfil(gateway.intents.pay(stored.intent), WEBHOOK)

    assert isinstance(purchase, Purchase)
    assert purchase.intent_id == stored.intent.id


async def test_p4_news_of_a_purchase_does_not_delete_an_attempt_that_another_intent_pays(gateway: Gateway) -> None:
    """The store lost a bought attempt and its id was begun again: that content stays, its intent may be paid."""
    bought = gateway.stored_attempt()
    paid = gateway.intents.pay(bought.intent)
    await gateway.fulfilment.fulfil(paid, WEBHOOK)
    gateway.attempts.lose(ATTEMPT_ID)
    other = gateway.intents.another(ATTEMPT_ID, CONTEXT.total)
    again = await gateway.attempts.save(ATTEMPT_ID, bought.request_hash, CONTEXT, other)

    decision = await gateway.fulfilment.fulfil(paid, WEBHOOK)

    assert isinstance(decision, Purchase)
    assert gateway.attempts.stored() == [again.attempt]


async def test_a_setup_intent_for_a_payment_attempt_is_a_mismatch(gateway: Gateway) -> None:
    """Nothing was received, so nothing was bought."""
    stored = gateway.stored_attempt()
    ref = IntentRef(stored.intent.id, IntentKind.SETUP)
    intent = StripeIntent(ref, IntentStatus.SUCCEEDED, ATTEMPT_ID, None, livemode=False, client_secret=None)

    decision = await gateway.fulfilment.fulfil(intent, WEBHOOK)

    assert decision == QuarantinedPayment(QuarantineReason.INTENT_MISMATCH, content_kept=True)
    assert gateway.attempts.stored() == [stored]


async def test_a_payment_whose_attempt_is_nowhere_is_quarantined(gateway: Gateway) -> None:
    """Neither stored nor bought: set aside once, without content."""
    paid = gateway.intents.pay(gateway.intents.another(ATTEMPT_ID, CONTEXT.total))

    first = await gateway.fulfilment.fulfil(paid, WEBHOOK)
    second = await gateway.fulfilment.fulfil(paid, WEBHOOK)

    assert first == second == QuarantinedPayment(QuarantineReason.ATTEMPT_MISSING, content_kept=False)
    assert list(gateway.orders.decisions) == [paid.ref.id]


async def test_a_missing_attempt_that_turns_up_becomes_its_purchase(gateway: Gateway) -> None:
    """A store restored from its backup makes the order whole again."""
    stored = gateway.stored_attempt()
    paid = gateway.intents.pay(stored.intent)
    gateway.attempts.lose(ATTEMPT_ID)
    await gateway.fulfilment.fulfil(paid, WEBHOOK)
    gateway.attempts.put(stored)

    decision = await gateway.fulfilment.fulfil(paid, WEBHOOK)

    assert isinstance(decision, Purchase)
    assert tombstone_reason(gateway) is DeleteReason.RECORDED


async def test_p4_content_that_turns_up_after_the_quarantine_is_kept_while_it_is_stored_nowhere_else(
    gateway: Gateway,
) -> None:
    """A missing attempt that turns up with another sum stays quarantined without content, so the attempt stays."""
    stored = gateway.stored_attempt()
    paid = gateway.intents.pay(stored.intent, Money(1, "usd"))
    gateway.attempts.lose(ATTEMPT_ID)
    await gateway.fulfilment.fulfil(paid, WEBHOOK)
    gateway.attempts.put(stored)

    decision = await gateway.fulfilment.fulfil(paid, WEBHOOK)

    assert decision == QuarantinedPayment(QuarantineReason.ATTEMPT_MISSING, content_kept=False)
    assert gateway.attempts.stored() == [stored]


async def test_a_second_payment_of_a_bought_attempt_is_quarantined(gateway: Gateway) -> None:
    """A stale tab pays another intent: the purchase stays, the second payment is set aside."""
    stored = gateway.stored_attempt()
    await gateway.fulfilment.fulfil(gateway.intents.pay(stored.intent), WEBHOOK)
    second = gateway.intents.pay(gateway.intents.another(ATTEMPT_ID, CONTEXT.total))

    decision = await gateway.fulfilment.fulfil(second, WEBHOOK)

    assert decision == QuarantinedPayment(QuarantineReason.DUPLICATE_PAYMENT, content_kept=False)
    assert len(gateway.orders.purchases()) == 1


async def test_a_second_payment_is_set_aside_even_when_the_content_turns_up_again(gateway: Gateway) -> None:
    """What orders has recorded decides; the content may go then, for it is kept with both decisions."""
    stored = gateway.stored_attempt()
    await gateway.fulfilment.fulfil(gateway.intents.pay(stored.intent), WEBHOOK)
    second = gateway.intents.another(ATTEMPT_ID, CONTEXT.total)
    gateway.attempts.lose(ATTEMPT_ID)
    gateway.attempts.put(replace(stored, intent=second))

    decision = await gateway.fulfilment.fulfil(gateway.intents.pay(second), WEBHOOK)

    assert decision == QuarantinedPayment(QuarantineReason.DUPLICATE_PAYMENT, content_kept=True)
    assert tombstone_reason(gateway) is DeleteReason.QUARANTINED


async def test_p3_what_orders_refuses_is_quarantined_with_its_content(gateway: Gateway) -> None:
    """Trying again would never help, and Stripe would give up in the end: the payment must not be lost."""
    stored = gateway.stored_attempt()
    gateway.orders.refuse(ATTEMPT_ID)

    decision = await gateway.fulfilment.fulfil(gateway.intents.pay(stored.intent), WEBHOOK)

    assert decision == QuarantinedPayment(QuarantineReason.UNRECORDABLE, content_kept=True)
    assert gateway.orders.contents == {stored.intent.id: CONTEXT}
    assert tombstone_reason(gateway) is DeleteReason.QUARANTINED


@pytest.mark.parametrize(
    "attempt_id", [None, "", "order-17", ATTEMPT_ID.upper()], ids=["none", "empty", "a word", "upper case"]
)
async def test_an_intent_that_names_no_attempt_is_not_ours(gateway: Gateway, attempt_id: str | None) -> None:
    """Other software may use the same Stripe account: its intents are acknowledged and left alone."""
    paid = gateway.intents.pay(gateway.intents.another(ATTEMPT_ID, CONTEXT.total))

    decision = await gateway.fulfilment.fulfil(replace(paid, attempt_id=attempt_id), WEBHOOK)

    assert decision is None
    assert gateway.wire.calls == []


async def test_an_intent_of_the_other_mode_is_not_ours(gateway: Gateway) -> None:
    """Real money and test money never meet in one Holdfast."""
    paid = replace(gateway.intents.pay(gateway.stored_attempt().intent), livemode=True)

    decision = await gateway.fulfilment.fulfil(paid, WEBHOOK)

    assert decision is None
    assert gateway.wire.calls == []


async def test_foreign_intents_are_counted(gateway: Gateway) -> None:
    """The operator sees how many there are, and by which channel."""

    def counted() -> float:
        labels = {"channel": "webhook", "outcome": "not_ours"}
        return REGISTRY.get_sample_value("holdfast_fulfilments_total", labels) or 0

    before = counted()
    paid = gateway.intents.pay(gateway.intents.another(ATTEMPT_ID, CONTEXT.total))

    await gateway.fulfilment.fulfil(replace(paid, attempt_id=None), WEBHOOK)

    assert counted() == before + 1


@pytest.mark.parametrize("status", [status for status in IntentStatus if status is not IntentStatus.SUCCEEDED])
async def test_only_a_succeeded_intent_is_fulfilled(gateway: Gateway, status: IntentStatus) -> None:
    """Asking for anything else is a mistake of ours, and nothing is recorded."""
    intent = gateway.intents.turn(gateway.stored_attempt().intent, status)

    with pytest.raises(ValueError, match="only a succeeded intent"):
        await gateway.fulfilment.fulfil(intent, WEBHOOK)

    assert gateway.wire.calls == []


@pytest.mark.parametrize("call", ["attempts.find", "orders.record_purchase", "attempts.delete"])
async def test_a_service_that_is_away_is_told_to_the_caller(gateway: Gateway, call: str) -> None:
    """Stripe must deliver again: nothing is swallowed, and the repeat ends in one purchase."""
    paid = gateway.intents.pay(gateway.stored_attempt().intent)
    gateway.wire.fail(call, ServiceUnavailable("it"))

    with pytest.raises(ServiceUnavailable):
        await gateway.fulfilment.fulfil(paid, WEBHOOK)
    gateway.wire.heal()
    decision = await gateway.fulfilment.fulfil(paid, WEBHOOK)

    assert [decision] == gateway.orders.purchases()


async def test_two_attempts_are_two_purchases(gateway: Gateway) -> None:
    """Decisions do not run into each other."""
    for attempt_id in (ATTEMPT_ID, OTHER_ATTEMPT_ID):
        stored = gateway.stored_attempt(attempt_id=attempt_id)
        await gateway.fulfilment.fulfil(gateway.intents.pay(stored.intent), WEBHOOK)

    assert [purchase.attempt_id for purchase in gateway.orders.purchases()] == [ATTEMPT_ID, OTHER_ATTEMPT_ID]
