"""Retries of events that failed in the backfill, and of objects that an earlier version did not understand (ADR 40)."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from prometheus_client import Counter, Gauge

from payments_gateway.domain.purchases import ReportChannel
from payments_gateway.domain.stripe_events import EventRetriesPort, EventRetry
from payments_gateway.reconciler.handling import AT_ONCE, failure_of, for_each
from payments_gateway.reconciler.sweeps import BACKLOG
from payments_gateway.webhook_dispatcher import WebhookDispatcher

RETRIES: Final = Counter("holdfast_event_retries", "Retries of events, by outcome.", ["outcome"])
OLDEST_SECONDS: Final = Gauge(
    "holdfast_event_retries_oldest_seconds", "Age of the oldest event that this version tries again; 0 without one."
)

SWEEP: Final = "event_retries"
_LIMIT: Final = AT_ONCE
"""Retries that one claim leases: none waits for another, so the lease covers the handling of one."""


class EventRetries:
    """Tries events again. `version` is that of this gateway."""

    def __init__(
        self,
        retries: EventRetriesPort,
        dispatcher: WebhookDispatcher,
        *,
        lease: timedelta,
        version: str,
        now: Callable[[], datetime],
    ) -> None:
        self._retries = retries
        self._dispatcher = dispatcher
        self._lease = lease
        self._version = version
        self._now = now

    async def run(self) -> bool:
        """Try due events again; True if there may be more. Raises ServiceUnavailable."""
        claimed = await self._retries.claim_due(_LIMIT, self._lease, self._version)
        BACKLOG.labels(SWEEP).set(claimed.waiting)
        oldest = claimed.oldest_created_at
        OLDEST_SECONDS.set((self._now() - oldest).total_seconds() if oldest else 0)
        await for_each(claimed.retries, self._retry)
        return len(claimed.retries) == _LIMIT

    async def _retry(self, retry: EventRetry) -> None:
        failure = await failure_of(
            self._dispatcher.dispatch(retry.event, retry.id, retry.created_at, ReportChannel.RECONCILER),
            event=retry.id,
            event_type=retry.type or "",
        )
        if failure is None:
            await self._retries.finish(retry)
        else:
            await self._retries.put(
                EventRetry(retry.id, retry.type, retry.event, retry.created_at, type(failure).__name__)
            )
        RETRIES.labels("handled" if failure is None else "failed").inc()
