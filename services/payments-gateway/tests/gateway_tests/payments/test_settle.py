"""Settlements of an operator: refund at Stripe, the attempt's end, and kills between the steps (ADR 42)."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest

from payments_gateway.domain.attempts import Attempt, DeleteReason, Tombstone
from payments_gateway.domain.intents import IntentStatus
from payments_gateway.domain.money import Money
from payments_gateway.domain.purchases import Order, OrderStatus
from payments_gateway.domain.refunds import RefundStatus
from payments_gateway.domain.settlements import (
    KeptContent,
    NotRefunded,
    RefundRefused,
    SettledPayment,
    Settlement,
    StepRefused,
)
from payments_gateway.domain.stripe_errors import IdempotencyKeyExhausted
from payments_gateway.payments.settle import SettlePayment, SettleRequest

from ..assembly import Gateway
from ..fake_settlements import FakeSettlements, FakeStripeRefunds, quarantined
from ..fakes import Crash, wired
from ..samples import ADA, ATTEMPT_ID, CONTEXT

PAID = Money(CONTEXT.total.minor_units - 100, CONTEXT.total.currency)
ORDER = Order(
    id="00000000-0000-4000-8000-000000000001",
    number="H-0001",
    checkout_attempt_id=ATTEMPT_ID,
    user_id=None,
    status=OrderStatus.PAID,
    total=PAID,
    contact=ADA,
    shipping_address=None,
    shipping_option=None,
    items=(),
    created_at=datetime(2030, 1, 1, tzinfo=UTC),
)
STEPS_OF_A_REFUND = 9


@dataclass(frozen=True)
class Desk:
    """A quarantined payment whose attempt is kept, and what an operator reaches."""

    gateway: Gateway
    attempt: Attempt
    refunds: FakeStripeRefunds
    settlements: FakeSettlements

    async def settle(self, settlement: Settlement, *, with_refund: bool = False) -> SettledPayment:
        """Settle the payment, as a process of its own."""
        gateway = self.gateway
        refunds = wired(gateway.wire, "stripe_refunds", self.refunds)
        settlements = wired(gateway.wire, "settlements", self.settlements)
        use_case = SettlePayment(
            settlements=settlements,
            attempts=gateway.attempts,
            intents=gateway.intents,
            refunds=refunds,
            refund_lister=refunds,
            mirror=settlements,
            activation=gateway.activation,
        )
        intent_id = self.settlements.state.intent.id
        return await use_case.settle(SettleRequest("ada", "why", intent_id, settlement, with_refund=with_refund))

    @property
    def delete_reason(self) -> DeleteReason | None:
        """Reason for which the attempt was deleted; None while it is kept."""
        found = self.gateway.attempts.at(ATTEMPT_ID)
        return found.reason if isinstance(found, Tombstone) else None

    @property
    def steps(self) -> list[str]:
        """Steps that orders recorded."""
        return [each.action for each in self.settlements.actions]


@pytest.fixture
def desk(gateway: Gateway) -> Desk:
    """Quarantine a payment of another amount than its attempt's."""
    stored = gateway.stored_attempt()
    gateway.intents.pay(stored.intent, PAID)
    refunds = FakeStripeRefunds(PAID)
    return Desk(gateway, stored, refunds, FakeSettlements(quarantined(stored.intent, ATTEMPT_ID, PAID), refunds, ORDER))


async def test_p4_the_attempt_is_deleted_once_its_payment_is_settled(desk: Desk) -> None:
    """Not before."""
    await desk.settle(Settlement.ORDER)

    calls = desk.gateway.wire.calls
    assert desk.delete_reason is DeleteReason.RECORDED
    assert calls.index("settlements.settle") < calls.index("attempts.delete")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (KeptContent.READABLE, DeleteReason.QUARANTINED),
        (KeptContent.UNREADABLE, None),
        (KeptContent.NONE, None),
    ],
)
async def test_p4_an_attempt_without_readable_kept_content_outlives_a_write_off(
    desk: Desk, content: KeptContent, reason: DeleteReason | None
) -> None:
    """Nothing else has the cart: it turned up late, or its key may be found."""
    desk.settlements.state = replace(desk.settlements.state, content=content)

    await desk.settle(Settlement.WRITTEN_OFF)

    assert desk.delete_reason is reason


@pytest.mark.parametrize("settlement", [Settlement.ORDER, Settlement.WRITTEN_OFF])
async def test_an_order_of_another_intent_ends_the_attempts_own(desk: Desk, settlement: Settlement) -> None:
    """The buyer cannot pay a second time. Without an order, that intent is the buyer's to pay."""
    own = desk.gateway.intents.another(ATTEMPT_ID, CONTEXT.total)
    desk.gateway.attempts.put(replace(desk.attempt, intent=own))

    await desk.settle(settlement)

    is_order = settlement is Settlement.ORDER
    assert desk.delete_reason is (DeleteReason.RECORDED if is_order else None)
    status = desk.gateway.status_of(own)
    assert status == (IntentStatus.CANCELED if is_order else IntentStatus.REQUIRES_PAYMENT_METHOD)


