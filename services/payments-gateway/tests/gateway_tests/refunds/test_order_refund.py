"""Refunds of orders by operators: once for each amount and number (ADR 42)."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import pytest

from payments_gateway.domain.attempts import IntentKind, IntentRef
from payments_gateway.domain.money import Money
from payments_gateway.domain.refunds import RefundStatus
from payments_gateway.domain.settlements import OrderRefund, RefundRefused, StepRefused
from payments_gateway.refunds.order_refund import OrderRefundRequest, RefundOrder

from ..fake_settlements import AT, FakeSettlements, FakeStripeRefunds, quarantined
from ..fakes import Crash, Wire, wired
from ..payments.test_settle import ORDER
from ..samples import ATTEMPT_ID

TOTAL = ORDER.total
CALLS = 7


@dataclass
class Desk:
    """An order, and what an operator reaches."""

    wire: Wire
    refunds: FakeStripeRefunds
    settlements: FakeSettlements
    now = AT

    async def refund(self, amount: int | None = None, number: int = 1, key: str | None = None) -> OrderRefund:
        """Refund the order, as a process of its own."""
        settlements = wired(self.wire, "settlements", self.settlements)
        refunds = wired(self.wire, "stripe_refunds", self.refunds)
        use_case = RefundOrder(settlements, refunds, settlements, lambda: self.now)
        return await use_case.refund(OrderRefundRequest("ada", "why", ORDER.number, amount, number, key))

    @property
    def amounts(self) -> list[int]:
        """Amounts that Stripe refunded."""
        return [each.amount.minor_units for each in self.refunds.by_key.values()]


@pytest.fixture
def desk() -> Desk:
    """Record an order."""
    refunds = FakeStripeRefunds(TOTAL)
    state = quarantined(IntentRef("pi_1", IntentKind.PAYMENT), ATTEMPT_ID, TOTAL)
    return Desk(Wire(), refunds, FakeSettlements(state, refunds, ORDER))


async def test_a_refund_is_recorded_before_and_after_stripe(desk: Desk) -> None:
    """With its key, and with Stripe's answer."""
    done = await desk.refund(500)

    assert done == OrderRefund(ORDER.id, Money(500, "usd"), f"refund:{ORDER.id}:500:1", "re_1", "succeeded")
    calls = desk.wire.calls
    assert calls[calls.index("stripe_refunds.create") - 1] == "settlements.record_order_refund"
    assert calls[-1] == "settlements.record_order_refund"


@pytest.mark.parametrize("amount", [500, None])
@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("position", range(CALLS))
async def test_a_refund_that_was_killed_anywhere_is_finished_by_a_repeat(
    desk: Desk, amount: int | None, position: int, *, after_effect: bool
) -> None:
    """Stripe refunds once."""
    desk.wire.fail(position, Crash(), after_effect=after_effect)
    with pytest.raises(Crash):
        await desk.refund(amount)
    desk.wire.heal()

    await desk.refund(amount)

    assert desk.amounts == [amount or TOTAL.minor_units]


async def test_two_operators_who_ask_for_the_same_refund_make_one(desk: Desk) -> None:
    """At once or one after the other; another one of the amount has another number."""
    both = await asyncio.gather(desk.refund(500), desk.refund(500))
    later = await desk.refund(500)
    second = await desk.refund(500, number=2)

    assert {each.refund_id for each in (*both, later)} == {"re_1"}
    assert second.refund_id == "re_2"
    assert desk.amounts == [500, 500]


async def test_the_rest_of_an_order_is_refunded_once(desk: Desk) -> None:
    """A repeat says so, and is no error."""
    await desk.refund(500)

    rest = await desk.refund()
    again = await desk.refund()

    assert rest.amount.minor_units == TOTAL.minor_units - 500
    assert (again.refund_id, again.outcome) == (None, "refunded_before")
    assert sum(desk.amounts) == TOTAL.minor_units


async def test_the_rest_is_refunded_after_a_part_of_the_same_amount(desk: Desk) -> None:
    """That part is no repeat of it."""
    half = TOTAL.minor_units // 2
    await desk.refund(half)

    rest = await desk.refund()

    assert rest.refund_id == "re_2"
    assert desk.amounts == [half, half]


async def test_the_rest_is_refunded_again_after_its_refund_failed(desk: Desk) -> None:
    """The number goes up by itself."""
    desk.refunds.created_as = RefundStatus.FAILED
    failed = await desk.refund()
    desk.refunds.created_as = RefundStatus.SUCCEEDED

    rest = await desk.refund()

    assert (failed.outcome, rest.outcome) == ("failed", "succeeded")
    assert desk.refunds.refunded_minor() == TOTAL.minor_units


@pytest.mark.parametrize("failure", [RefundRefused("charge_disputed"), Crash()])
async def test_the_rest_is_all_whatever_part_was_begun(desk: Desk, failure: Exception) -> None:
    """A part that was refused or killed does not take its place, and does not bar it for ever."""
    desk.wire.fail("stripe_refunds.create", failure)
    with pytest.raises(type(failure)):
        await desk.refund(500)
    desk.wire.heal()

    rest = await desk.refund()

    assert rest.amount == TOTAL
    assert desk.amounts == [TOTAL.minor_units]


async def test_a_key_of_another_amount_is_refused(desk: Desk) -> None:
    """Nothing was refunded for this request."""
    await desk.refund(500, key="of ada")

    with pytest.raises(StepRefused, match="another refund"):
        await desk.refund(300, key="of ada")


async def test_more_than_what_is_left_is_refused(desk: Desk) -> None:
    """Before Stripe is asked."""
    await desk.refund(500)

    with pytest.raises(StepRefused, match="only 2700 usd"):
        await desk.refund(TOTAL.minor_units)

    assert desk.amounts == [500]


async def test_a_refusal_of_stripes_is_recorded_and_may_be_repeated(desk: Desk) -> None:
    """The key stays: Stripe knows what it did under it."""
    desk.wire.fail("stripe_refunds.create", RefundRefused("charge_disputed"))
    with pytest.raises(RefundRefused):
        await desk.refund(500)
    desk.wire.heal()

    done = await desk.refund(500)

    assert done.refund_id == "re_1"
    assert '"charge_disputed"' in desk.settlements.actions[1].after


async def test_a_key_that_stripe_may_have_forgotten_is_not_used(desk: Desk) -> None:
    """A person looks first: the refund may have been made."""
    desk.wire.fail("stripe_refunds.create", Crash(), after_effect=True)
    with pytest.raises(Crash):
        await desk.refund(500)
    desk.wire.heal()
    desk.now = AT + timedelta(hours=13)

    with pytest.raises(StepRefused, match="long ago"):
        await desk.refund(500)

    assert desk.amounts == [500]
