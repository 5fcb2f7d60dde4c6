"""Settling quarantined payments as an operator decides, under the lock of decisions and refunds (ADR 27, ADR 42)."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orders.domain.checkout import AttemptContent, CheckoutContext
from orders.domain.outbox import OutboxEvent
from orders.domain.pagination import Cursor, Page, PageRequest, paginate
from orders.domain.payments import Payment
from orders.domain.purchases import Decision, Purchase, QuarantinedPayment
from orders.domain.settlements import OperatorAction, OperatorStep, OperatorVerb, Settlement
from orders.usecases.purchase_writer import PurchaseWriter
from orders.usecases.refunds import PaymentNotFound
from orders.usecases.unit_of_work import UnitOfWork, UnitOfWorkFactory
from servicekit.violations import FieldViolation, InvalidRequest

_log = logging.getLogger(__name__)


class RefundUnderWay(Exception):
    """An operator began to refund the payment. It is settled in no other way until the refund is there or given up."""


class NotRefunded(Exception):
    """The refunds do not cover what was received."""


class NothingReceived(Exception):
    """No money was received that could be refunded."""


class CartRequired(Exception):
    """No readable content is kept with the payment."""


class AttemptHasPurchase(Exception):
    """Another intent has the purchase of the attempt."""


class PaymentErased(Exception):
    """The personal data of the payment was erased: it becomes no purchase."""


@dataclass(frozen=True, slots=True)
class SettlementRequest:
    """Settlement that an operator asks for. `supplied` is the operator's cart; None for the kept content."""

    step: OperatorStep
    intent_id: str
    settlement: Settlement
    supplied: AttemptContent | None = None


@dataclass(frozen=True, slots=True)
class SettlementResult:
    """Decision that stands. `already_settled` is True if the call did not change it."""

    decision: Decision
    already_settled: bool


@dataclass(frozen=True, slots=True)
class ShownPayment:
    """Decision on an intent, and the steps of operators about it."""

    decision: Decision
    actions: Sequence[OperatorAction]


ContentReader = Callable[[AttemptContent, Payment], CheckoutContext]
"""Reads the content of a payment, kept or supplied. Raises InvalidRequest if it is no valid purchase."""


class SettlementService:
    """Settles quarantined payments, and shows them to operators."""

    def __init__(
        self, begin: UnitOfWorkFactory, now: Callable[[], datetime], writer: PurchaseWriter, read_content: ContentReader
    ) -> None:
        self._begin = begin
        self._now = now
        self._writer = writer
        self._read_content = read_content

    async def settle(self, request: SettlementRequest) -> SettlementResult:
        """Settle a quarantined payment, or return what stands: the first of two operators wins.

        Raises PaymentNotFound, RefundUnderWay, NotRefunded, CartRequired, AttemptHasPurchase, PaymentErased,
        InvalidRequest.
        """
        at = self._now()
        async with self._begin() as unit:
            before = await _lock(unit, request.intent_id)
            settled = await self._settle(unit, request, before, at)
            if settled:
                await _record(unit, request.step, OperatorVerb.SETTLE_PAYMENT, before, at=at, **_cart_of(request))
            decision = await _find(unit, request.intent_id)
            if settled and isinstance(decision, QuarantinedPayment):
                await unit.enqueue_event(OutboxEvent.payment_quarantined(decision), at)
            await unit.commit()
        return SettlementResult(decision, already_settled=not settled)

    async def begin_refund(self, step: OperatorStep, intent_id: str) -> Decision:
        """Mark a quarantined payment as being refunded, before Stripe is asked. Return what stands.

        Raises PaymentNotFound, NothingReceived.
        """
        at = self._now()
        async with self._begin() as unit:
            before = await _lock(unit, intent_id)
            _require_money(before)
            if await unit.settlements.begin_refund(intent_id, at):
                await _record(unit, step, OperatorVerb.BEGIN_REFUND, before, at=at)
            decision = await _find(unit, intent_id)
            await unit.commit()
        return decision

    async def abandon_refund(self, step: OperatorStep, intent_id: str) -> Decision:
        """Give up a refund that Stripe refused. Return what stands. Raises PaymentNotFound."""
        at = self._now()
        async with self._begin() as unit:
            before = await _lock(unit, intent_id)
            if await unit.settlements.abandon_refund(intent_id):
                await _record(unit, step, OperatorVerb.ABANDON_REFUND, before, at=at)
            decision = await _find(unit, intent_id)
            await unit.commit()
        return decision

    async def show(self, intent_id: str, personal: OperatorStep | None) -> ShownPayment:
        """Return a payment with the steps about it. Showing personal data is a step itself. Raises PaymentNotFound."""
        async with self._begin() as unit:
            decision = await _find(unit, intent_id)
            if personal is not None:
                await _record(unit, personal, OperatorVerb.SHOW_PERSONAL_DATA, decision, at=self._now())
            actions = await unit.settlements.list_actions(intent_id)
            await unit.commit()
        return ShownPayment(decision, actions)

    async def list_payments(self, request: PageRequest, *, with_resolved: bool) -> Page[QuarantinedPayment]:
        """Return quarantined payments without their content, newest first."""
        async with self._begin() as unit:
            rows = await unit.settlements.list_quarantined(request.after, request.size + 1, with_resolved=with_resolved)
        return paginate(rows, request.size, lambda row: Cursor(row.quarantined_at, row.payment.intent.id))

    async def _settle(self, unit: UnitOfWork, request: SettlementRequest, before: Decision, at: datetime) -> bool:
        if isinstance(before, Purchase) or before.settlement is not None:
            return False
        if request.settlement is Settlement.REFUNDED:
            return await _settle_refunded(unit, before)
        if before.resolved_at is not None:
            return False
        if before.refund_begun_at is not None:
            raise RefundUnderWay
        if request.settlement is Settlement.WRITTEN_OFF:
            return await unit.settlements.write_off(request.intent_id, at)
        await self._settle_as_order(unit, request, before, at)
        return True

    async def _settle_as_order(
        self, unit: UnitOfWork, request: SettlementRequest, before: QuarantinedPayment, at: datetime
    ) -> None:
        if before.erased_at is not None:
            raise PaymentErased
        payment, context = before.payment, self._read_context(request, before)
        adjustment_minor = _adjustment_minor(payment, context)
        if not await unit.purchases.settle_as_purchase(payment, context, before.report, at):
            raise AttemptHasPurchase
        sums = await unit.refunds.sums_of(payment.intent.id)
        await self._writer.write(unit, payment, context, sums, at=at, adjustment_minor=adjustment_minor)

    def _read_context(self, request: SettlementRequest, before: QuarantinedPayment) -> CheckoutContext:
        content = request.supplied or before.content
        if not isinstance(content, AttemptContent):
            raise CartRequired
        return self._read_content(content, before.payment)


