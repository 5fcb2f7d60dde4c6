import asyncio
from dataclasses import replace

import pytest

from payments_gateway.access.tokens import GUEST
from payments_gateway.domain.attempts import DeleteReason, IntentKind, IntentRef
from payments_gateway.domain.callers import Caller
from payments_gateway.domain.errors import AttemptNotFound, IntentMismatch, PaymentNotSucceeded
from payments_gateway.domain.intents import PENDING_STATUSES, IntentNotFound, IntentStatus
from payments_gateway.domain.money import Money
from payments_gateway.domain.purchases import (
    PaymentReport,
    Purchase,
    QuarantinedPayment,
    QuarantineReason,
    ReportChannel,
)
from payments_gateway.domain.stripe_errors import StripeUnavailable

from .assembly import Gateway
from .samples import ATTEMPT_ID, CONTEXT, OTHER_ATTEMPT_ID, intent_ref

ADA = Caller("user_ada")
BOB = Caller("user_bob")


async def test_p3_a_paid_checkout_is_recorded_when_the_browser_is_back(gateway: Gateway) -> None:
    """The webhook need not have arrived: Stripe is asked, and the purchase is made as the webhook makes it."""
    stored = gateway.stored_attempt(user_id="user_ada")
    gateway.intents.pay(stored.intent)

    decision = await gateway.browser_return.complete(ATTEMPT_ID, stored.intent, ADA)

    assert isinstance(decision, Purchase)
    assert [decision] == gateway.orders.purchases()
    assert gateway.orders.reports == [PaymentReport(ReportChannel.BROWSER_RETURN)]
    assert gateway.attempts.stored() == []


async def test_p3_after_the_webhook_the_purchase_is_shown(gateway: Gateway) -> None:
    """What is recorded is answered without asking Stripe."""
    stored = gateway.stored_attempt()
    purchase = await gateway.fulfilment.fulfil(
        gateway.intents.pay(stored.intent), PaymentReport(ReportChannel.WEBHOOK, "evt_1")
    )

    decision = await gateway.browser_return.complete(ATTEMPT_ID, stored.intent, GUEST)

    assert decision == purchase
    assert "intents.retrieve" not in gateway.wire.calls


async def test_p3_browsers_at_once_are_shown_one_purchase(gateway: Gateway) -> None:
    """A buyer who presses reload does not buy twice."""
    stored = gateway.stored_attempt()
    gateway.intents.pay(stored.intent)

    decisions = await asyncio.gather(
        *(gateway.browser_return.complete(ATTEMPT_ID, stored.intent, GUEST) for _ in range(12))
    )

    assert list(decisions) == gateway.orders.purchases() * 12


@pytest.mark.parametrize("owner", [None, "user_ada"])
async def test_p7_an_erased_purchase_is_shown_to_nobody(gateway: Gateway, owner: str | None) -> None:
    """Whose it was is not known any more, so not even its buyer's browser is told; nor is it bought a second time."""
    stored = gateway.stored_attempt(user_id=owner)
    await gateway.fulfilment.fulfil(gateway.intents.pay(stored.intent), PaymentReport(ReportChannel.WEBHOOK, "evt_1"))
    gateway.orders.erase(ATTEMPT_ID)

    with pytest.raises(AttemptNotFound):
        await gateway.browser_return.complete(ATTEMPT_ID, stored.intent, Caller(owner))
    assert len(gateway.orders.purchases()) == 1


@pytest.mark.parametrize("status", sorted(PENDING_STATUSES, key=str))
async def test_a_payment_at_the_bank_is_under_way(gateway: Gateway, status: IntentStatus) -> None:
    """Neither success nor failure, nor what we do not know: nothing is recorded, and the content stays."""
    stored = gateway.stored_attempt()
    gateway.intents.turn(stored.intent, status)

    decision = await gateway.browser_return.complete(ATTEMPT_ID, stored.intent, GUEST)

    assert decision is None
    assert gateway.orders.decisions == {}
    assert gateway.attempts.stored() == [stored]


@pytest.mark.parametrize(
    "status",
    [
        IntentStatus.REQUIRES_PAYMENT_METHOD,
        IntentStatus.REQUIRES_CONFIRMATION,
        IntentStatus.REQUIRES_ACTION,
        IntentStatus.CANCELED,
    ],
)
async def test_p6_the_client_is_not_believed_that_it_paid(gateway: Gateway, status: IntentStatus) -> None:
    """Only Stripe's word counts."""
    stored = gateway.stored_attempt()
    gateway.intents.turn(stored.intent, status)

    with pytest.raises(PaymentNotSucceeded):
        await gateway.browser_return.complete(ATTEMPT_ID, stored.intent, GUEST)

    assert gateway.orders.decisions == {}


async def test_p6_a_paid_intent_does_not_complete_another_checkout(gateway: Gateway) -> None:
    """One payment cannot be passed off for two carts."""
    stored = gateway.stored_attempt()
    gateway.stored_attempt(attempt_id=OTHER_ATTEMPT_ID)
    gateway.intents.pay(stored.intent)

    with pytest.raises(IntentMismatch):
        await gateway.browser_return.complete(OTHER_ATTEMPT_ID, stored.intent, GUEST)

    assert gateway.orders.decisions == {}
    assert len(gateway.attempts.stored()) == 2


async def test_an_intent_that_stripe_does_not_know_is_not_found(gateway: Gateway) -> None:
    """A made-up intent id completes nothing."""
    gateway.stored_attempt()

    with pytest.raises(IntentNotFound):
        await gateway.browser_return.complete(ATTEMPT_ID, intent_ref("pi_made_up"), GUEST)


