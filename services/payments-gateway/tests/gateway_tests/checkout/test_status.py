import pytest

from payments_gateway.access.tokens import GUEST
from payments_gateway.checkout.status import CheckoutState, CheckoutStatus
from payments_gateway.domain.attempts import CloseReason, DeleteReason
from payments_gateway.domain.callers import Caller
from payments_gateway.domain.intents import IntentStatus
from payments_gateway.domain.money import Money
from payments_gateway.domain.purchases import Purchase
from servicekit.unavailable import ServiceUnavailable

from ..assembly import WEBHOOK, Gateway
from ..samples import ATTEMPT_ID

SUPERSEDED, PAY_BY_PASSED = CloseReason.SUPERSEDED, CloseReason.PAY_BY_PASSED


@pytest.mark.parametrize(
    ("status", "declined", "closed", "state"),
    [
        (IntentStatus.REQUIRES_PAYMENT_METHOD, False, None, CheckoutState.OPEN),
        (IntentStatus.REQUIRES_PAYMENT_METHOD, True, None, CheckoutState.PAYMENT_FAILED),
        (IntentStatus.REQUIRES_PAYMENT_METHOD, True, SUPERSEDED, CheckoutState.SUPERSEDED),
        (IntentStatus.REQUIRES_CONFIRMATION, False, None, CheckoutState.OPEN),
        (IntentStatus.REQUIRES_ACTION, False, None, CheckoutState.REQUIRES_ACTION),
        (IntentStatus.REQUIRES_ACTION, False, PAY_BY_PASSED, CheckoutState.EXPIRED),
        (IntentStatus.PROCESSING, False, None, CheckoutState.PROCESSING),
        (IntentStatus.PROCESSING, False, SUPERSEDED, CheckoutState.PROCESSING),
        (IntentStatus.REQUIRES_CAPTURE, False, None, CheckoutState.PROCESSING),
        (IntentStatus.UNKNOWN, False, None, CheckoutState.PROCESSING),
        (IntentStatus.SUCCEEDED, False, None, CheckoutState.PROCESSING),
        (IntentStatus.CANCELED, False, None, CheckoutState.EXPIRED),
        (IntentStatus.CANCELED, False, SUPERSEDED, CheckoutState.SUPERSEDED),
    ],
)
async def test_the_state_of_a_stored_attempt(
    gateway: Gateway, status: IntentStatus, closed: CloseReason | None, state: CheckoutState, *, declined: bool
) -> None:
    """A pending payment is never shown as a failure, nor a closed attempt as payable, nor a paid one as completed."""
    # A declined payment has a charge, of which nothing was received and nothing given back.
    charged = {"last_payment_failed": True, "refunded": Money(0, "usd")} if declined else {}
    gateway.intents.change(gateway.stored_attempt().intent, status=status, **charged)
    if closed:
        await gateway.attempts.close(ATTEMPT_ID, closed)

    assert await gateway.statuses.status(ATTEMPT_ID, GUEST) == CheckoutStatus(state)


@pytest.mark.parametrize(
    ("closed", "state"),
    [(SUPERSEDED, CheckoutState.SUPERSEDED), (PAY_BY_PASSED, CheckoutState.EXPIRED), (None, CheckoutState.EXPIRED)],
)
async def test_the_state_of_a_cancelled_attempt(
    gateway: Gateway, closed: CloseReason | None, state: CheckoutState
) -> None:
    """The tombstone keeps the reason of the close."""
    gateway.stored_attempt()
    if closed:
        await gateway.attempts.close(ATTEMPT_ID, closed)
    await gateway.attempts.delete(ATTEMPT_ID, DeleteReason.CANCELLED)

    assert await gateway.statuses.status(ATTEMPT_ID, GUEST) == CheckoutStatus(state)


