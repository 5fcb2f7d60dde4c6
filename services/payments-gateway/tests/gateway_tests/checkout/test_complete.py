import asyncio
from dataclasses import replace

import pytest

from payments_gateway.access.tokens import GUEST
from payments_gateway.domain.attempts import IntentKind, IntentRef
from payments_gateway.domain.callers import Caller
from payments_gateway.domain.errors import AttemptNotFound, IntentMismatch, PaymentNotSucceeded
from payments_gateway.domain.intents import PAYABLE_STATUSES, PENDING_STATUSES, IntentNotFound, IntentStatus
from payments_gateway.domain.purchases import (
    PaymentReport,
    Purchase,
    QuarantinedPayment,
    QuarantineReason,
    ReportChannel,
)

from ..assembly import Gateway
from ..samples import ATTEMPT_ID, OTHER_ATTEMPT_ID, intent_ref

ADA = Caller("user_ada")
BOB = Caller("user_bob")


async def test_p3_a_paid_checkout_is_recorded_when_the_browser_returns(gateway: Gateway) -> None:
    """Stripe is asked, and the purchase is recorded as the webhook records it."""
    paid = gateway.paid_attempt(user_id="user_ada")

    decision = await gateway.complete.complete(ATTEMPT_ID, paid.ref, ADA)

    assert isinstance(decision, Purchase)
    assert [decision] == gateway.orders.purchases()
    assert gateway.orders.reports == [PaymentReport(ReportChannel.BROWSER_RETURN)]
    assert gateway.attempts.stored() == []


async def test_p3_after_the_webhook_the_purchase_is_shown(gateway: Gateway) -> None:
    """A recorded purchase is returned without asking Stripe."""
    paid = gateway.paid_attempt()
    purchase = await gateway.fulfil(paid)

    decision = await gateway.complete.complete(ATTEMPT_ID, paid.ref, GUEST)

    assert decision == purchase
    assert "intents.retrieve" not in gateway.wire.calls


async def test_p3_all_channels_at_once_are_one_purchase(gateway: Gateway) -> None:
    """Webhooks and browsers that report the payment at the same time get the same purchase."""
    paid = gateway.paid_attempt()

    decisions = await asyncio.gather(
        *(gateway.fulfil(paid) for _ in range(8)),
        *(gateway.complete.complete(ATTEMPT_ID, paid.ref, GUEST) for _ in range(8)),
    )

    assert len(gateway.orders.decisions) == 1
    assert list(decisions) == gateway.orders.purchases() * 16
    assert gateway.attempts.stored() == []


@pytest.mark.parametrize("status", sorted(PENDING_STATUSES))
async def test_a_pending_payment_is_neither_success_nor_failure(gateway: Gateway, status: IntentStatus) -> None:
    """Nothing is recorded, and the content stays; a status of a newer API version is pending too."""
    stored = gateway.stored_attempt()
    gateway.intents.change(stored.intent, status=status)

    decision = await gateway.complete.complete(ATTEMPT_ID, stored.intent, GUEST)

    assert decision is None
    assert gateway.orders.decisions == {}
    assert gateway.attempts.stored() == [stored]


@pytest.mark.parametrize("status", [*sorted(PAYABLE_STATUSES), IntentStatus.CANCELED])
async def test_p6_the_client_is_not_believed_that_it_paid(gateway: Gateway, status: IntentStatus) -> None:
    """Only Stripe's status counts."""
    stored = gateway.stored_attempt()
    gateway.intents.change(stored.intent, status=status)

    with pytest.raises(PaymentNotSucceeded):
        await gateway.complete.complete(ATTEMPT_ID, stored.intent, GUEST)

    assert gateway.orders.decisions == {}


async def test_p6_a_paid_intent_does_not_complete_another_checkout(gateway: Gateway) -> None:
    """One payment cannot pay two carts."""
    paid = gateway.paid_attempt()
    gateway.stored_attempt(attempt_id=OTHER_ATTEMPT_ID)

    with pytest.raises(IntentMismatch):
        await gateway.complete.complete(OTHER_ATTEMPT_ID, paid.ref, GUEST)

    assert gateway.orders.decisions == {}
    assert len(gateway.attempts.stored()) == 2


@pytest.mark.parametrize("named", [None, "nonsense", OTHER_ATTEMPT_ID])
async def test_p3_metadata_that_was_edited_at_stripe_loses_no_purchase(gateway: Gateway, named: str | None) -> None:
    """The attempt names the intent, so the browser's return completes it; the webhook cannot know its attempt."""
    paid = gateway.intents.change(gateway.paid_attempt(user_id="user_ada").ref, attempt_id=named)

    decision = await gateway.complete.complete(ATTEMPT_ID, paid.ref, ADA)

    assert [decision] == gateway.orders.purchases()
    assert gateway.attempts.stored() == []


async def test_p3_a_paid_attempt_that_cannot_be_read_needs_review(gateway: Gateway) -> None:
    """Nothing is written and the content stays: the webhook waits for the key before it quarantines."""
    paid = gateway.paid_attempt()
    gateway.attempts.make_unreadable(ATTEMPT_ID)

    decision = await gateway.complete.complete(ATTEMPT_ID, paid.ref, GUEST)

    assert decision == QuarantinedPayment(QuarantineReason.ATTEMPT_UNREADABLE, content_kept=False)
    assert gateway.orders.decisions == {}
    assert len(gateway.attempts.stored()) == 1


async def test_an_intent_of_the_other_mode_is_a_mismatch(gateway: Gateway) -> None:
    """It is not ours, even if it names our attempt."""
    stored = gateway.stored_attempt()
    paid = replace(gateway.intents.pay(stored.intent), livemode=True)

    with pytest.raises(IntentMismatch):
        await gateway.fulfilment.fulfil_for_buyer(paid, stored)

    assert gateway.attempts.stored() == [stored]


async def test_an_unknown_intent_is_not_found(gateway: Gateway) -> None:
    """An invented id, or one of the other kind, completes nothing."""
    stored = gateway.stored_attempt()

    for ref in (intent_ref("pi_invented"), IntentRef(stored.intent.id, IntentKind.SETUP)):
        with pytest.raises(IntentNotFound):
            await gateway.complete.complete(ATTEMPT_ID, ref, GUEST)


async def test_somebody_elses_purchase_is_not_shown_when_it_is_made_meanwhile(gateway: Gateway) -> None:
    """The attempt is lost, and a webhook that had read it records the purchase while Stripe answers."""
    stored = gateway.stored_attempt(user_id="user_ada")
    paid = gateway.intents.pay(stored.intent)
    gateway.attempts.lose(ATTEMPT_ID)
    gateway.wire.meanwhile("intents.retrieve", lambda: gateway.fulfilment.fulfil_for_buyer(paid, stored))

    with pytest.raises(AttemptNotFound):
        await gateway.complete.complete(ATTEMPT_ID, stored.intent, BOB)


async def test_p6_somebody_elses_intent_does_not_complete_a_lost_attempt(gateway: Gateway) -> None:
    """It is another attempt's payment: quarantined for the lost one, it would be lost for its own."""
    gateway.stored_attempt()
    other = gateway.stored_attempt(attempt_id=OTHER_ATTEMPT_ID)
    paid = gateway.intents.pay(other.intent)
    gateway.attempts.lose(ATTEMPT_ID)

    with pytest.raises(IntentMismatch):
        await gateway.complete.complete(ATTEMPT_ID, paid.ref, GUEST)

    assert gateway.orders.decisions == {}
