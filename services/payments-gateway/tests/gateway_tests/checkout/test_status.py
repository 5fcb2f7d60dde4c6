import pytest

from payments_gateway.access.tokens import GUEST
from payments_gateway.checkout.status import CheckoutState, CheckoutStatus
from payments_gateway.domain.attempts import CloseReason, DeleteReason
from payments_gateway.domain.callers import Caller
from payments_gateway.domain.intents import IntentStatus
from payments_gateway.domain.money import Money
from payments_gateway.domain.purchases import Purchase

from ..assembly import Gateway
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
    gateway.intents.change(gateway.stored_attempt().intent, status=status, last_payment_failed=declined)
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