async def test_p4_an_attempt_whose_own_intent_was_paid_meanwhile_is_left_to_its_report(desk: Desk) -> None:
    """That quarantines the second payment with its content."""
    own = desk.gateway.intents.another(ATTEMPT_ID, CONTEXT.total)
    desk.gateway.attempts.put(replace(desk.attempt, intent=own))
    desk.gateway.intents.refuse_cancels(IntentStatus.SUCCEEDED)

    await desk.settle(Settlement.ORDER)

    assert desk.delete_reason is None


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("position", range(STEPS_OF_A_REFUND))
async def test_a_refund_that_was_killed_anywhere_is_finished_by_a_repeat(
    desk: Desk, position: int, *, after_effect: bool
) -> None:
    """Stripe refunds once, and the attempt is deleted in the end."""
    desk.gateway.wire.fail(position, Crash(), after_effect=after_effect)
    with pytest.raises(Crash):
        await desk.settle(Settlement.REFUNDED, with_refund=True)
    desk.gateway.wire.heal()

    settled = await desk.settle(Settlement.REFUNDED, with_refund=True)

    assert settled.state.stands_as is Settlement.REFUNDED
    assert [each.amount for each in desk.refunds.by_key.values()] == [PAID]
    assert desk.delete_reason is DeleteReason.QUARANTINED


async def test_kills_cover_every_call_of_a_refund(desk: Desk) -> None:
    """The test above names their number."""
    await desk.settle(Settlement.REFUNDED, with_refund=True)

    assert len(desk.gateway.wire.calls) == STEPS_OF_A_REFUND


async def test_a_refund_is_recorded_before_stripe_is_asked(desk: Desk) -> None:
    """So that no other operator makes an order meanwhile."""

    async def settle_as_order() -> None:
        with pytest.raises(StepRefused, match="under way"):
            await desk.settle(Settlement.ORDER)

    desk.gateway.wire.meanwhile("stripe_refunds.create", settle_as_order)

    await desk.settle(Settlement.REFUNDED, with_refund=True)

    assert desk.steps == ["begin_refund", "refunded"]


async def test_a_refund_that_stripe_refuses_is_given_up(desk: Desk) -> None:
    """The payment may be settled otherwise again."""
    desk.gateway.wire.fail("stripe_refunds.create", RefundRefused("charge_disputed"))

    with pytest.raises(RefundRefused, match="charge_disputed"):
        await desk.settle(Settlement.REFUNDED, with_refund=True)

    assert desk.steps == ["begin_refund", "abandon_refund"]
    assert (await desk.settle(Settlement.ORDER)).state.purchase is not None


async def test_a_refund_that_orders_lacks_bars_an_order(desk: Desk) -> None:
    """Stripe has it, with a status that this version does not know: no order stands beside money given back."""
    desk.gateway.wire.fail("stripe_refunds.create", RefundRefused("charge_already_refunded"))

    with pytest.raises(RefundRefused, match="charge_already_refunded"):
        await desk.settle(Settlement.REFUNDED, with_refund=True)

    assert desk.steps == ["begin_refund"]
    with pytest.raises(StepRefused, match="under way"):
        await desk.settle(Settlement.ORDER)


async def test_money_that_was_given_back_becomes_no_order(desk: Desk) -> None:
    """A refund of the Dashboard counts, also one whose webhook has not come yet."""
    await desk.refunds.create(desk.attempt.intent.id, None, idempotency_key="of the Dashboard")

    settled = await desk.settle(Settlement.ORDER)

    assert settled.state.stands_as is Settlement.REFUNDED
    assert settled.state.purchase is None


async def test_a_refund_that_fails_at_once_is_given_up_and_may_be_made_again(desk: Desk) -> None:
    """Under another key: the first one would replay the failure."""
    desk.refunds.created_as = RefundStatus.FAILED
    with pytest.raises(NotRefunded):
        await desk.settle(Settlement.REFUNDED, with_refund=True)
    desk.refunds.created_as = RefundStatus.SUCCEEDED

    settled = await desk.settle(Settlement.REFUNDED, with_refund=True)

    assert desk.steps == ["begin_refund", "abandon_refund", "begin_refund", "refunded"]
    assert settled.state.stands_as is Settlement.REFUNDED


async def test_a_failure_that_stripe_stored_moves_to_another_key(desk: Desk) -> None:
    """The refund may have been made before the failure: it is looked for first."""
    wire = desk.gateway.wire
    wire.fail("stripe_refunds.create", IdempotencyKeyExhausted(), after_effect=True)

    settled = await desk.settle(Settlement.REFUNDED, with_refund=True)

    assert settled.state.stands_as is Settlement.REFUNDED
    assert len(desk.refunds.by_key) == 1


async def test_without_refund_stripe_is_only_read(desk: Desk) -> None:
    """A refund of the Dashboard counts, also one whose webhook has not come yet."""
    with pytest.raises(NotRefunded):
        await desk.settle(Settlement.REFUNDED)
    await desk.refunds.create(desk.attempt.intent.id, None, idempotency_key="of the Dashboard")

    settled = await desk.settle(Settlement.REFUNDED)

    assert settled.state.stands_as is Settlement.REFUNDED
    assert list(desk.refunds.by_key) == ["of the Dashboard"]
