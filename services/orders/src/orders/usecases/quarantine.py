"""Quarantining payments that cannot be recorded as a purchase."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from orders.domain.outbox import OutboxEvent
from orders.domain.pagination import Cursor, Page, PageRequest, paginate
from orders.domain.purchases import Decision, DecisionResult, Purchase, QuarantinedPayment, QuarantineReason
from orders.usecases.alerts import alert
from orders.usecases.unit_of_work import UnitOfWork, UnitOfWorkFactory


class DecisionVanished(RuntimeError):
    """An intent that was decided has no decision any more. Decisions are never deleted."""


class QuarantineService:
    """Quarantines payments and lists them."""

    def __init__(self, begin: UnitOfWorkFactory, now: Callable[[], datetime]) -> None:
        self._begin = begin
        self._now = now

    async def quarantine(self, requested: QuarantinedPayment) -> DecisionResult:
        """Quarantine a succeeded intent, or return the decision that exists for it (P3)."""
        at = self._now()
        payment = requested.payment
        async with self._begin() as unit:
            await unit.lock_intent_and_attempt(payment.intent.id, payment.attempt_id)
            quarantined = replace(requested, reason=await _reason(unit, requested), quarantined_at=at)
            if (await unit.refunds.sums_of(payment.intent.id)).cover(payment.received):
                quarantined = quarantined.refunded(at)
            result = await quarantine(unit, quarantined)
            await unit.commit()
        alert(result)
        return result

    async def list_payments(self, request: PageRequest) -> Page[QuarantinedPayment]:
        """Return quarantined payments, newest first."""
        async with self._begin() as unit:
            rows = await unit.purchases.list_quarantined(request.after, request.size + 1)
        return paginate(rows, request.size, lambda row: Cursor(row.quarantined_at, row.payment.intent.id))


async def quarantine(unit: UnitOfWork, quarantined: QuarantinedPayment) -> DecisionResult:
    """Quarantine within a unit of work, or return the existing decision."""
    if await unit.purchases.decide_quarantine(quarantined):
        await unit.enqueue_event(OutboxEvent.payment_quarantined(quarantined), quarantined.quarantined_at)
        return DecisionResult(quarantined, already_recorded=False)
    existing = await _lock_decision(unit, quarantined.payment.intent.id)
    return await keep_existing(unit, quarantined, existing)


async def keep_existing(unit: UnitOfWork, requested: QuarantinedPayment, existing: Decision) -> DecisionResult:
    """Return the existing decision, and give a quarantined payment what it lacks of the request.

    A caller that receives `quarantined` deletes the attempt, so the content must be kept here (P4). A payment that
    waited for its attempt takes the new reason with the content.
    """
    if isinstance(existing, Purchase) or not requested.adds_to(existing):
        return DecisionResult(existing, already_recorded=True)
    await unit.purchases.amend_quarantine(requested)
    amended = await _lock_decision(unit, requested.payment.intent.id)
    if isinstance(amended, QuarantinedPayment) and amended.reason is not existing.reason:
        await unit.enqueue_event(OutboxEvent.payment_quarantined(amended), requested.quarantined_at)
    return DecisionResult(amended, already_recorded=True)


async def _reason(unit: UnitOfWork, requested: QuarantinedPayment) -> QuarantineReason:
    """Return the reason of the request, or `duplicate_payment` beside the purchase of the attempt."""
    payment = requested.payment
    if await unit.purchases.has_other_purchase(payment.attempt_id, payment.intent.id):
        return QuarantineReason.DUPLICATE_PAYMENT
    return requested.reason


async def _lock_decision(unit: UnitOfWork, intent_id: str) -> Decision:
    existing = await unit.purchases.lock_decision(intent_id)
    if existing is None:
        raise DecisionVanished
    return existing
