"""Orphans are cancelled: payable intents of ours, past the longest pay-by, without an attempt. Nothing else is."""

from datetime import timedelta

import pytest

from payments_gateway.domain.attempts import KNOWN_KINDS, Attempt, DeleteReason, IntentKind, IntentRef
from payments_gateway.domain.intents import IntentStatus, StripeIntent
from payments_gateway.domain.money import Money
from payments_gateway.domain.purchases import QuarantinedPayment, QuarantineReason
from payments_gateway.domain.stripe_errors import StripeUnavailable

from ..assembly import Gateway
from ..reconciling import ORPHAN_AGE, Reconciler
from ..samples import ATTEMPT_ID, FOREIGN_ATTEMPT_ID, attempt_id_of

MUG = Money(1250, "usd")
PAST_AGE = ORPHAN_AGE.total_seconds() + 1


@pytest.fixture
def reconciler(gateway: Gateway) -> Reconciler:
    """Give a reconciler beside a gateway."""
    return Reconciler(gateway)


async def sweep(reconciler: Reconciler) -> None:
    """Make one pass."""
    while await reconciler.orphans.run():
        pass


@pytest.mark.parametrize("kind", KNOWN_KINDS)
async def test_an_intent_without_an_attempt_is_cancelled(
    gateway: Gateway, reconciler: Reconciler, kind: IntentKind
) -> None:
    """Closed first, so that no retry can store and release it in between."""
    received = Money(0, "usd") if kind is IntentKind.PAYMENT else None
    ref, status = IntentRef("intent_1", kind), IntentStatus.REQUIRES_PAYMENT_METHOD
    created_at = reconciler.clock.now()
    gateway.intents.put(
        StripeIntent(ref, status, ATTEMPT_ID, received, livemode=False, client_secret=None, created_at=created_at)
    )
    reconciler.list_intents()
    reconciler.clock.advance(PAST_AGE)

    await sweep(reconciler)

    assert gateway.status_of(ref) == "canceled"
    changes = [call for call in gateway.wire.calls if call in {"attempts.close", "intents.cancel"}]
    assert changes == ["attempts.close", "intents.cancel"]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"attempt_id": FOREIGN_ATTEMPT_ID}, id="of another shop"),
        pytest.param({"attempt_id": None}, id="without an id"),
        pytest.param({"attempt_id": "order-17"}, id="of other software"),
        pytest.param({"livemode": True}, id="of the other mode"),
        *[
            pytest.param({"status": status}, id=status.value)
            for status in (IntentStatus.PROCESSING, IntentStatus.REQUIRES_CAPTURE, IntentStatus.SUCCEEDED)
        ],
    ],
)
async def test_an_intent_that_may_not_be_ours_or_payable_is_left_alone(
    gateway: Gateway, reconciler: Reconciler, changes: dict[str, object]
) -> None:
    """Other software and other shops on the account have intents too: only the MAC of an id proves it ours."""
    gateway.intents.change(gateway.intents.another(ATTEMPT_ID, MUG), **changes)
    reconciler.list_intents()
    reconciler.clock.advance(PAST_AGE)

    await sweep(reconciler)

    assert "intents.cancel" not in gateway.wire.calls


async def test_an_intent_with_an_attempt_is_left_to_its_due_check(gateway: Gateway, reconciler: Reconciler) -> None:
    """However old it is."""
    gateway.stored_attempt()
    reconciler.list_intents()
    reconciler.clock.advance(PAST_AGE)

    await sweep(reconciler)

    assert "intents.cancel" not in gateway.wire.calls


