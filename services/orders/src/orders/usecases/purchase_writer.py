"""Writing of a purchase whose decision row is written: its order, its subscriptions and its event."""

from collections.abc import Callable
from datetime import datetime
from typing import Final
from uuid import UUID

from orders.domain.checkout import CheckoutContext
from orders.domain.orders import Order, generate_order_number
from orders.domain.outbox import OutboxEvent
from orders.domain.payments import Payment, PaymentReport
from orders.domain.purchases import Purchase
from orders.domain.refunds import RefundSums
from orders.domain.subscriptions import subscriptions_from_payment
from orders.usecases.unit_of_work import UnitOfWork

_NUMBER_TRIES: Final = 8
_NO_REFUNDS: Final = RefundSums({}, {})


class OrderNumbersExhausted(RuntimeError):
    """Every generated number was taken: nearly all numbers are in use, or the random numbers repeat."""


class PurchaseWriter:
    """Writes purchases within a unit of work."""

    def __init__(self, new_id: Callable[[], UUID], random_below: Callable[[int], int]) -> None:
        self._new_id = new_id
        self._random_below = random_below

    async def write_first_report(
        self, unit: UnitOfWork, payment: Payment, context: CheckoutContext, report: PaymentReport, *, at: datetime
    ) -> Purchase | None:
        """Decide and write a purchase that is one order, in one statement, if nothing is known of its intent yet.

        None, and nothing is written, if it takes more than that. The locks of intent and attempt are held.
        """
        if len(context.one_time_items) < len(context.items):
            return None
        order = self._new_order(payment, context, _NO_REFUNDS, at=at)
        purchase = Purchase(payment.attempt_id, payment.intent, order)
        event = OutboxEvent.purchase_recorded(purchase)
        written = await unit.purchases.decide_with_order(payment, context, report, order, event)
        return purchase if written else None

    async def write(
        self,
        unit: UnitOfWork,
        payment: Payment,
        context: CheckoutContext,
        sums: RefundSums,
        *,
        at: datetime,
        adjustment_minor: int = 0,
    ) -> Purchase:
        """Write the purchase, with what was refunded before. The decision row is written."""
        order = None
        if context.one_time_items:
            order = await self._add_order(unit, payment, context, sums, at=at, adjustment_minor=adjustment_minor)
        subscriptions = subscriptions_from_payment(payment, context, at=at)
        await unit.subscriptions.add(subscriptions, context)
        purchase = Purchase(payment.attempt_id, payment.intent, order, subscriptions)
        await unit.enqueue_event(OutboxEvent.purchase_recorded(purchase), at)
        return purchase

    async def _add_order(
        self,
        unit: UnitOfWork,
        payment: Payment,
        context: CheckoutContext,
        sums: RefundSums,
        *,
        at: datetime,
        adjustment_minor: int,
    ) -> Order:
        for _ in range(_NUMBER_TRIES):
            order = self._new_order(payment, context, sums, at=at, adjustment_minor=adjustment_minor)
            if await unit.purchases.add_order(order):
                return order
        raise OrderNumbersExhausted

    def _new_order(
        self,
        payment: Payment,
        context: CheckoutContext,
        sums: RefundSums,
        *,
        at: datetime,
        adjustment_minor: int = 0,
    ) -> Order:
        return Order.from_payment(
            payment,
            context,
            sums,
            order_id=self._new_id(),
            number=generate_order_number(self._random_below),
            at=at,
            adjustment_minor=adjustment_minor,
        )
