"""Judges attempts by Stripe's word about their intents (ADR 39)."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from prometheus_client import Counter

from payments_gateway.checkout.cancellation import Cancellation
from payments_gateway.domain.attempts import AttemptsPort, CloseReason, DeleteReason
from payments_gateway.domain.due_attempts import DueAttempt
from payments_gateway.domain.intents import IntentStatus, StripeIntent
from payments_gateway.domain.purchases import PaymentReport, Purchase, ReportChannel
from payments_gateway.payments.fulfilment import Fulfilment
from servicekit.json_logging import bind_attempt

_log = logging.getLogger(__name__)

JUDGED: Final = Counter("holdfast_reconcile_attempts", "Due attempts judged, by outcome.", ["outcome"])

_MIN_DELAY: Final = timedelta(seconds=5)
_MAX_DELAY: Final = timedelta(hours=3)
"""Longest time between two looks at an intent that is processing for days, or that a person has to see to."""

_KEPT_FOR: Final = timedelta(days=35)
"""Age up to which a paid attempt is kept, as long as one whose reconciler is away."""


class Judgement:
    """Decides due attempts. Safe to repeat, beside buyers, webhooks and other reconcilers."""

    def __init__(
        self,
        attempts: AttemptsPort,
        cancellation: Cancellation,
        fulfilment: Fulfilment,
        now: Callable[[], datetime],
    ) -> None:
        self._attempts = attempts
        self._cancellation = cancellation
        self._fulfilment = fulfilment
        self._now = now

    def must_cancel(self, due: DueAttempt, intent: StripeIntent) -> bool:
        """Return True if nobody may pay the intent any more, and it still could be paid."""
        return intent.is_payable and self._close_reason(due, intent) is not None

    async def judge(self, due: DueAttempt, intent: StripeIntent) -> timedelta:
        """Fulfil, cancel or delete the attempt as its intent's status asks for, and return the delay to the next check.

        An attempt that is deleted has no further check. Raises ServiceUnavailable, StripeUnavailable,
        ConflictRetriesExhausted.
        """
        bind_attempt(due.attempt_id)
        reason = self._close_reason(due, intent)
        if intent.is_payable and reason is not None:
            intent = await self._cancel(due, reason)
            if intent.status is IntentStatus.CANCELED:
                return self._judged(due, "cancelled")
        match intent.status:
            case IntentStatus.SUCCEEDED:
                return await self._fulfil(due, intent)
            case IntentStatus.CANCELED:
                # Nobody can pay it, and whoever cancelled it may not have deleted the attempt.
                await self._attempts.delete(due.attempt_id, DeleteReason.CANCELLED)
                return self._judged(due, "cancelled")
            case IntentStatus.PROCESSING:
                return self._judged(due, "processing")
            case IntentStatus.REQUIRES_CAPTURE | IntentStatus.UNKNOWN:
                _log.error("intent waits for a person at Stripe", extra={"status": intent.status.value})
                return self._judged(due, "needs_a_person")
            case _:
                until_pay_by = due.pay_by - self._now()
                delay = self._judged(due, "open")
                return min(delay, max(_MIN_DELAY, until_pay_by)) if until_pay_by > timedelta() else delay

    def missing(self, due: DueAttempt) -> timedelta:
        """Report an attempt whose intent Stripe does not know; return the delay to the next check.

        Nothing tells that it cannot be paid: our key may be that of another account.
        """
        bind_attempt(due.attempt_id)
        _log.error("intent of an attempt not found at Stripe: the key may be of another account")
        return self._judged(due, "not_found")

    async def _cancel(self, due: DueAttempt, reason: CloseReason) -> StripeIntent:
        if due.close_reason is not None:
            return await self._cancellation.cancel_closed(due)
        return await self._cancellation.close_and_cancel(due, reason)

    async def _fulfil(self, due: DueAttempt, intent: StripeIntent) -> timedelta:
        # As the event of the payment would say: an unreadable attempt is waited for after it (ADR 28).
        paid_at = intent.charged_at or due.created_at
        report = PaymentReport(ReportChannel.RECONCILER, event_created_at=paid_at)
        decision = await self._fulfilment.fulfil_attempt(due.attempt_id, intent, report)
        is_over = not due.content_exists or self._now() - due.created_at > _KEPT_FOR
        if decision is not None and is_over:
            # Fulfilment deletes only content that is safe. Here none is left, or it waited for long enough for its key
            # or for a refund to fail; each claim prolongs its TTL, and the checks must end.
            recorded = isinstance(decision, Purchase)
            await self._attempts.delete(due.attempt_id, DeleteReason.RECORDED if recorded else DeleteReason.QUARANTINED)
        return self._judged(due, "fulfilled")

    def _close_reason(self, due: DueAttempt, intent: StripeIntent) -> CloseReason | None:
        if due.close_reason is not None or intent.awaits_microdeposits:  # the buyer has chosen to pay (ADR 43)
            return due.close_reason
        return CloseReason.PAY_BY_PASSED if due.pay_by <= self._now() else None

    def _judged(self, due: DueAttempt, outcome: str) -> timedelta:
        """Count it, and return a delay that grows with the attempt's age."""
        JUDGED.labels(outcome).inc()
        return min(max(self._now() - due.created_at, _MIN_DELAY), _MAX_DELAY)