async def _settle_refunded(unit: UnitOfWork, before: QuarantinedPayment) -> bool:
    sums = await unit.refunds.sums_of(before.payment.intent.id)
    if not sums.cover(before.payment.received):
        raise NotRefunded
    return await unit.settlements.settle_refunded(before.payment.intent.id)


def _adjustment_minor(payment: Payment, context: CheckoutContext) -> int:
    """Return what was received less what the cart costs."""
    if payment.received is None:
        return 0
    if payment.received.currency != context.total.currency:
        raise InvalidRequest([FieldViolation("context.total.currency", "must be the currency that was received")])
    return payment.received.minor_units - context.total.minor_units


def _require_money(decision: Decision) -> None:
    if isinstance(decision, Purchase):
        return
    received = decision.payment.received
    if received is None or received.minor_units == 0:
        raise NothingReceived


async def _lock(unit: UnitOfWork, intent_id: str) -> Decision:
    """Take the locks of the intent and of its attempt, in the order of every unit of work, then that of the row."""
    await unit.lock_intent(intent_id)
    await unit.lock_attempt(_attempt_id(await _find(unit, intent_id)))
    decision = await unit.purchases.lock_decision(intent_id)
    if decision is None:
        raise PaymentNotFound
    return decision


async def _find(unit: UnitOfWork, intent_id: str) -> Decision:
    decision = await unit.purchases.find_decision(intent_id)
    if decision is None:
        raise PaymentNotFound
    return decision


def _attempt_id(decision: Decision) -> str:
    return decision.attempt_id if isinstance(decision, Purchase) else decision.payment.attempt_id


def _cart_of(request: SettlementRequest) -> Mapping[str, str]:
    if request.settlement is not Settlement.ORDER:
        return {}
    return {"cart": "supplied" if request.supplied else "kept"}


async def _record(
    unit: UnitOfWork, step: OperatorStep, verb: OperatorVerb, before: Decision, *, at: datetime, **details: str
) -> None:
    """Record a step in the transaction of its effect."""
    intent_id = before.intent.id if isinstance(before, Purchase) else before.payment.intent.id
    after = _state_of(await _find(unit, intent_id)) | details
    await unit.settlements.add_action(OperatorAction(step, at, verb, intent_id, _state_of(before), after))
    _log.info("an operator acted on a payment", extra={"intent": intent_id, "step": verb.value})


def _state_of(decision: Decision) -> dict[str, Any]:
    if isinstance(decision, Purchase):
        return {"outcome": "purchase", **_purchase_state(decision)}
    payment = decision.payment
    return {
        "outcome": "quarantined",
        "reason": decision.reason.value,
        "settlement": decision.settlement.value if decision.settlement else None,
        "resolved": decision.resolved_at is not None,
        "amount_minor": payment.received.minor_units if payment.received else None,
        "currency": payment.received.currency if payment.received else None,
    }


def _purchase_state(purchase: Purchase) -> dict[str, Any]:
    subscription_ids = [str(each.id) for each in purchase.subscriptions]
    if purchase.order is None:
        return {"subscription_ids": subscription_ids}
    order = purchase.order
    return {
        "order_id": str(order.id),
        "total_minor": order.total.minor_units,
        "adjustment_minor": order.adjustment_minor,
        "currency": order.total.currency,
        "subscription_ids": subscription_ids,
    }