async def test_a_recorded_attempt_is_completed(gateway: Gateway) -> None:
    """Its purchase is shown, even after the tombstone has expired."""
    purchase = await gateway.fulfil(gateway.paid_attempt(user_id="user_ada"))
    assert isinstance(purchase, Purchase)

    soon = await gateway.statuses.status(ATTEMPT_ID, Caller("user_ada"))
    gateway.attempts.lose(ATTEMPT_ID)
    late = await gateway.statuses.status(ATTEMPT_ID, Caller("user_ada"))

    assert soon == late == CheckoutStatus(CheckoutState.COMPLETED, purchase)


async def test_a_quarantined_attempt_needs_review(gateway: Gateway) -> None:
    """A person resolves it."""
    await gateway.fulfil(gateway.paid_attempt(received=Money(1, "usd")))

    assert await gateway.statuses.status(ATTEMPT_ID, GUEST) == CheckoutStatus(CheckoutState.NEEDS_REVIEW)


async def test_a_refunded_attempt_needs_review_until_its_refund_fails(gateway: Gateway) -> None:
    """Its content stays for that case, and the buyer need not wait for anything meanwhile."""
    paid = gateway.paid_attempt()
    gateway.intents.change(paid.ref, refunded=paid.received)
    refunded = await gateway.statuses.status(ATTEMPT_ID, GUEST)
    gateway.intents.change(paid.ref, refunded=Money(0, "usd"))

    assert refunded == CheckoutStatus(CheckoutState.NEEDS_REVIEW)
    assert await gateway.statuses.status(ATTEMPT_ID, GUEST) == CheckoutStatus(CheckoutState.PROCESSING)


@pytest.mark.parametrize(
    ("status", "closed", "state"),
    [
        (IntentStatus.SUCCEEDED, None, CheckoutState.NEEDS_REVIEW),
        (IntentStatus.SUCCEEDED, SUPERSEDED, CheckoutState.NEEDS_REVIEW),
        (IntentStatus.PROCESSING, None, CheckoutState.PROCESSING),
        (IntentStatus.CANCELED, None, CheckoutState.EXPIRED),
        (IntentStatus.REQUIRES_PAYMENT_METHOD, SUPERSEDED, CheckoutState.SUPERSEDED),
        (IntentStatus.REQUIRES_ACTION, PAY_BY_PASSED, CheckoutState.EXPIRED),
    ],
)
async def test_the_state_of_an_unreadable_attempt(
    gateway: Gateway, status: IntentStatus, closed: CloseReason | None, state: CheckoutState
) -> None:
    """Its intent and the reason of its close stand in clear; a status decides nothing about its payment."""
    stored = gateway.stored_attempt()
    gateway.intents.change(stored.intent, status=status)
    gateway.attempts.make_unreadable(ATTEMPT_ID)
    if closed:
        await gateway.attempts.close(ATTEMPT_ID, closed)

    assert await gateway.statuses.status(ATTEMPT_ID, GUEST) == CheckoutStatus(state)
    assert gateway.orders.decisions == {}


async def test_an_unreadable_attempt_is_not_called_open(gateway: Gateway) -> None:
    """Its pay-by cannot be read and initiate releases no secret: 503 until the key is back, then open again."""
    gateway.stored_attempt()
    gateway.attempts.make_unreadable(ATTEMPT_ID)

    with pytest.raises(ServiceUnavailable):
        await gateway.statuses.status(ATTEMPT_ID, GUEST)
    gateway.attempts.make_readable(ATTEMPT_ID)

    assert await gateway.statuses.status(ATTEMPT_ID, GUEST) == CheckoutStatus(CheckoutState.OPEN)


@pytest.mark.parametrize("readable", [True, False])
async def test_a_recorded_attempt_that_is_not_deleted_yet_is_completed(gateway: Gateway, *, readable: bool) -> None:
    """Its deletion waits, or was lost with a killed process; then its key may be taken away too (ADR 56)."""
    await gateway.fulfilment.fulfil(gateway.paid_attempt(), WEBHOOK)
    if not readable:
        gateway.attempts.make_unreadable(ATTEMPT_ID)

    status = await gateway.statuses.status(ATTEMPT_ID, GUEST)

    assert (status.state, [status.purchase]) == (CheckoutState.COMPLETED, gateway.orders.purchases())
