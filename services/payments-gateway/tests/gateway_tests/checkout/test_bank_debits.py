"""Bank debits and their verification take days: nothing is cancelled meanwhile, and either end is right (ADR 43)."""

from datetime import timedelta

import pytest

from payments_gateway.access.tokens import GUEST
from payments_gateway.checkout.status import CheckoutState
from payments_gateway.domain.attempts import Attempt, CloseReason, DeleteReason, Tombstone
from payments_gateway.domain.errors import AlreadyPaid, PaymentProcessing
from payments_gateway.domain.intents import IntentStatus

from ..assembly import Gateway
from ..samples import ATTEMPT_ID, checkout_request

KEY = "0b0f9e3c-2f6a-4c57-9d41-7f2a3c1e5d60"
MUG = checkout_request()
PEN = checkout_request(("price_pen", 1), supersedes=ATTEMPT_ID)
DAYS = timedelta(days=9).total_seconds()
EXPIRED = Tombstone(ATTEMPT_ID, DeleteReason.CANCELLED, CloseReason.PAY_BY_PASSED, user_id=None)


async def state_of(gateway: Gateway, attempt_id: str = ATTEMPT_ID) -> CheckoutState:
    """Return the state that the buyer's page shows."""
    return (await gateway.statuses.status(attempt_id, GUEST)).state


def at_the_bank(gateway: Gateway) -> Attempt:
    """Store an attempt that is paid by a debit. Its cancel would be one of the rare ones that Stripe allows."""
    attempt = gateway.stored_attempt()
    gateway.intents.change(attempt.intent, status=IntentStatus.PROCESSING)
    gateway.intents.let_debits_be_cancelled()
    return attempt


def declined(gateway: Gateway, attempt: Attempt) -> None:
    """Let the debit fail."""
    gateway.intents.change(attempt.intent, status=IntentStatus.REQUIRES_PAYMENT_METHOD, last_payment_failed=True)


async def change_cart(gateway: Gateway) -> None:
    """Replace the attempt by that of another cart, and be refused because of the debit."""
    with pytest.raises(PaymentProcessing) as refusal:
        await gateway.initiate.begin(PEN, GUEST, None)
    assert refusal.value.attempt_id == ATTEMPT_ID


async def test_p3_a_changed_cart_cancels_no_debit(gateway: Gateway) -> None:
    """The old checkout stays as it is, open too, and the new one is given up."""
    attempt = at_the_bank(gateway)

    await change_cart(gateway)

    assert [intent.status.value for intent in gateway.intents.all()] == ["processing", "canceled"]
    assert gateway.attempts.stored() == [attempt]


async def test_p3_another_form_of_the_same_request_cancels_no_debit(gateway: Gateway) -> None:
    """During a rotation of secrets a request may have two ids."""
    attempt = at_the_bank(gateway)
    new = gateway.stored_attempt(attempt_id="0c1d2e3f-4a5b-4c6d-8e7f-8a9b0c1d2e3f")

    with pytest.raises(PaymentProcessing):
        await gateway.supersede.end_equal(attempt, new, GUEST)

    assert gateway.attempts.stored() == [attempt]


async def test_p3_a_debit_that_succeeds_days_later_is_fulfilled(gateway: Gateway) -> None:
    """Its pay-by is long over, its buyer has looked after it, and tried another cart."""
    attempt = at_the_bank(gateway)
    await change_cart(gateway)
    gateway.clock.advance(DAYS)
    meanwhile = await state_of(gateway)

    await gateway.fulfil(gateway.intents.pay(attempt.intent))

    [purchase] = gateway.orders.purchases()
    with pytest.raises(AlreadyPaid):
        await gateway.supersede.ensure_replaceable(ATTEMPT_ID, GUEST)
    assert meanwhile is CheckoutState.PROCESSING
    assert purchase.intent_id == attempt.intent.id
    assert await state_of(gateway) is CheckoutState.COMPLETED


async def test_a_declined_debit_can_be_paid_again(gateway: Gateway) -> None:
    """Until its pay-by: the buyer asks again and gets the same checkout, although another cart was tried before."""
    first = await gateway.initiate.begin(MUG, GUEST, KEY)
    [attempt] = gateway.attempts.stored()
    gateway.intents.change(attempt.intent, status=IntentStatus.PROCESSING)
    with pytest.raises(PaymentProcessing):
        await gateway.initiate.begin(checkout_request(supersedes=first.attempt_id), GUEST, None)
    with pytest.raises(PaymentProcessing):
        await gateway.initiate.begin(MUG, GUEST, KEY)

    declined(gateway, attempt)

    assert await state_of(gateway, first.attempt_id) is CheckoutState.PAYMENT_FAILED
    assert await gateway.initiate.begin(MUG, GUEST, KEY) == first


async def test_a_declined_debit_lets_another_cart_begin(gateway: Gateway) -> None:
    """One checkout is payable then: the new one."""
    attempt = at_the_bank(gateway)
    await change_cart(gateway)
    declined(gateway, attempt)

    checkout = await gateway.initiate.begin(PEN, GUEST, None)

    payable = [intent.client_secret for intent in gateway.intents.all() if intent.is_payable]
    assert payable == [checkout.client_secret]
    assert await state_of(gateway) is CheckoutState.SUPERSEDED


async def test_a_debit_that_is_declined_after_its_pay_by_expires(gateway: Gateway) -> None:
    """Nobody was charged; whoever meets the checkout ends it."""
    attempt = at_the_bank(gateway)
    gateway.clock.advance(DAYS)
    declined(gateway, attempt)

    state = await state_of(gateway)

    assert state is CheckoutState.EXPIRED
    assert gateway.attempts.at(ATTEMPT_ID) == EXPIRED


async def verifying(gateway: Gateway) -> Attempt:
    """Store an attempt whose buyer waits for a deposit by which to verify a bank account."""
    await gateway.initiate.begin(MUG, GUEST, KEY)
    [attempt] = gateway.attempts.stored()
    gateway.intents.change(attempt.intent, status=IntentStatus.REQUIRES_ACTION, awaits_microdeposits=True)
    return attempt


async def test_a_verification_outlasts_the_pay_by(gateway: Gateway) -> None:
    """The buyer's page shows what to do, and a retry of the request releases the same checkout."""
    attempt = await verifying(gateway)
    gateway.clock.advance(DAYS)

    state = await state_of(gateway, attempt.attempt_id)
    again = await gateway.initiate.begin(MUG, GUEST, KEY)

    assert state is CheckoutState.REQUIRES_ACTION
    assert again.attempt_id == attempt.attempt_id
    assert gateway.attempts.stored() == [attempt]


async def test_a_verification_that_stripe_ended_expires(gateway: Gateway) -> None:
    """Stripe gives a buyer ten days, then asks for another payment method."""
    attempt = await verifying(gateway)
    gateway.clock.advance(DAYS)
    gateway.intents.change(attempt.intent, awaits_microdeposits=False)
    declined(gateway, attempt)

    assert await state_of(gateway, attempt.attempt_id) is CheckoutState.EXPIRED


async def test_a_changed_cart_ends_a_verification(gateway: Gateway) -> None:
    """Nothing was debited, and the buyer wants something else."""
    attempt = await verifying(gateway)

    await gateway.initiate.begin(checkout_request(("price_pen", 1), supersedes=attempt.attempt_id), GUEST, None)

    assert gateway.status_of(attempt.intent) == "canceled"
