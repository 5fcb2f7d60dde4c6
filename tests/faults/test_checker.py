"""The checker finds each way to break a promise in an otherwise flawless state."""

from dataclasses import replace
from typing import Any, Final

import pytest

from .checker import Checker
from .history import BuyerHistory, Granted, History, Wipe
from .plan import Plan, buyer_plan
from .state import Decision, Order, State, StripeIntent, StripeRefund, StripeSubscription, Subscription

PLAN: Final = Plan(seed=1, reconcilers=1)
GRANTED: Final = Granted(
    attempt_id="attempt",
    intent_id="pi_1",
    amount=500,
    currency="usd",
    quantities={"price_mug": 2, "price_coffee": 1},
    chain=0,
    gateway=0,
    asked_at=100.0,
    granted_at=101.0,
)
PAID: Final = StripeIntent("pi_1", "succeeded", {"checkoutAttemptId": "attempt"}, 500, "usd", 110.0)
CANCELED: Final = StripeIntent("pi_2", "canceled", {"checkoutAttemptId": "other"}, 0, "usd", None)
DECISION: Final = Decision("pi_1", "attempt", "purchase", None, 500, "usd", 111.0)
ORDER: Final = Order("attempt", "pi_1", 500, "usd", "paid", 400, 100, {"price_mug": 2})
ROW: Final = Subscription("sub-row", "attempt", "pi_1", "sub_1", "active", {"price_coffee": 1})
AT_STRIPE: Final = StripeSubscription("sub_1", "sub-row", "active", {"price_coffee": 1})
REFUND: Final = StripeRefund("re_1", "pi_1", 500, "succeeded")
QUARANTINED: Final = replace(DECISION, outcome="quarantined", reason="attempt_missing")
FLAWLESS: Final = State(
    intents={"pi_1": PAID, "pi_2": CANCELED},
    stripe_subscriptions=[AT_STRIPE],
    decisions=[DECISION],
    orders=[ORDER],
    subscriptions=[ROW],
)
NOTHING_BOUGHT: Final[dict[str, Any]] = {"orders": [], "subscriptions": [], "stripe_subscriptions": []}


def history(*more: Granted, **facts: Any) -> History:
    """Return the history of a buyer who was granted the checkout."""
    return History(buyers=[BuyerHistory(buyer_plan(PLAN, 1), [GRANTED, *more])], **facts)


def findings(state: State, seen: History | None = None) -> list[str]:
    """Return what the checker finds."""
    return [str(finding) for finding in Checker(state, seen or history(), PLAN).findings()]


def test_nothing_is_found_in_a_flawless_state() -> None:
    """A purchase of an order and a subscription, and a canceled intent."""
    assert findings(FLAWLESS) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"intents": {"pi_1": replace(PAID, metadata={**PAID.metadata, "name": "Ada"})}},
            "P1 pi_1: carries the metadata",
        ),
        ({"intents": {"pi_1": PAID, "pi_2": replace(CANCELED, status="succeeded")}}, "P2 pi_2: is paid although"),
        ({"decisions": []}, "P3 pi_1: is paid and decided 0 times"),
        ({"decisions": [DECISION, DECISION]}, "P3 pi_1: is paid and decided 2 times"),
        ({"decisions": [DECISION, replace(DECISION, intent_id="pi_2")]}, "P3 attempt: became 2 purchases"),
        ({"decisions": [DECISION, replace(DECISION, intent_id="pi_2")]}, "P3 pi_2: is decided although it is canceled"),
        ({"decisions": [DECISION, replace(DECISION, intent_id="pi_3")]}, "P3 pi_3: is decided and unknown at Stripe"),
        ({"decisions": [QUARANTINED]}, "P3 pi_1: is quarantined and a purchase"),
        ({"decisions": [QUARANTINED], **NOTHING_BOUGHT}, "P3 pi_1: is quarantined as attempt_missing, which no fault"),
        ({"decisions": [replace(DECISION, amount=400)]}, "P5 pi_1: received 500, but the decision"),
        ({"orders": []}, "P3 pi_1: is a purchase with 0 orders"),
        ({"orders": [ORDER, ORDER]}, "P3 pi_1: is a purchase with 2 orders"),
        ({"orders": [ORDER, replace(ORDER, intent_id="pi_2")]}, "P3 pi_2: is not paid, but something was bought"),
        ({"orders": [replace(ORDER, total=400, items_sum=300)]}, "P5 pi_1: received 500, but its order says 400"),
        ({"orders": [replace(ORDER, shipping=0)]}, "P5 pi_1: has an inconsistent order"),
        ({"orders": [replace(ORDER, quantities={"price_mug": 1})]}, "P5 pi_1: paid for"),
        ({"subscriptions": []}, "P5 pi_1: paid for"),
        ({"subscriptions": []}, "P3 sub_1: has no row"),
        ({"stripe_subscriptions": []}, "P3 sub-row: is active and was started 0 times"),
        ({"stripe_subscriptions": [AT_STRIPE, AT_STRIPE]}, "P3 sub-row: is active and was started 2 times"),
        ({"stripe_subscriptions": [replace(AT_STRIPE, status="past_due")]}, "P3 sub-row: differs from Stripe's"),
        (
            {"intents": {"pi_1": PAID, "pi_2": replace(CANCELED, status="requires_action")}},
            "P4 pi_2: is requires_action",
        ),
        ({"contents": frozenset({"attempt"})}, "P4 attempt: is still stored"),
        ({"due": frozenset({"attempt"})}, "P4 attempt: is still stored"),
        ({"stripe_refunds": [REFUND]}, "P5 re_1: is recorded as None"),
        ({"stripe_refunds": [REFUND], "refunds": [REFUND]}, "P5 pi_1: gave 500 back, but its order is paid"),
    ],
)
def test_a_broken_promise_is_found(change: dict[str, Any], expected: str) -> None:
    """The finding names the promise and the id."""
    found = findings(replace(FLAWLESS, **change))

    assert any(each.startswith(expected) for each in found), found


