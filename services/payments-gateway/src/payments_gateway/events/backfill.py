"""Backfill of events that no webhook delivered: Stripe's endpoint was away, for minutes or for days (ADR 40).

The cursor is the time up to which every event is handled or waits to be tried again, by Stripe's clock: that of the
newest event. Stripe's list may show an event late, so each run begins some minutes before the cursor; the log spares it
what was handled.
"""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from prometheus_client import Counter

from payments_gateway.domain.purchases import ReportChannel
from payments_gateway.domain.stripe_events import (
    CursorsPort,
    EventLogPort,
    EventRetriesPort,
    EventRetry,
    EventsAtStripe,
    HandledEvent,
    ListedEvent,
    TooManyEvents,
)
from payments_gateway.reconciler.handling import failure_of, for_each
from payments_gateway.webhook_dispatcher import WebhookDispatcher

_log = logging.getLogger(__name__)

EVENTS: Final = Counter("holdfast_backfill_events", "Events that no webhook had handled, by outcome.", ["outcome"])

OVERLAP: Final = timedelta(minutes=10)
"""Time before the cursor that is listed once more."""
_KEPT_AT_STRIPE: Final = timedelta(days=30)
_KEPT_IN_LOG: Final = timedelta(days=35)
"""Longer than Stripe lists an event."""
_BATCH: Final = 100
_MAX_LISTED: Final = 10_000
"""Events that one run holds in memory. With more, the run takes a part of the time."""
_SHORTEST: Final = timedelta(minutes=1)
"""Part of the time that is not divided further."""
_NO_LEASE: Final = timedelta()


class EventBackfill:
    """Handles events that no webhook has handled."""

    def __init__(
        self,
        stripe: EventsAtStripe,
        log: EventLogPort,
        retries: EventRetriesPort,
        cursors: CursorsPort,
        dispatcher: WebhookDispatcher,
        *,
        event_types: Iterable[str],
        lease: timedelta,
        now: Callable[[], datetime],
        max_listed: int = _MAX_LISTED,
    ) -> None:
        """Keep the cursor for the lease; a batch renews it. A run holds max_listed events in memory.

        event_types are those that have an effect in this version, and that Stripe lists.
        """
        self._cursor = cursor_name(event_types)
        self._stripe = stripe
        self._log = log
        self._retries = retries
        self._cursors = cursors
        self._dispatcher = dispatcher
        self._lease = lease
        self._now = now
        self._max_listed = max_listed
        self._span = _KEPT_AT_STRIPE
        self._passed: datetime | None = None
        """End of the last part, until the last of all. The cursor stays before parts without events: if our clock is
        ahead of Stripe's, they are not over."""

    async def run(self) -> bool:
        """Handle the events of a part of the time since the cursor; True if there is more.

        Raises StripeUnavailable, ServiceUnavailable: the cursor stays before what was not handled.
        """
        passed, self._passed = self._passed, None  # a run that fails begins at the cursor again: time passes meanwhile
        claimed = await self._cursors.claim(self._cursor, self._lease)
        if claimed is None:
            return False  # another reconciler is at work
        now = self._now()
        position = claimed.position or now - _KEPT_AT_STRIPE
        since = max(position, passed or position)
        until = since + self._span
        is_last = until >= now
        try:
            limit = self._max_listed if self._span > _SHORTEST else None
            # The last part has no end: Stripe's clock may be ahead of ours.
            listed = await self._stripe.list_between(since - OVERLAP, None if is_last else until, limit)
        except TooManyEvents as too_many:
            # Half of the time that took as many as one run may hold. That is at the end, where they may be densest.
            fits = (min(until, now) - too_many.listed_from) / 2
            self._span, self._passed = max(min(self._span / 4, fits), _SHORTEST), passed
            await self._cursors.advance(self._cursor, position, _NO_LEASE)
            return True
        if len(listed) < self._max_listed / 4:
            self._span = min(self._span * 2, _KEPT_AT_STRIPE)
        for batch in (listed[first : first + _BATCH] for first in range(0, len(listed), _BATCH)):
            await self._handle(batch)
            position = max(position, min(batch[-1].created_at, now))
            await self._cursors.advance(self._cursor, position, self._lease)
        await self._cursors.advance(self._cursor, position, _NO_LEASE)
        self._passed = None if is_last else until
        if not is_last:
            return True
        return not await self._log.prune(now - _KEPT_IN_LOG)

    async def _handle(self, batch: Sequence[ListedEvent]) -> None:
        """Handle what nobody has handled: the object of several events once."""
        unlogged = set(await self._log.find_unlogged([each.id for each in batch]))
        by_object = defaultdict(list)
        for each in batch:
            if each.id in unlogged:
                by_object[each.event].append(each)
        await for_each(by_object.values(), self._handle_object)

    async def _handle_object(self, events: Sequence[ListedEvent]) -> None:
        last = events[-1]
        failure = await failure_of(
            self._dispatcher.dispatch(last.event, last.id, last.created_at, ReportChannel.RECONCILER),
            event=last.id,
            event_type=last.type,
        )
        if failure is None:
            await self._log.log([HandledEvent(each.id, each.type, each.created_at) for each in events])
            _log.info("event handled that no webhook had handled", extra={"event": last.id, "event_type": last.type})
        else:
            reason = type(failure).__name__
            for each in events:
                await self._retries.put(EventRetry(each.id, each.type, each.event, each.created_at, reason))
        EVENTS.labels("handled" if failure is None else "failed").inc(len(events))


def cursor_name(event_types: Iterable[str]) -> str:
    """Return the name of the cursor over these types of events.

    Another set of types has another cursor, which begins 30 days ago: an earlier version had acknowledged the events of
    the new types without effect, and its cursor has passed them. The log spares the others.
    """
    return f"events_{hashlib.sha256(' '.join(sorted(event_types)).encode()).hexdigest()[:16]}"
