"""An attempt that nobody may pay any more is ended by whoever meets it first: a poll of its status or a completion."""

from collections.abc import Awaitable, Callable

import pytest

from payments_gateway.access.tokens import GUEST
from payments_gateway.checkout.status import CheckoutState
from payments_gateway.domain.attempts import Attempt, CloseReason, DeleteReason, Tombstone
from payments_gateway.domain.errors import PaymentNotSucceeded
from payments_gateway.domain.intents import PAYABLE_STATUSES, PENDING_STATUSES, IntentStatus
from payments_gateway.domain.purchases import Purchase
from payments_gateway.domain.stripe_errors import StripeUnavailable
from servicekit.unavailable import ServiceUnavailable

from ..assembly import PAY_BY, Gateway
from ..samples import ATTEMPT_ID, OTHER_ATTEMPT_ID

PAY_BY_SECONDS = PAY_BY.total_seconds()
EXPIRED = Tombstone(ATTEMPT_ID, DeleteReason.CANCELLED, CloseReason.PAY_BY_PASSED, user_id=None)
STEPS = ["attempts.find", "intents.retrieve", "attempts.close", "intents.cancel", "attempts.delete"]


async def poll(gateway: Gateway) -> CheckoutState:
    """Read the status as a buyer's page does."""
    return (await gateway.statuses.status(ATTEMPT_ID, GUEST)).state


async def complete(gateway: Gateway) -> CheckoutState:
    """Return from paying, and say in terms of a status how that ended."""
    try:
        decision = await gateway.complete.complete(ATTEMPT_ID, gateway.intents.all()[0].ref, GUEST)
    except PaymentNotSucceeded:
        return CheckoutState.EXPIRED
    return CheckoutState.COMPLETED if isinstance(decision, Purchase) else CheckoutState.PROCESSING


USE_CASES: dict[str, Callable[[Gateway], Awaitable[CheckoutState]]] = {"status": poll, "complete": complete}
of_both = pytest.mark.parametrize("use_case", USE_CASES)


@of_both
@pytest.mark.parametrize("status", sorted(PAYABLE_STATUSES))
async def test_an_attempt_past_its_pay_by_is_closed_then_cancelled_then_deleted(
    gateway: Gateway, use_case: str, status: IntentStatus
) -> None:
    """By the first who meets it, whatever the buyer is doing; later polls ask Stripe nothing."""
    stored = gateway.stored_attempt()
    gateway.intents.change(stored.intent, status=status, last_payment_failed=True)
    gateway.clock.advance(PAY_BY_SECONDS)

    states = [await USE_CASES[use_case](gateway), await poll(gateway)]

    assert states == [CheckoutState.EXPIRED] * 2
    assert gateway.wire.calls == [*STEPS, "attempts.find"]
    assert gateway.status_of(stored.intent) == "canceled"
    assert gateway.attempts.at(ATTEMPT_ID) == EXPIRED


@of_both
async def test_until_its_pay_by_an_attempt_is_left_alone(gateway: Gateway, use_case: str) -> None:
    """A poll costs one read of each service."""
    stored = gateway.stored_attempt()
    gateway.clock.advance(PAY_BY_SECONDS - 1)

    await USE_CASES[use_case](gateway)

    assert gateway.wire.calls == STEPS[:2]
    assert gateway.attempts.at(ATTEMPT_ID) == stored


@of_both
@pytest.mark.parametrize("reason", [CloseReason.SUPERSEDED, CloseReason.PAY_BY_PASSED])
async def test_a_closed_attempt_that_is_still_payable_is_cancelled(
    gateway: Gateway, use_case: str, reason: CloseReason
) -> None:
    """Its closer was killed before the cancel. The reason of the close and the successor stay."""
    stored = gateway.stored_attempt()
    await gateway.attempts.close(ATTEMPT_ID, reason, "the successor")

    await USE_CASES[use_case](gateway)

    assert gateway.status_of(stored.intent) == "canceled"
    left = gateway.attempts.at(ATTEMPT_ID)
    assert left == Tombstone(ATTEMPT_ID, DeleteReason.CANCELLED, reason, None, "the successor")