@pytest.mark.parametrize("is_ended", [False, True])
async def test_an_intent_whose_attempt_has_another_one_is_cancelled(
    gateway: Gateway, reconciler: Reconciler, *, is_ended: bool
) -> None:
    """Stripe failed after it had created one, so the attempt goes on with the next; that one stays as it is."""
    stored = gateway.stored_attempt()
    if is_ended:
        await gateway.attempts.delete(ATTEMPT_ID, DeleteReason.RECORDED)
    unbound = gateway.intents.another(ATTEMPT_ID, MUG)
    reconciler.list_intents()
    reconciler.clock.advance(PAST_AGE)
    if is_ended:
        gateway.intents.pay(stored.intent)

    await sweep(reconciler)

    assert gateway.status_of(unbound) == "canceled"
    assert gateway.status_of(stored.intent) == ("succeeded" if is_ended else "requires_payment_method")
    assert "attempts.close" not in gateway.wire.calls


async def test_an_intent_that_its_buyer_may_pay_is_left_alone(gateway: Gateway, reconciler: Reconciler) -> None:
    """Its initiate may be about to store the attempt; then it grows old enough, and is found without a full pass."""
    orphan = gateway.intents.another(ATTEMPT_ID, MUG)
    reconciler.list_intents()
    reconciler.clock.advance(PAST_AGE - 60)

    await sweep(reconciler)
    before = gateway.status_of(orphan)
    reconciler.clock.advance(120)
    await sweep(reconciler)

    assert (before, gateway.status_of(orphan)) == ("requires_payment_method", "canceled")


async def test_p3_an_orphan_that_is_paid_while_it_is_cancelled_is_quarantined(
    gateway: Gateway, reconciler: Reconciler
) -> None:
    """Its content is lost: a person decides."""
    orphan = gateway.intents.another(ATTEMPT_ID, MUG)
    reconciler.list_intents()
    gateway.intents.pay(orphan)
    reconciler.clock.advance(PAST_AGE)

    await sweep(reconciler)

    assert list(gateway.orders.decisions.values()) == [
        QuarantinedPayment(QuarantineReason.ATTEMPT_MISSING, content_kept=False)
    ]


async def test_p4_an_attempt_that_is_stored_while_its_orphan_is_cancelled_keeps_its_content(
    gateway: Gateway, reconciler: Reconciler
) -> None:
    """A late retry has stored it with another intent, which can be paid: only its own check may end it."""
    orphan = gateway.intents.another(ATTEMPT_ID, MUG)
    reconciler.list_intents()
    reconciler.clock.advance(PAST_AGE)

    async def store() -> None:
        gateway.stored_attempt()

    gateway.wire.meanwhile("attempts.close", store)
    await sweep(reconciler)

    found = await gateway.attempts.find(ATTEMPT_ID)
    assert isinstance(found, Attempt)
    assert (gateway.status_of(orphan), gateway.status_of(found.intent)) == ("canceled", "requires_payment_method")


async def test_an_attempt_that_was_lost_later_is_found_within_a_day(gateway: Gateway, reconciler: Reconciler) -> None:
    """Redis was wiped after a pass had seen the intent with its attempt."""
    stored = gateway.stored_attempt()
    reconciler.list_intents()
    reconciler.clock.advance(PAST_AGE + 3600)
    await sweep(reconciler)
    gateway.attempts.lose(ATTEMPT_ID)

    reconciler.clock.advance(timedelta(days=1).total_seconds())
    await sweep(reconciler)

    assert gateway.status_of(stored.intent) == "canceled"


async def test_an_orphan_that_cannot_be_cancelled_stops_no_other(gateway: Gateway, reconciler: Reconciler) -> None:
    """It is tried again in the next pass."""
    orphans = [gateway.intents.another(attempt_id_of(f"checkout {number}"), MUG) for number in range(250)]
    reconciler.list_intents()
    reconciler.clock.advance(PAST_AGE)
    gateway.wire.meanwhile("intents.cancel", _fail)

    await sweep(reconciler)
    left = [gateway.status_of(each) for each in orphans].count("requires_payment_method")
    await sweep(reconciler)

    assert left == 1
    assert {gateway.status_of(each) for each in orphans} == {"canceled"}


async def _fail() -> None:
    raise StripeUnavailable
