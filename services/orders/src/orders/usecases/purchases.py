"""Recording purchases (P3) and reading them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from orders.domain.checkout import AttemptContent, CheckoutContext
from orders.domain.orders import Order, generate_order_number
from orders.domain.outbox import OutboxEvent
from orders.domain.pagination import Cursor, Page, PageRequest, paginate
from orders.domain.payments import Payment, PaymentReport
from orders.domain.purchases import DecisionResult, Purchase, QuarantinedPayment, QuarantineReason
from orders.domain.refunds import RefundSums
from orders.domain.subscriptions import subscriptions_from_payment
from orders.usecases.alerts import alert
from orders.usecases.quarantine import keep_existing, quarantine
from orders.usecases.unit_of_work import UnitOfWork, UnitOfWorkFactory

_NUMBER_TRIES: Final = 8


class PurchaseNotFound(LookupError):
    """The attempt has no purchase."""


class OrderNotFound(LookupError):
    """There is no such order."""


class OrderNumbersExhausted(RuntimeError):
    """Every generated number was taken: nearly all numbers are in use, or the random numbers repeat."""


@dataclass(frozen=True, slots=True)
class PaidAttempt:
    """Succeeded intent with the validated content of its attempt, whose sums agree (P5).

    `content` is the same content in serialized form, in case the payment must be quarantined.
    """

    payment: Payment
    context: CheckoutContext
    content: AttemptContent
    report: PaymentReport


class PurchaseRecorder:
    """Turns a paid attempt into its purchase, once."""

    def __init__(
        self,
        begin: UnitOfWorkFactory,
        now: Callable[[], datetime],
        new_id: Callable[[], UUID],
        random_below: Callable[[int], int],
    ) -> None:
        self._begin = begin
        self._now = now
        self._new_id = new_id
        self._random_below = random_below

    async def record(self, paid: PaidAttempt) -> DecisionResult:
        """Record the purchase, or return the decision that exists for this intent (P3)."""
        async with self._begin() as unit:
            result = await self._decide(unit, paid, self._now())
            await unit.commit()
        alert(result)
        return result

    async def _decide(self, unit: UnitOfWork, paid: PaidAttempt, at: datetime) -> DecisionResult:
        await unit.lock_intent(paid.payment.intent.id)
        await unit.lock_attempt(paid.payment.attempt_id)
        sums = await unit.refunds.sums_of(paid.payment.intent.id)
        if sums.cover(paid.payment.received):  # Nothing is shipped for money that was given back.
            return await quarantine(unit, await _refunded(unit, paid, at))
        # The decision row comes first: nothing else may be written without it (P3).
        if await unit.purchases.decide_purchase(paid.payment, paid.context, paid.report, at):
            return await self._write_purchase(unit, paid, sums, at)
        existing = await unit.purchases.lock_decision(paid.payment.intent.id)
        if existing is None:  # Another intent has the attempt's purchase.
            return await quarantine(unit, _duplicate(paid, at))
        if isinstance(existing, QuarantinedPayment) and await unit.purchases.promote_to_purchase(
            paid.payment, paid.context, paid.report, at
        ):
            return await self._write_purchase(unit, paid, sums, at)
        return await keep_existing(unit, _duplicate(paid, at), existing)

    async def _write_purchase(
        self, unit: UnitOfWork, paid: PaidAttempt, sums: RefundSums, at: datetime
    ) -> DecisionResult:
        order = await self._add_order(unit, paid, sums, at) if paid.context.one_time_items else None
        subscriptions = subscriptions_from_payment(paid.payment, paid.context, new_id=self._new_id, at=at)
        await unit.subscriptions.add(subscriptions, paid.context)
        purchase = Purchase(paid.payment.attempt_id, paid.payment.intent, order, subscriptions)
        await unit.enqueue_event(OutboxEvent.purchase_recorded(purchase), at)
        return DecisionResult(purchase, already_recorded=False)

    async def _add_order(self, unit: UnitOfWork, paid: PaidAttempt, sums: RefundSums, at: datetime) -> Order:
        for _ in range(_NUMBER_TRIES):
            number = generate_order_number(self._random_below)
            order = Order.from_payment(paid.payment, paid.context, sums, order_id=self._new_id(), number=number, at=at)
            if await unit.purchases.add_order(order):
                return order
        raise OrderNumbersExhausted


class PurchaseReader:
    """Reads purchases and orders."""

    def __init__(self, begin: UnitOfWorkFactory) -> None:
        self._begin = begin

    async def get_purchase(self, attempt_id: str) -> Purchase:
        """Return the purchase of an attempt. Raises PurchaseNotFound."""
        async with self._begin() as unit:
            purchase = await unit.purchases.find_purchase(attempt_id)
        if purchase is None:
            raise PurchaseNotFound
        return purchase

    async def get_order(self, order_id: UUID) -> Order:
        """Return one order. Raises OrderNotFound."""
        async with self._begin() as unit:
            order = await unit.purchases.find_order(order_id)
        if order is None:
            raise OrderNotFound
        return order

    async def list_orders(self, user_id: str, request: PageRequest) -> Page[Order]:
        """Return a user's orders, newest first."""
        async with self._begin() as unit:
            rows = await unit.purchases.list_orders(user_id, request.after, request.size + 1)
        return paginate(rows, request.size, lambda order: Cursor(order.created_at, str(order.id)))


def _duplicate(paid: PaidAttempt, at: datetime) -> QuarantinedPayment:
    return QuarantinedPayment(paid.payment, QuarantineReason.DUPLICATE_PAYMENT, paid.content, paid.report, at)


async def _refunded(unit: UnitOfWork, paid: PaidAttempt, at: datetime) -> QuarantinedPayment:
    """Build the decision, with what the payment would have become without the refund."""
    if await unit.purchases.has_other_purchase(paid.payment.attempt_id, paid.payment.intent.id):
        return _duplicate(paid, at).refunded(at)
    reason = QuarantineReason.REFUNDED
    return QuarantinedPayment(paid.payment, reason, paid.content, paid.report, at).refunded(at)
