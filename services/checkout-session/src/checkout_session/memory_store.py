"""The attempt store in memory, for unit tests and nothing else: it ends with its process and forgets nothing before."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from checkout_session.domain.attempts import (
    Attempt,
    AttemptClosed,
    AttemptNotFound,
    CloseReason,
    DeleteReason,
    Saved,
    Tombstone,
)


@dataclass(frozen=True, slots=True)
class _Closed:
    close_reason: CloseReason | None = None
    tombstone: Tombstone | None = None


class MemoryAttempts:
    """Attempts kept in dictionaries. Implements AttemptStore; no verb awaits, so each is carried out whole."""

    def __init__(self, *, clock: Callable[[], datetime], first_check: timedelta) -> None:
        """Start empty. The clock stands in for Redis TIME."""
        self._clock = clock
        self._first_check = first_check
        self._attempts: dict[str, Attempt] = {}
        self._closed: dict[str, _Closed] = {}
        self.due: dict[str, datetime] = {}
        """The due index: next check time by attempt id."""

    async def save(self, attempt: Attempt) -> Saved:
        """See AttemptStore.save."""
        if attempt.attempt_id in self._closed:
            raise AttemptClosed
        if stored := self._attempts.get(attempt.attempt_id):
            return Saved(stored, replayed=True)
        self._attempts[attempt.attempt_id] = attempt
        self.due[attempt.attempt_id] = self._clock() + self._first_check
        return Saved(attempt, replayed=False)

    async def find(self, attempt_id: str) -> Attempt | Tombstone:
        """See AttemptStore.find."""
        closed = self._closed.get(attempt_id, _Closed())
        if closed.tombstone:
            return closed.tombstone
        if attempt_id not in self._attempts:
            raise AttemptNotFound
        return replace(self._attempts[attempt_id], close_reason=closed.close_reason)

    async def close(self, attempt_id: str, reason: CloseReason) -> None:
        """See AttemptStore.close."""
        if attempt_id in self._closed:
            return
        self._closed[attempt_id] = _Closed(reason)
        if attempt_id in self._attempts:
            self.due[attempt_id] = self._clock()

    async def delete(self, attempt_id: str, reason: DeleteReason) -> None:
        """See AttemptStore.delete."""
        attempt = self._attempts.pop(attempt_id, None)
        self.due.pop(attempt_id, None)
        closed = self._closed.get(attempt_id, _Closed())
        if closed.tombstone:
            return
        tombstone = Tombstone(
            attempt_id=attempt_id,
            reason=reason,
            close_reason=closed.close_reason,
            user_id=attempt.user_id if attempt else "",
            deleted_at=self._clock().replace(microsecond=0),
        )
        self._closed[attempt_id] = replace(closed, tombstone=tombstone)
