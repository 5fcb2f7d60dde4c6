"""Log of Stripe's events: what was handled, what is tried again, and how far the backfill is (ADR 40).

The log only spares work. Whatever handles an event twice meets the decisions, versions and constraints of the others.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from orders.domain.stripe_events import ClaimedCursor, ClaimedRetries, EventRetry, HandledEvent
from orders.usecases.unit_of_work import UnitOfWorkFactory

PRUNED_ROWS: Final = 5000
"""Log rows that one call deletes at most."""


class StripeEventService:
    """Keeps the log, the retries and the cursors."""

    def __init__(self, begin: UnitOfWorkFactory, now: Callable[[], datetime]) -> None:
        self._begin = begin
        self._now = now

    async def log(self, events: Sequence[HandledEvent]) -> None:
        """Log events that were handled."""
        at = self._now()
        async with self._begin() as unit:
            await unit.stripe_events.log(events, at)
            await unit.commit()

    async def find_unlogged(self, event_ids: Sequence[str]) -> list[str]:
        """Return those of the events that are neither logged nor waiting to be tried again."""
        async with self._begin() as unit:
            known = await unit.stripe_events.find_known(event_ids)
        return [each for each in event_ids if each not in known]

    async def prune(self, created_before: datetime) -> bool:
        """Delete a limited number of old log rows. False if there may be more."""
        async with self._begin() as unit:
            deleted = await unit.stripe_events.prune(created_before, PRUNED_ROWS)
            await unit.commit()
        return deleted < PRUNED_ROWS

    async def put_retry(self, retry: EventRetry) -> None:
        """Write that an event failed, and when to try it again."""
        at = self._now()
        async with self._begin() as unit:
            await unit.stripe_events.put_retry(retry, at)
            await unit.commit()

    async def claim_due_retries(self, limit: int, lease: timedelta, version: str) -> ClaimedRetries:
        """Return due retries, and move their time by the lease."""
        at = self._now()
        async with self._begin() as unit:
            claimed = await unit.stripe_events.claim_due_retries(limit, at, at + lease, version)
            waiting, oldest_created_at = await unit.stripe_events.count_retries(version)
            await unit.commit()
        return ClaimedRetries(claimed, waiting, oldest_created_at)

    async def finish_retry(self, retry_id: str, failures: int) -> None:
        """Delete a retry that was handled, unless it failed again since it was claimed, and log its event."""
        at = self._now()
        async with self._begin() as unit:
            finished = await unit.stripe_events.delete_retry(retry_id, failures)
            if finished is not None and finished.type is not None:
                await unit.stripe_events.log([HandledEvent(finished.id, finished.type, finished.created_at)], at)
            await unit.commit()

    async def claim_cursor(self, name: str, lease: timedelta) -> ClaimedCursor:
        """Lease a cursor to the caller, unless another caller has it."""
        at = self._now()
        async with self._begin() as unit:
            claimed = await unit.stripe_events.claim_cursor(name, at, at + lease)
            await unit.commit()
        return claimed

    async def advance_cursor(self, name: str, position: datetime, lease: timedelta) -> None:
        """Move a cursor forward, never back, and keep it for the lease."""
        until = self._now() + lease
        async with self._begin() as unit:
            await unit.stripe_events.advance_cursor(name, position, until)
            await unit.commit()