def test_p3_a_chain_that_is_paid_twice_is_found() -> None:
    """Each of the payments may be decided for itself; one buyer paid two times."""
    second = replace(GRANTED, intent_id="pi_2", attempt_id="other")
    both = replace(FLAWLESS, intents={"pi_1": PAID, "pi_2": replace(CANCELED, status="succeeded")})

    assert "P3 pi_1: and others of one chain are paid: ['pi_1', 'pi_2']" in findings(both, history(second))


@pytest.mark.parametrize(
    ("wipe", "excused"), [(Wipe(102.0, 103.0), True), (Wipe(120.0, 121.0), False), (Wipe(90.0, 91.0), False)]
)
def test_p3_a_wipe_excuses_a_quarantined_payment(wipe: Wipe, *, excused: bool) -> None:
    """Only if it was between the grant and the decision."""
    quarantined = replace(FLAWLESS, decisions=[QUARANTINED], **NOTHING_BOUGHT)

    assert (findings(quarantined, history(wipes=[wipe])) == []) is excused


def test_p3_a_payment_after_its_attempt_was_lost_is_no_purchase() -> None:
    """Nobody can know what was bought."""
    (found,) = findings(FLAWLESS, history(wipes=[Wipe(102.0, 103.0)]))

    assert found == "P3 pi_1: became a purchase although its attempt was lost before it was paid"


def test_p3_a_payment_refunded_in_full_may_be_quarantined() -> None:
    """It was refunded before it was decided."""
    decision = replace(QUARANTINED, reason="refunded")
    state = replace(FLAWLESS, decisions=[decision], stripe_refunds=[REFUND], refunds=[REFUND], **NOTHING_BOUGHT)

    assert findings(state) == []


@pytest.mark.parametrize(
    ("status", "decisions", "expected"),
    [
        ("requires_payment_method", [], []),
        ("canceled", [], ["P3 pi_9: is another application's, and now canceled"]),
        (
            "requires_payment_method",
            [replace(QUARANTINED, intent_id="pi_9")],
            ["P3 pi_9: is another application's, and decided"],
        ),
    ],
)
def test_p3_an_effect_on_another_application_is_found(
    status: str, decisions: list[Decision], expected: list[str]
) -> None:
    """Its intents stay as it left them, whatever they look like."""
    foreign = replace(CANCELED, id="pi_9", status=status)
    state = replace(FLAWLESS, intents={**FLAWLESS.intents, "pi_9": foreign}, decisions=[DECISION, *decisions])

    assert findings(state, history(foreign_payable={"pi_9"})) == expected
