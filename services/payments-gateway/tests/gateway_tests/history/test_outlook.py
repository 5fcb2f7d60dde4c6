from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import pytest

from payments_gateway.domain.attempts import CloseReason, DeleteReason, FoundAttempt, Tombstone, UnreadableAttempt
from payments_gateway.domain.history import CheckoutHistory, IntentHistory
from payments_gateway.domain.intents import IntentStatus, StripeIntent
from payments_gateway.domain.purchases import Purchase, QuarantineReason
from payments_gateway.domain.settlements import PaymentState, Settlement, ShownPayment
from payments_gateway.domain.subscriptions import SubscriptionStatus
from payments_gateway.history.outlook import outlook

from ..billing_samples import SUBSCRIPTION
from ..samples import ATTEMPT_ID, CONTEXT, INTENT_CREATED_AT, attempt, intent_ref

REF: Final = intent_ref("pi_1")
OPEN: Final = attempt(REF)
CLOSED: Final = replace(OPEN, close_reason=CloseReason.SUPERSEDED)
GONE: Final = Tombstone(ATTEMPT_ID, DeleteReason.CANCELLED, None, None)
UNREADABLE: Final = UnreadableAttempt(ATTEMPT_ID, None, REF, b"", "k1", None)
IN_TIME: Final = CONTEXT.pay_by - timedelta(hours=1)
TOO_LATE: Final = CONTEXT.pay_by + timedelta(hours=1)


def history(
    status: IntentStatus | None, found: FoundAttempt | None = OPEN, *payments: PaymentState, **changes: Any
) -> CheckoutHistory:
    """Return the history of a checkout of ours, with its intent in a status."""
    intents: tuple[IntentHistory, ...] = ()
    if status is not None:
        intent = StripeIntent(REF, status, ATTEMPT_ID, CONTEXT.total, False, None, INTENT_CREATED_AT)  # noqa: FBT003
        intents = (IntentHistory(intent, CONTEXT.total, None, None),)
    shown = tuple(ShownPayment(state, None, ()) for state in payments)
    return replace(CheckoutHistory(ATTEMPT_ID, True, found, intents, shown, {}, ()), **changes)  # noqa: FBT003


def quarantined(reason: QuarantineReason, **changes: Any) -> PaymentState:
    """Return a quarantined payment."""
    return replace(PaymentState(REF, ATTEMPT_ID, reason=reason, quarantined_at=INTENT_CREATED_AT), **changes)


def bought(status: SubscriptionStatus) -> PaymentState:
    """Return a purchase of one subscription."""
    purchase = Purchase(REF.id, None, (replace(SUBSCRIPTION, status=status),))
    return PaymentState(REF, ATTEMPT_ID, purchase)


@pytest.mark.parametrize(
    ("found", "now", "expected"),
    [
        (OPEN, IN_TIME, "The buyer may pay"),
        (OPEN, TOO_LATE, "The reconciler cancels pi_1, and deletes"),
        (CLOSED, IN_TIME, "The reconciler cancels pi_1, and deletes"),
        (UNREADABLE, IN_TIME, "The reconciler cancels pi_1, and deletes"),
        (GONE, IN_TIME, "No attempt is stored"),
        (None, IN_TIME, "No attempt is stored"),
    ],
)
def test_an_unpaid_intent_is_the_buyers_until_its_time_is_over(
    found: FoundAttempt | None, now: datetime, expected: str
) -> None:
    """Then it is the reconciler's, also without its attempt."""
    [sentence] = outlook(history(IntentStatus.REQUIRES_PAYMENT_METHOD, found), now)

    assert sentence.startswith(expected)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (IntentStatus.SUCCEEDED, "pi_1 is paid and not decided"),
        (IntentStatus.PROCESSING, "The bank decides about pi_1"),
        (IntentStatus.REQUIRES_CAPTURE, "A person captures or cancels pi_1"),
        (IntentStatus.CANCELED, "The reconciler deletes the attempt."),
        (IntentStatus.UNKNOWN, "pi_1 has a status that this version does not know"),
    ],
)
def test_an_undecided_intent_goes_on_by_its_status(status: IntentStatus, expected: str) -> None:
    """The sentence names the one that has the next step."""
    [sentence] = outlook(history(status), IN_TIME)

    assert sentence.startswith(expected)


def test_an_intent_of_another_shop_is_none_of_ours() -> None:
    """No attempt, and an id that none of our secrets made."""
    foreign = history(IntentStatus.SUCCEEDED, None, is_ours=False)

    assert outlook(foreign, IN_TIME) == ["Nothing: pi_1 is not ours."]


@pytest.mark.parametrize(
    ("payment", "expected"),
    [
        (quarantined(QuarantineReason.AMOUNT_MISMATCH), ["A person settles"]),
        (quarantined(QuarantineReason.ATTEMPT_MISSING), ["pi_1 becomes the purchase by itself", "A person settles"]),
        (quarantined(QuarantineReason.AMOUNT_MISMATCH, settlement=Settlement.WRITTEN_OFF), ["Nothing."]),
        (quarantined(QuarantineReason.REFUNDED, resolved_at=INTENT_CREATED_AT), ["Nothing."]),
        (bought(SubscriptionStatus.ACTIVE), ["Nothing."]),
        (bought(SubscriptionStatus.PENDING), ["The reconciler, or the next report of the payment, finishes"]),
        (bought(SubscriptionStatus.ACTIVATION_FAILED), ["A person mends the cause"]),
    ],
)
def test_a_decided_payment_has_what_is_left_of_it(payment: PaymentState, expected: list[str]) -> None:
    """Mostly nothing; its intent's status does not matter any more."""
    said = outlook(history(IntentStatus.SUCCEEDED, GONE, payment), IN_TIME)

    assert len(said) == len(expected)
    assert all(sentence.startswith(start) for sentence, start in zip(said, expected, strict=True))


def test_content_that_outlived_its_decision_is_deleted() -> None:
    """A process was killed between the two (P4)."""
    said = outlook(history(IntentStatus.SUCCEEDED, OPEN, bought(SubscriptionStatus.ACTIVE)), IN_TIME)

    assert said == ["The stored attempt is deleted by the reconciler."]


def test_nothing_is_foretold_from_half_of_the_facts() -> None:
    """A dependency that did not answer may know better."""
    [sentence] = outlook(history(None, None, unavailable=("Stripe", "orders")), IN_TIME)

    assert sentence == "Unknown: Stripe, orders did not answer. Run the command again."
