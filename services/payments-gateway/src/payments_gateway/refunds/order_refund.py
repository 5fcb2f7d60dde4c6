"""Refunds an order as an operator decides, once for each key (ADR 42).

The key names the order, the amount and a number: two operators who ask for the same refund share it, and another one of
the same amount needs another number. orders records the step before Stripe is asked, and again with Stripe's answer, so
a repeat finds what was done.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Final

from payments_gateway.domain.money import Money
from payments_gateway.domain.refunds import PaymentRefunds
from payments_gateway.domain.settlements import (
    OperatorAction,
    OperatorStep,
    OrderRefund,
    RefundCreator,
    RefundRefused,
    SettlementsPort,
    ShownOrder,
    StepRefused,
)
from payments_gateway.domain.stripe_errors import IdempotencyKeyReused

_KEY_TRUSTED_FOR: Final = timedelta(hours=12)
"""Stripe may forget an idempotency key after 24 hours; half of that leaves room for clock skew."""
_REFUNDED_BEFORE: Final = "refunded_before"
"""Outcome where nothing is left to refund."""


@dataclass(frozen=True, slots=True)
class OrderRefundRequest:
    """Refund that an operator asks for."""

    operator: str
    reason: str
    order: str
    """Number or id."""
    amount_minor: int | None
    """None for all that is not refunded yet."""
    number: int = 1
    """Distinguishes refunds of one amount."""
    idempotency_key: str | None = None
    """None to derive it from the order, the amount and the number."""

    def step(self) -> OperatorStep:
        """Return a new step of this operator."""
        return OperatorStep(self.operator, self.reason)


class RefundOrder:
    """Refunds one order, or a part of it."""

    def __init__(
        self,
        settlements: SettlementsPort,
        refunds: RefundCreator,
        mirror: PaymentRefunds,
        now: Callable[[], datetime],
    ) -> None:
        self._settlements = settlements
        self._refunds = refunds
        self._mirror = mirror
        self._now = now

    async def refund(self, request: OrderRefundRequest) -> OrderRefund:
        """Refund an order, or return the refund that was made under the same key.

        Raises StepRefused, InvalidRequest, StripeUnavailable, ServiceUnavailable; the call may be repeated.
        """
        shown = await self._settlements.find_order(request.order)
        await self._mirror.sync_payment(shown.intent_id)
        shown = await self._settlements.find_order(shown.order.id)
        refund = self._refund_of(request, shown)
        if refund.outcome is None:
            await self._settlements.record_order_refund(request.step(), refund)
            refund = await self._create(request, shown.intent_id, refund)
        return refund

    async def _create(self, request: OrderRefundRequest, intent_id: str, refund: OrderRefund) -> OrderRefund:
        try:
            created = await self._refunds.create(intent_id, refund.amount, idempotency_key=refund.idempotency_key)
        except IdempotencyKeyReused:
            raise StepRefused(f"key {refund.idempotency_key} was used for another refund") from None
        except RefundRefused as refused:
            await self._settlements.record_order_refund(request.step(), replace(refund, outcome=str(refused)))
            raise
        await self._mirror.sync_payment(intent_id)
        done = replace(refund, refund_id=created.id, outcome=created.status.value)
        await self._settlements.record_order_refund(request.step(), done)
        return done

    def _refund_of(self, request: OrderRefundRequest, shown: ShownOrder) -> OrderRefund:
        """Return the refund to ask for; with an outcome if there is nothing to ask for."""
        order, recorded = shown.order, _recorded(order_id=shown.order.id, actions=shown.actions)
        remaining = order.total.minor_units - (order.refunded.minor_units if order.refunded else 0)
        key = request.idempotency_key or self._key_of(request, order.id, remaining, recorded)
        if key in recorded:
            return self._repeated(recorded[key], request.amount_minor)
        if request.amount_minor is None and remaining == 0 and order.refunded is not None:
            return OrderRefund(order.id, order.refunded, "-", outcome=_REFUNDED_BEFORE)
        amount_minor = remaining if request.amount_minor is None else request.amount_minor
        if not 0 < amount_minor <= remaining:
            raise StepRefused(f"only {remaining} {order.total.currency} of the order are not refunded yet")
        return OrderRefund(order.id, Money(amount_minor, order.total.currency), key)

    def _key_of(
        self, request: OrderRefundRequest, order_id: str, remaining: int, recorded: Mapping[str, "_Recorded"]
    ) -> str:
        if request.amount_minor is not None:
            return _key(order_id, request.amount_minor, request.number)
        # The rest is what Stripe says that it is: a finished refund of the same amount is another one, and one that was
        # begun for another amount is not the rest. Stripe refuses more than all, so no number can refund twice.
        begun = (key for key, each in recorded.items() if self._may_finish(each, remaining))
        numbered = (_key(order_id, remaining, number) for number in count(request.number))
        return next(begun, None) or next(key for key in numbered if key not in recorded)

    def _may_finish(self, recorded: "_Recorded", remaining: int) -> bool:
        """Return True for a refund that was begun, and that is the rest or all that there was."""
        is_open = recorded.refund.outcome is None and not recorded.refused and not self._is_forgotten(recorded)
        return is_open and remaining in (0, recorded.refund.amount.minor_units)

    def _repeated(self, recorded: "_Recorded", amount_minor: int | None) -> OrderRefund:
        key = recorded.refund.idempotency_key
        if amount_minor not in (None, recorded.refund.amount.minor_units):
            raise StepRefused(f"key {key} was used for another refund")
        if self._is_forgotten(recorded):
            raise StepRefused(
                f"the refund under key {key} was begun long ago and not finished: look whether Stripe has it, then "
                "give another --number"
            )
        return recorded.refund

    def _is_forgotten(self, recorded: "_Recorded") -> bool:
        return recorded.refund.refund_id is None and self._now() - recorded.at > _KEY_TRUSTED_FOR


@dataclass(frozen=True, slots=True)
class _Recorded:
    at: datetime
    """Time of its first step."""
    refund: OrderRefund
    refused: bool
    """True if Stripe refused it the last time."""


def _key(order_id: str, amount_minor: int, number: int) -> str:
    return f"refund:{order_id}:{amount_minor}:{number}"


def _recorded(order_id: str, actions: tuple[OperatorAction, ...]) -> dict[str, _Recorded]:
    """Return the refunds that operators asked for, by their keys. One that Stripe refused may be asked for again."""
    recorded: dict[str, _Recorded] = {}
    for action in actions:
        after: dict[str, Any] = json.loads(action.after)
        key, refund_id = str(after["idempotency_key"]), after["refund_id"]
        outcome = after["status"] if refund_id is not None else None
        refund = OrderRefund(order_id, Money(after["amount_minor"], after["currency"]), key, refund_id, outcome)
        refused = refund_id is None and after["status"] is not None
        recorded[key] = _Recorded(recorded[key].at if key in recorded else action.at, refund, refused)
    return recorded
