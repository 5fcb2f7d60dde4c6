"""Retries of events that failed in the backfill, and of objects that an earlier version did not understand (ADR 40)."""

from datetime import timedelta
from typing import Final

from prometheus_client import Counter

from payments_gateway.domain.purchases import ReportChannel
from payments_gateway.domain.stripe_events import EventRetriesPort, EventRetry
from payments_gateway.reconciler.handling import failure_of, for_each
from payments_gateway.reconciler.sweeps import BACKLOG
from payments_gateway.webhook_dispatcher import WebhookDispatcher

RETRIES: Final = Counter("holdfast_event_retries", "Retries of events, by outcome.", ["outcome"])

SWEEP: Final = "event_retries"
_LIMIT: Final = 100


class EventRetries:
    """Tries events again. `version` is that of this gateway."""

    def __init__(
        self, retries: EventRetriesPort, dispatcher: WebhookDispatcher, *, lease: timedelta, version: str
    ) -> None:
        self._retries = retries
        self._dispatcher = dispatcher
        self._lease = lease
        self._version = version

    async def run(self) -> bool:
        """Try due events again; True if there may be more. Raises ServiceUnavailable."""
        claimed = await self._retries.claim_due(_LIMIT, self._lease, self._version)
        BACKLOG.labels(SWEEP).set(claimed.waiting)
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