@pytest.mark.parametrize("status", [IntentStatus.SUCCEEDED, *sorted(PENDING_STATUSES)])
async def test_p4_a_payment_in_the_last_moment_is_judged_by_what_stripe_returns(
    gateway: Gateway, status: IntentStatus
) -> None:
    """The buyer pays between the read and the cancel: nothing expires, and the content stays for the purchase."""
    stored = gateway.stored_attempt()
    gateway.clock.advance(PAY_BY_SECONDS)
    gateway.intents.refuse_cancels(status)

    state = await poll(gateway)

    left = gateway.attempts.at(ATTEMPT_ID)
    assert state is CheckoutState.PROCESSING
    assert isinstance(left, Attempt)
    assert left.context == stored.context


async def test_p3_a_payment_in_the_last_moment_is_completed(gateway: Gateway) -> None:
    """The browser returns after the pay-by, and Stripe refuses the cancel because the buyer has just paid."""
    stored = gateway.stored_attempt()
    gateway.clock.advance(PAY_BY_SECONDS)

    async def pay() -> None:
        gateway.intents.pay(stored.intent)

    gateway.wire.meanwhile("intents.cancel", pay)

    assert await complete(gateway) is CheckoutState.COMPLETED
    assert await poll(gateway) is CheckoutState.COMPLETED


@of_both
async def test_a_paid_or_pending_attempt_past_its_pay_by_is_not_cancelled(gateway: Gateway, use_case: str) -> None:
    """Its payment can be a purchase yet: no call is made to prevent it."""
    stored = gateway.stored_attempt()
    gateway.intents.change(stored.intent, status=IntentStatus.PROCESSING)
    gateway.clock.advance(PAY_BY_SECONDS)

    assert await USE_CASES[use_case](gateway) is CheckoutState.PROCESSING
    assert gateway.wire.calls == STEPS[:2]


@of_both
@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("step", STEPS[2:])
async def test_p4_a_repeat_ends_it_after_a_failure_at_any_step(
    gateway: Gateway, use_case: str, step: str, *, after_effect: bool
) -> None:
    """The failure is passed on, and content is deleted only once the intent is cancelled."""
    stored = gateway.stored_attempt()
    gateway.clock.advance(PAY_BY_SECONDS)
    failure = StripeUnavailable() if step.startswith("intents") else ServiceUnavailable("checkout-session")
    gateway.wire.fail(step, failure, after_effect=after_effect)

    with pytest.raises((StripeUnavailable, ServiceUnavailable)):
        await USE_CASES[use_case](gateway)
    assert gateway.attempts.stored() or gateway.status_of(stored.intent) == "canceled"
    gateway.wire.heal()

    assert await USE_CASES[use_case](gateway) is CheckoutState.EXPIRED
    assert gateway.attempts.at(ATTEMPT_ID) == EXPIRED


@pytest.mark.parametrize("step", ["attempts.close", "intents.cancel", "attempts.delete"])
async def test_a_poll_during_a_superseding_ends_the_attempt_as_it_does(gateway: Gateway, step: str) -> None:
    """Both cancel the same intent, and the superseding succeeds whichever is first."""
    stored, new = gateway.stored_attempt(), gateway.stored_attempt(attempt_id=OTHER_ATTEMPT_ID)
    gateway.clock.advance(PAY_BY_SECONDS)
    gateway.wire.meanwhile(step, lambda: gateway.statuses.status(ATTEMPT_ID, GUEST))

    await gateway.supersede.supersede(ATTEMPT_ID, new, GUEST)

    assert gateway.status_of(stored.intent) == "canceled"
    assert gateway.attempts.stored() == [new]
