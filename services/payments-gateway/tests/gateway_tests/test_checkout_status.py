import pytest

from payments_gateway.access.tokens import GUEST
from payments_gateway.checkout.status import CheckoutState, CheckoutStatus
from payments_gateway.domain.attempts import CloseReason, DeleteReason
from payments_gateway.domain.callers import Caller
from payments_gateway.domain.errors import AttemptNotFound
from payments_gateway.domain.intents import IntentStatus
from payments_gateway.domain.money import Money
from payments_gateway.domain.purchases import PaymentReport, Purchase, ReportChannel

from .assembly import Gateway
from .samples import ATTEMPT_ID

WEBHOOK = PaymentReport(ReportChannel.WEBHOOK, "evt_1")


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (IntentStatus.REQUIRES_PAYMENT_METHOD, CheckoutState.OPEN),
        (IntentStatus.REQUIRES_CONFIRMATION, CheckoutState.OPEN),
        (IntentStatus.REQUIRES_ACTION, CheckoutState.REQUIRES_ACTION),
        (IntentStatus.PROCESSING, CheckoutState.PROCESSING),
        (IntentStatus.REQUIRES_CAPTURE, CheckoutState.PROCESSING),
        (IntentStatus.SUCCEEDED, CheckoutState.PROCESSING),
        (IntentStatus.CANCELED, CheckoutState.EXPIRED),
    ],
)
async def test_an_open_attempt_stands_where_its_intent_does(
    gateway: Gateway, status: IntentStatus, state: CheckoutState
) -> None:
    """Processing is never shown as failure, and paid is not completed before it is recorded."""
    gateway.intents.turn(gateway.stored_attempt().intent, status)

    shown = await gateway.statuses.status(ATTEMPT_ID, GUEST)

    assert shown == CheckoutStatus(state)


async def test_a_declined_card_is_a_failed_payment(gateway: Gateway) -> None:
    """The buyer can try again: the attempt is still open."""
    gateway.intents.decline(gateway.stored_attempt().intent)

    shown = await gateway.statuses.status(ATTEMPT_ID, GUEST)

    assert shown == CheckoutStatus(CheckoutState.PAYMENT_FAILED)


@pytest.mark.parametrize(
    ("reason", "state"),
    [(CloseReason.SUPERSEDED, CheckoutState.SUPERSEDED), (CloseReason.PAY_BY_PASSED, CheckoutState.EXPIRED)],
)
async def test_a_closed_attempt_is_not_open_although_its_intent_is(
    gateway: Gateway, reason: CloseReason, state: CheckoutState
) -> None:
    """Between the close and the cancel the buyer is no longer asked to pay; cancelled and deleted, it says the same."""
    gateway.stored_attempt()
    await gateway.attempts.close(ATTEMPT_ID, reason)

    closed = await gateway.statuses.status(ATTEMPT_ID, GUEST)
    await gateway.attempts.delete(ATTEMPT_ID, DeleteReason.CANCELLED)
    deleted = await gateway.statuses.status(ATTEMPT_ID, GUEST)

    assert closed == deleted == CheckoutStatus(state)


async def test_a_closed_attempt_that_is_at_the_bank_is_processing(gateway: Gateway) -> None:
    """A payment under way goes before the close: else the buyer would pay twice."""
    gateway.intents.turn(gateway.stored_attempt().intent, IntentStatus.PROCESSING)
    await gateway.attempts.close(ATTEMPT_ID, CloseReason.SUPERSEDED)

    shown = await gateway.statuses.status(ATTEMPT_ID, GUEST)

    assert shown == CheckoutStatus(CheckoutState.PROCESSING)


async def test_an_attempt_that_was_given_up_is_expired(gateway: Gateway) -> None:
    """Deleted as cancelled without having been closed."""
    gateway.stored_attempt()
    await gateway.attempts.delete(ATTEMPT_ID, DeleteReason.CANCELLED)

    shown = await gateway.statuses.status(ATTEMPT_ID, GUEST)

    assert shown == CheckoutStatus(CheckoutState.EXPIRED)


async def test_a_recorded_attempt_is_completed(gateway: Gateway) -> None:
    """With what was bought, also long after the tombstone is gone."""
    stored = gateway.stored_attempt(user_id="user_ada")
    purchase = await gateway.fulfilment.fulfil(gateway.intents.pay(stored.intent), WEBHOOK)
    assert isinstance(purchase, Purchase)

    soon = await gateway.statuses.status(ATTEMPT_ID, Caller("user_ada"))
    gateway.attempts.lose(ATTEMPT_ID)
    late = await gateway.statuses.status(ATTEMPT_ID, Caller("user_ada"))

    assert soon == late == CheckoutStatus(CheckoutState.COMPLETED, purchase)


@pytest.mark.parametrize("owner", [None, "user_ada"])
async def test_p7_an_erased_purchase_is_shown_to_nobody(gateway: Gateway, owner: str | None) -> None:
    """Whose it was is not known any more: not to the one who holds the attempt's id, with its tombstone or without."""
    stored = gateway.stored_attempt(user_id=owner)
    await gateway.fulfilment.fulfil(gateway.intents.pay(stored.intent), WEBHOOK)
    gateway.orders.erase(ATTEMPT_ID)

    for _ in ("with the tombstone", "without"):
        with pytest.raises(AttemptNotFound):
            await gateway.statuses.status(ATTEMPT_ID, Caller(owner))
        gateway.attempts.lose(ATTEMPT_ID)


async def test_a_quarantined_attempt_needs_review(gateway: Gateway) -> None:
    """The buyer is told that somebody will look at it."""
    stored = gateway.stored_attempt()
    await gateway.fulfilment.fulfil(gateway.intents.pay(stored.intent, Money(1, "usd")), WEBHOOK)

    shown = await gateway.statuses.status(ATTEMPT_ID, GUEST)

    assert shown == CheckoutStatus(CheckoutState.NEEDS_REVIEW)


async def test_an_unknown_attempt_is_not_found(gateway: Gateway) -> None:
    """Neither stored, nor deleted, nor bought."""
    with pytest.raises(AttemptNotFound):
        await gateway.statuses.status(ATTEMPT_ID, GUEST)


@pytest.mark.parametrize("caller", [GUEST, Caller("user_bob")])
async def test_somebody_elses_attempt_is_never_found(gateway: Gateway, caller: Caller) -> None:
    """Open, recorded, and after its tombstone is gone: the answer is that of an unknown attempt."""
    stored = gateway.stored_attempt(user_id="user_ada")

    with pytest.raises(AttemptNotFound):
        await gateway.statuses.status(ATTEMPT_ID, caller)
    await gateway.fulfilment.fulfil(gateway.intents.pay(stored.intent), WEBHOOK)
    with pytest.raises(AttemptNotFound):
        await gateway.statuses.status(ATTEMPT_ID, caller)
    gateway.attempts.lose(ATTEMPT_ID)
    with pytest.raises(AttemptNotFound):
        await gateway.statuses.status(ATTEMPT_ID, caller)