async def test_a_setup_intent_completes_no_payment(gateway: Gateway) -> None:
    """One-time checkouts have payment intents only."""
    stored = gateway.stored_attempt()

    with pytest.raises(IntentNotFound):
        await gateway.browser_return.complete(ATTEMPT_ID, IntentRef(stored.intent.id, IntentKind.SETUP), GUEST)


@pytest.mark.parametrize("caller", [GUEST, BOB])
async def test_somebody_elses_checkout_is_not_found(gateway: Gateway, caller: Caller) -> None:
    """Neither before it is recorded nor after; and Stripe is not asked on their account."""
    stored = gateway.stored_attempt(user_id="user_ada")
    paid = gateway.intents.pay(stored.intent)

    with pytest.raises(AttemptNotFound):
        await gateway.browser_return.complete(ATTEMPT_ID, stored.intent, caller)
    await gateway.fulfilment.fulfil(paid, PaymentReport(ReportChannel.WEBHOOK, "evt_1"))
    with pytest.raises(AttemptNotFound):
        await gateway.browser_return.complete(ATTEMPT_ID, stored.intent, caller)

    assert "intents.retrieve" not in gateway.wire.calls


async def test_somebody_elses_purchase_is_not_found_when_its_tombstone_is_gone(gateway: Gateway) -> None:
    """Tombstones end after 35 days; the purchase knows its owner too."""
    stored = gateway.stored_attempt(user_id="user_ada")
    await gateway.fulfilment.fulfil(gateway.intents.pay(stored.intent), PaymentReport(ReportChannel.WEBHOOK, "evt_1"))
    gateway.attempts.lose(ATTEMPT_ID)

    with pytest.raises(AttemptNotFound):
        await gateway.browser_return.complete(ATTEMPT_ID, stored.intent, BOB)


async def test_somebody_elses_purchase_is_not_shown_when_it_is_made_meanwhile(gateway: Gateway) -> None:
    """The attempt is lost, and the webhook that still had read it records it while the stranger's call looks."""
    stored = gateway.stored_attempt(user_id="user_ada")
    paid = gateway.intents.pay(stored.intent)
    gateway.attempts.lose(ATTEMPT_ID)

    async def record() -> None:
        await gateway.fulfilment.fulfil_for_buyer(paid, stored)

    gateway.wire.meanwhile("intents.retrieve", record)

    with pytest.raises(AttemptNotFound):
        await gateway.browser_return.complete(ATTEMPT_ID, stored.intent, BOB)


async def test_a_second_payment_of_a_bought_checkout_is_quarantined(gateway: Gateway) -> None:
    """The purchase was paid with another intent: this payment is set aside."""
    stored = gateway.stored_attempt()
    await gateway.fulfilment.fulfil(gateway.intents.pay(stored.intent), PaymentReport(ReportChannel.WEBHOOK, "evt_1"))
    second = gateway.intents.another(ATTEMPT_ID, CONTEXT.total)
    gateway.intents.pay(second)

    decision = await gateway.browser_return.complete(ATTEMPT_ID, second, GUEST)

    assert decision == QuarantinedPayment(QuarantineReason.DUPLICATE_PAYMENT, content_kept=False)


async def test_a_payment_whose_attempt_is_gone_is_quarantined(gateway: Gateway) -> None:
    """The browser's channel loses no payment either."""
    ref = gateway.intents.another(ATTEMPT_ID, CONTEXT.total)
    gateway.intents.pay(ref)

    decision = await gateway.browser_return.complete(ATTEMPT_ID, ref, GUEST)

    assert decision == QuarantinedPayment(QuarantineReason.ATTEMPT_MISSING, content_kept=False)


async def test_p5_another_sum_is_quarantined(gateway: Gateway) -> None:
    """The buyer is told that somebody will look at it."""
    stored = gateway.stored_attempt()
    gateway.intents.pay(stored.intent, Money(1, "usd"))

    decision = await gateway.browser_return.complete(ATTEMPT_ID, stored.intent, GUEST)

    assert decision == QuarantinedPayment(QuarantineReason.AMOUNT_MISMATCH, content_kept=True)


async def test_a_cancelled_attempt_is_not_recorded(gateway: Gateway) -> None:
    """A superseded checkout stays what it is."""
    stored = gateway.stored_attempt()
    await gateway.supersede.supersede(ATTEMPT_ID, GUEST)

    with pytest.raises(PaymentNotSucceeded):
        await gateway.browser_return.complete(ATTEMPT_ID, stored.intent, GUEST)


async def test_stripe_being_away_is_told(gateway: Gateway) -> None:
    """Nothing is taken for paid or unpaid without Stripe's word."""
    stored = gateway.stored_attempt()
    gateway.wire.fail("intents.retrieve", StripeUnavailable())

    with pytest.raises(StripeUnavailable):
        await gateway.browser_return.complete(ATTEMPT_ID, stored.intent, GUEST)


async def test_an_intent_of_the_other_mode_is_a_mismatch(gateway: Gateway) -> None:
    """An intent that is not ours completes nothing, even if it names our attempt."""
    stored = gateway.stored_attempt()
    paid = replace(gateway.intents.pay(stored.intent), livemode=True)

    with pytest.raises(IntentMismatch):
        await gateway.fulfilment.fulfil_for_buyer(paid, stored)

    assert gateway.attempts.stored() == [stored]


async def test_a_tombstone_alone_completes_nothing_for_a_stranger(gateway: Gateway) -> None:
    """Quarantined: there is no purchase, but there is an owner."""
    stored = gateway.stored_attempt(user_id="user_ada")
    await gateway.attempts.delete(ATTEMPT_ID, DeleteReason.QUARANTINED)

    with pytest.raises(AttemptNotFound):
        await gateway.browser_return.complete(ATTEMPT_ID, stored.intent, GUEST)
