"""Recording purchases (P3) and reading them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from orders.domain.checkout import AttemptContent, CheckoutContext
from orders.domain.orders import Order
from orders.domain.pagination import Cursor, Page, PageRequest, paginate
from orders.domain.payments import Payment, PaymentReport
from orders.domain.purchases import DecisionResult, Purchase, QuarantinedPayment, QuarantineReason
from orders.domain.refunds import RefundSums
from orders.usecases.alerts import alert
from orders.usecases.purchase_writer import PurchaseWriter
from orders.usecases.quarantine import keep_existing, quarantine
from orders.usecases.unit_of_work import UnitOfWork, UnitOfWorkFactory


class PurchaseNotFound(LookupError):
    """The attempt has no purchase."""


class OrderNotFound(LookupError):
    """There is no such order."""


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
        writer: PurchaseWriter,
    ) -> None:
        self._begin = begin
        self._now = now
        self._writer = writer

    async def record(self, paid: PaidAttempt) -> DecisionResult:
        """Record the purchase, or return the decision that exists for this intent (P3)."""
        async with self._begin() as unit:
            result = await self._decide(unit, paid, self._now())
            await unit.commit()
        alert(result)
        return result

    async def _decide(self, unit: UnitOfWork, paid: PaidAttempt, at: datetime) -> DecisionResult:
        await unit.lock_intent_and_attempt(paid.payment.intent.id, paid.payment.attempt_id)
        if purchase := await self._writer.write_first_report(unit, paid.payment, paid.context, paid.report, at=at):
            return DecisionResult(purchase, already_recorded=False)
        sums = await unit.refunds.sums_of(paid.payment.intent.id)
        if sums.cover(paid.payment.received):  # Nothing is shipped for money that was given back.
            return await quarantine(unit, await _refunded(unit, paid, at))
        # The decision row comes first: nothing else may be written without it (P3).
        if await unit.purchases.decide_purchase(paid.payment, paid.context, paid.report, at):
            return await self._write(unit, paid, sums, at)
        existing = await unit.purchases.lock_decision(paid.payment.intent.id)
        if existing is None:  # Another intent has the attempt's purchase.
            return await quarantine(unit, _duplicate(paid, at))
        if isinstance(existing, QuarantinedPayment) and await unit.purchases.promote_to_purchase(
            paid.payment, paid.context, paid.report, at
        ):
            return await self._write(unit, paid, sums, at)
        return await keep_existing(unit, _duplicate(paid, at), existing)

    async def _write(self, unit: UnitOfWork, paid: PaidAttempt, sums: RefundSums, at: datetime) -> DecisionResult:
        purchase = await self._writer.write(unit, paid.payment, paid.context, sums, at=at)
        return DecisionResult(purchase, already_recorded=False)


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
