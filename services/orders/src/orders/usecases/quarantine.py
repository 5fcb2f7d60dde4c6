"""Payments set aside for a person to settle."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from orders.domain.pagination import Cursor, Page, PageRequest, bytes_of, cut_page
from orders.domain.purchases import Decision, Purchase, QuarantinedPayment, Recorded
from orders.usecases.unit_of_work import BeginUnit, Ledger

_ROW_BYTES = 1024


class DecisionVanished(RuntimeError):
    """An intent refused a decision because it had one, and then had none: decisions are never deleted."""


class Quarantine:
    """The use cases around quarantined payments."""

    def __init__(self, begin: BeginUnit, now: Callable[[], datetime]) -> None:
        self._begin = begin
        self._now = now

    async def set_aside(self, asked: QuarantinedPayment) -> Recorded:
        """Quarantine a succeeded intent; one that was decided before keeps its decision (P3)."""
        quarantined = replace(asked, quarantined_at=self._now())
        async with self._begin() as ledger:
            recorded = await set_aside(ledger, quarantined)
            await ledger.commit()
        return recorded

    async def page(self, request: PageRequest) -> Page[QuarantinedPayment]:
        """Return quarantined payments, newest first."""
        async with self._begin() as ledger:
            rows = await ledger.quarantined_payments(request.before, request.size + 1)
        return cut_page(rows, request.size, weigh=_weigh, cursor=_cursor)


async def set_aside(ledger: Ledger, quarantined: QuarantinedPayment) -> Recorded:
    """Quarantine within a unit of work, or answer the decision that stands."""
    if await ledger.decide_quarantine(quarantined):
        await ledger.announce_quarantine(quarantined)
        return Recorded(quarantined, already_recorded=False)
    standing = await _standing_decision(ledger, quarantined.payment.intent.id)
    return await keep_decision(ledger, quarantined, standing)


async def keep_decision(ledger: Ledger, asked: QuarantinedPayment, standing: Decision) -> Recorded:
    """Answer the decision that stands.

    Whoever is answered `quarantined` will delete the attempt, so content that is brought goes into a quarantine that
    has none (P4). One that only waited for its attempt takes the new reason with it.
    """
    if asked.content is None or isinstance(standing, Purchase) or standing.keeps_content:
        return Recorded(standing, already_recorded=True)
    intent_id = asked.payment.intent.id
    await ledger.complete(intent_id, asked.reason, asked.content)
    return Recorded(await _standing_decision(ledger, intent_id), already_recorded=True)


async def _standing_decision(ledger: Ledger, intent_id: str) -> Decision:
    standing = await ledger.decision_on(intent_id)
    if standing is None:
        raise DecisionVanished
    return standing


def _cursor(quarantined: QuarantinedPayment) -> Cursor:
    return Cursor(quarantined.quarantined_at, quarantined.payment.intent.id)


def _weigh(quarantined: QuarantinedPayment) -> int:
    payment, content = quarantined.payment, quarantined.content
    texts = bytes_of(payment.intent.id, payment.attempt_id, quarantined.report.stripe_event_id)
    return _ROW_BYTES + texts + (len(content.serialized) if content else 0)
