"""orders as operators see it, and refunds at Stripe."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from payments_gateway.domain.attempts import CheckoutContext, IntentRef
from payments_gateway.domain.money import Money
from payments_gateway.domain.purchases import Order, Purchase, QuarantineReason
from payments_gateway.domain.refunds import PaymentRef, Refund, RefundOwner, RefundStatus
from payments_gateway.domain.settlements import (
    KeptContent,
    NotRefunded,
    OperatorAction,
    OperatorStep,
    OrderRefund,
    PaymentPage,
    PaymentState,
    SettledPayment,
    Settlement,
    ShownOrder,
    ShownPayment,
    StepRefused,
)

AT = datetime(2030, 1, 1, 12, tzinfo=UTC)


class FakeStripeRefunds:
    """Stripe's refunds: one for each key, and no more than what was received."""

    def __init__(self, received: Money) -> None:
        self.received = received
        self.by_key: dict[str, Refund] = {}
        self.created_as = RefundStatus.SUCCEEDED

    async def create(self, intent_id: str, amount: Money | None, *, idempotency_key: str) -> Refund:
        if idempotency_key not in self.by_key:
            rest = Money(self.received.minor_units - self.refunded_minor(), self.received.currency)
            payment = PaymentRef(intent_id, None, livemode=False)
            refund = Refund(f"re_{len(self.by_key) + 1}", payment, "ch_1", amount or rest, self.created_as, AT)
            self.by_key[idempotency_key] = refund
        return self.by_key[idempotency_key]

    async def list_refund_ids(self, _owner: RefundOwner, _owner_id: str) -> list[str]:
        return [each.id for each in self.by_key.values()]

    def refunded_minor(self) -> int:
        """Return the sum of the refunds that did not fail."""
        made = [each for each in self.by_key.values() if each.status is not RefundStatus.FAILED]
        return sum(each.amount.minor_units for each in made)


class FakeSettlements:
    """orders: the first settlement stands. It knows the refunds that were mirrored."""

    def __init__(self, state: PaymentState, refunds: FakeStripeRefunds, order: Order) -> None:
        self.state = state
        self.order = order
        self.actions: list[OperatorAction] = []
        self._refunds = refunds
        self._mirrored_minor = 0

    async def sync_payment(self, _intent_id: str) -> None:
        """Mirror what Stripe has refunded."""
        self._mirrored_minor = self._refunds.refunded_minor()
        if self._is_covered() and self.state.resolved_at is None:
            self.state = replace(self.state, reason=QuarantineReason.REFUNDED, resolved_at=AT)

    async def list_quarantined(self, **_page: object) -> PaymentPage:
        return PaymentPage((self.state,), None)

    async def show(self, _intent_id: str, _personal: OperatorStep | None) -> ShownPayment:
        return ShownPayment(self.state, None, tuple(self.actions))

    async def settle(
        self, step: OperatorStep, intent_id: str, settlement: Settlement, _cart: CheckoutContext | None
    ) -> SettledPayment:
        is_resolved = settlement is not Settlement.REFUNDED and self.state.resolved_at is not None
        if self.state.purchase is not None or self.state.settlement is not None or is_resolved:
            return SettledPayment(self.state, already_settled=True)
        if settlement is Settlement.REFUNDED and not self._is_covered():
            raise NotRefunded("not refunded")
        if settlement is not Settlement.REFUNDED and self.state.refund_begun_at is not None:
            raise StepRefused("refund under way")
        if settlement is Settlement.ORDER:
            self.state = PaymentState(self.state.intent, self.state.attempt_id, Purchase(intent_id, self.order))
        else:
            self.state = replace(self.state, settlement=settlement, resolved_at=AT)
        self._record(step, settlement.value)
        return SettledPayment(self.state, already_settled=False)

    async def begin_refund(self, step: OperatorStep, _intent_id: str) -> PaymentState:
        if self.state.stands_as is None and self.state.refund_begun_at is None:
            self.state = replace(self.state, refund_begun_at=AT)
            self._record(step, "begin_refund")
        return self.state

    async def abandon_refund(self, step: OperatorStep, _intent_id: str) -> PaymentState:
        self.state = replace(self.state, refund_begun_at=None)
        self._record(step, "abandon_refund")
        return self.state

    async def find_order(self, _key: str) -> ShownOrder:
        refunded = Money(self._mirrored_minor, self.order.total.currency) if self._mirrored_minor else None
        return ShownOrder(replace(self.order, refunded=refunded), self.state.intent.id, tuple(self.actions))

    async def record_order_refund(self, step: OperatorStep, refund: OrderRefund) -> None:
        after = {
            "amount_minor": refund.amount.minor_units,
            "currency": refund.amount.currency,
            "idempotency_key": refund.idempotency_key,
            "refund_id": refund.refund_id,
            "status": refund.outcome,
        }
        self._record(step, "refund_order", after)

    async def retry_subscription(self, *_arguments: object) -> Any:
        raise NotImplementedError

    async def give_up_subscription(self, *_arguments: object) -> Any:
        raise NotImplementedError

    def _is_covered(self) -> bool:
        return self._mirrored_minor == self._refunds.received.minor_units

    def _record(self, step: OperatorStep, action: str, after: object = None) -> None:
        self.actions.append(OperatorAction(AT, step.operator, action, step.reason, "{}", json.dumps(after or {})))


def quarantined(intent: IntentRef, attempt_id: str, received: Money) -> PaymentState:
    """Return a quarantined payment whose content is kept."""
    return PaymentState(
        intent=intent,
        attempt_id=attempt_id,
        received=received,
        reason=QuarantineReason.AMOUNT_MISMATCH,
        quarantined_at=AT,
        content=KeptContent.READABLE,
    )
