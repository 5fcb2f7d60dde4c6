"""Log of Stripe's events, their retries and cursors, in memory; and Stripe's list of them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from payments_gateway.domain.stripe_errors import UnsupportedStripeObject
from payments_gateway.domain.stripe_events import (
    ClaimedCursor,
    ClaimedRetries,
    EventRetry,
    HandledEvent,
    ListedEvent,
    TooManyEvents,
)
from payments_gateway.domain.webhook_events import WebhookEvent


class FakeStripeEvents:
    """orders' log, retries and cursor."""

    def __init__(self) -> None:
        self.logged: dict[str, HandledEvent] = {}
        """By id."""
        self.retries: dict[str, EventRetry] = {}
        """By id. All are due."""
        self.pruned_before: list[datetime] = []
        self.positions: dict[str, datetime] = {}
        """By name of the cursor."""
        self.is_leased = False
        self.fails: Exception | None = None
        """Failure of every write."""

    async def log(self, events: Sequence[HandledEvent]) -> None:
        self._fail()
        self.logged.update({each.id: each for each in events})

    async def find_unlogged(self, event_ids: Sequence[str]) -> Sequence[str]:
        return [each for each in event_ids if each not in self.logged and each not in self.retries]

    async def prune(self, created_before: datetime) -> bool:
        self.pruned_before.append(created_before)
        return True

    async def put(self, retry: EventRetry) -> None:
        self._fail()
        before = self.retries.get(retry.id)
        self.retries[retry.id] = replace(retry, failures=before.failures + 1 if before else 1)

    async def claim_due(self, limit: int, _lease: timedelta, version: str) -> ClaimedRetries:
        due = [each for each in self.retries.values() if each.not_understood_by != version]
        oldest = min((each.created_at for each in due), default=None)
        return ClaimedRetries(due[:limit], len(self.retries), oldest)

    async def finish(self, retry: EventRetry) -> None:
        if retry.id in self.retries and self.retries[retry.id].failures == retry.failures:
            del self.retries[retry.id]

    async def claim(self, name: str, _lease: timedelta) -> ClaimedCursor | None:
        if self.is_leased:
            return None
        self.is_leased = True
        return ClaimedCursor(self.positions.get(name))

    async def advance(self, name: str, position: datetime, lease: timedelta) -> None:
        self.positions[name] = max(self.positions.get(name, position), position)
        self.is_leased = bool(lease)

    def _fail(self) -> None:
        if self.fails is not None:
            raise self.fails


class FakeEventList:
    """Stripe's list of events."""

    def __init__(self, *events: ListedEvent) -> None:
        self.events = list(events)
        self.asked: list[tuple[datetime, datetime | None]] = []
        self.fails: Exception | None = None

    async def list_between(self, since: datetime, until: datetime | None, limit: int | None) -> Sequence[ListedEvent]:
        if self.fails is not None:
            raise self.fails
        self.asked.append((since, until))
        found = [
            each for each in self.events if since <= each.created_at and (until is None or each.created_at <= until)
        ]
        found.sort(key=lambda each: each.created_at)
        if limit is not None and len(found) > limit:
            raise TooManyEvents(found[-limit].created_at)
        return found


class FakeUnsupportedObjects:
    """Objects that wait for a newer version."""

    def __init__(self) -> None:
        self.events: list[WebhookEvent] = []

    async def put(self, event: WebhookEvent, _error: UnsupportedStripeObject) -> None:
        self.events.append(event)
