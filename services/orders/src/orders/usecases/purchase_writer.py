"""Writing of a purchase whose decision row is written: its order, its subscriptions and its event."""

from collections.abc import Callable
from datetime import datetime
from typing import Final
from uuid import UUID

from orders.domain.checkout import CheckoutContext
from orders.domain.orders import Order, generate_order_number
from orders.domain.outbox import OutboxEvent
from orders.domain.payments import Payment
from orders.domain.purchases import Purchase
from orders.domain.refunds import RefundSums
from orders.domain.subscriptions import subscriptions_from_payment
from orders.usecases.unit_of_work import UnitOfWork

_NUMBER_TRIES: Final = 8


class OrderNumbersExhausted(RuntimeError):
    """Every generated number was taken: nearly all numbers are in use, or the random numbers repeat."""


class PurchaseWriter:
    """Writes purchases within a unit of work."""

    def __init__(self, new_id: Callable[[], UUID], random_below: Callable[[int], int]) -> None:
        self._new_id = new_id
        self._random_below = random_below

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
            order = Order.from_payment(
                payment,
                context,
                sums,
                order_id=self._new_id(),
                number=generate_order_number(self._random_below),
                at=at,
                adjustment_minor=adjustment_minor,
            )
            if await unit.purchases.add_order(order):
                return order
        raise OrderNumbersExhausted
