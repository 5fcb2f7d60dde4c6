"""Copies of Stripe's refunds and disputes, by Stripe's id, tied to the intent that they take money back from.

They may arrive before the order, and for a payment that was quarantined. What the payment became follows them in the
same transaction: the status of its order, and whether its quarantine is resolved (ADR 27).
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from orders.domain.orders import Order, OrderStatus
from orders.domain.outbox import OutboxEvent
from orders.domain.purchases import Purchase, QuarantinedPayment
from orders.domain.refunds import Dispute, Refund, RefundSums
from orders.usecases.unit_of_work import UnitOfWork, UnitOfWorkFactory, VersionConflict

_log = logging.getLogger(__name__)


class RefundNotFound(LookupError):
    """The refund was never written."""


class DisputeNotFound(LookupError):
    """The dispute was never written."""


class PaymentNotFound(LookupError):
    """The payment was never decided here."""


class RefundService:
    """Reads and writes refunds and disputes."""

    def __init__(self, begin: UnitOfWorkFactory, now: Callable[[], datetime]) -> None:
        self._begin = begin
        self._now = now

    async def get_refund(self, refund_id: str) -> Refund:
        """Return a refund. Raises RefundNotFound."""
        async with self._begin() as unit:
            refund = await unit.refunds.find_refund(refund_id)
        if refund is None:
            raise RefundNotFound
        return refund

    async def get_dispute(self, dispute_id: str) -> Dispute:
        """Return a dispute. Raises DisputeNotFound."""
        async with self._begin() as unit:
            dispute = await unit.refunds.find_dispute(dispute_id)
        if dispute is None:
            raise DisputeNotFound
        return dispute

    async def apply_refund(self, refund: Refund, *, only_if_decided: bool) -> Refund:
        """Write a refund as Stripe showed it after its version was read.

        Raises VersionConflict, and PaymentNotFound if it is to be written only for a decided payment.
        """
        at = self._now()
        async with self._begin() as unit:
            await unit.lock_intent(refund.intent_id)
            if only_if_decided:
                await _require_decided(unit, refund.intent_id)
            before = await unit.refunds.find_refund(refund.id)
            applied = replace(refund, version=_required(await unit.refunds.put_refund(refund)))
            order = await _follow(unit, refund.intent_id, at)
            if _has_changed(before, applied):
                await unit.enqueue_event(OutboxEvent.refund_changed(applied, order), at)
            await unit.commit()
        return applied

    async def apply_dispute(self, dispute: Dispute, *, only_if_decided: bool) -> Dispute:
        """Write a dispute as Stripe showed it after its version was read.

        Raises VersionConflict, and PaymentNotFound if it is to be written only for a decided payment.
        """
        at = self._now()
        async with self._begin() as unit:
            await unit.lock_intent(dispute.intent_id)
            if only_if_decided:
                await _require_decided(unit, dispute.intent_id)
            before = await unit.refunds.find_dispute(dispute.id)
            applied = replace(dispute, version=_required(await unit.refunds.put_dispute(dispute)))
            order = await _follow(unit, dispute.intent_id, at)
            if _has_changed(before, applied):
                await unit.enqueue_event(OutboxEvent.dispute_changed(applied, order), at)
            await unit.commit()
        return applied


async def _require_decided(unit: UnitOfWork, intent_id: str) -> None:
    if await unit.purchases.find_decision(intent_id) is None:
        raise PaymentNotFound


async def _follow(unit: UnitOfWork, intent_id: str, at: datetime) -> Order | None:
    """Bring the decision up to date with the sums after a change; return its order, if it has one."""
    sums = await unit.refunds.sums_of(intent_id)
    decision = await unit.purchases.find_decision(intent_id)
    if isinstance(decision, QuarantinedPayment):
        await _follow_quarantined(unit, decision, sums, at)
    if not isinstance(decision, Purchase) or decision.order is None:
        return None
    order = replace(decision.order, status=OrderStatus.after(sums, decision.order.total))
    if order.status is not decision.order.status:
        await unit.purchases.put_order_status(order.id, order.status)
    return order


async def _follow_quarantined(
    unit: UnitOfWork, quarantined: QuarantinedPayment, sums: RefundSums, at: datetime
) -> None:
    """Resolve a payment that is refunded in full now; reopen one whose refund failed."""
    intent_id = quarantined.payment.intent.id
    if sums.cover(quarantined.payment.received):
        changed = await unit.purchases.resolve_refunded(intent_id, at)
    else:
        changed = await unit.purchases.reopen_refunded(intent_id)
    current = await unit.purchases.find_decision(intent_id) if changed else None
    if isinstance(current, QuarantinedPayment):
        if current.resolved_at is None:
            _log.error("refund of a quarantined payment failed", extra={"intent": intent_id})
        await unit.enqueue_event(OutboxEvent.payment_quarantined(current), at)


def _has_changed(before: Refund | Dispute | None, applied: Refund | Dispute) -> bool:
    return before is None or (before.status, before.amount) != (applied.status, applied.amount)


def _required(version: int | None) -> int:
    if version is None:
        raise VersionConflict
    return version
