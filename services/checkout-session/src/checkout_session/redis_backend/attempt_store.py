"""The attempt store on Redis (or Valkey): one script per change, one slot per attempt."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from redis.exceptions import MasterDownError, ReadOnlyError, RedisError

from checkout_session.domain.attempts import (
    Attempt,
    AttemptClosed,
    AttemptNotFound,
    CloseReason,
    DeleteReason,
    Saved,
    StoreUnavailable,
    Tombstone,
)
from checkout_session.redis_backend import scripts
from checkout_session.redis_backend.encryption import AttemptSealer
from checkout_session.redis_backend.keys import keys_of
from checkout_session.redis_backend.primaries import Masters
from servicekit.encryption import Keyring

_log = logging.getLogger(__name__)

TOMBSTONE_TTL: Final = timedelta(days=35)
"""Longer than Stripe retries webhooks and lists events (30 days), so that no report of a payment outlives it."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long things stay, and when an attempt is first looked at."""

    attempt_ttl: timedelta = timedelta(days=35)
    """A backstop: attempts are deleted long before, by the road their payment took."""
    first_check: timedelta = timedelta(minutes=10)
    """From the save until the attempt first comes due."""

    @property
    def marker_ttl(self) -> timedelta:
        """How long a closed marker or tombstone stays: never shorter than the attempt, which it must outlive."""
        return max(TOMBSTONE_TTL, self.attempt_ttl)


class RedisAttempts:
    """Attempts kept in Redis. Implements AttemptStore."""

    def __init__(self, masters: Masters, retention: Retention, *, keyring: Keyring, timeout_seconds: float) -> None:
        """Keep attempts on these servers. timeout_seconds bounds each verb, its retries included."""
        self._masters = masters
        self._sealer = AttemptSealer(keyring)
        self._attempt_ttl = _seconds(retention.attempt_ttl)
        self._marker_ttl = _seconds(retention.marker_ttl)
        self._first_check = _seconds(retention.first_check)
        self._timeout_seconds = timeout_seconds

    async def save(self, attempt: Attempt) -> Saved:
        """See AttemptStore.save."""
        keys = keys_of(attempt.attempt_id).in_order()
        sealed = self._sealer.seal(attempt)
        async with self._answering():
            answer = await self._masters.run(
                scripts.SAVE, keys, sealed, attempt.user_id, self._attempt_ttl, attempt.attempt_id, self._first_check
            )
        if answer is None:
            raise AttemptClosed
        stored, replayed = answer
        return Saved(self._sealer.open(attempt.attempt_id, stored) if replayed else attempt, replayed=bool(replayed))

    async def find(self, attempt_id: str) -> Attempt | Tombstone:
        """See AttemptStore.find."""
        keys = keys_of(attempt_id)
        async with self._answering():
            stored, close_reason, delete_reason, user_id, deleted_at = await self._masters.run(
                scripts.FIND, (keys.attempt, keys.closed)
            )
        closed = None if close_reason is None else CloseReason(close_reason.decode())
        if delete_reason is not None:
            return Tombstone(
                attempt_id=attempt_id,
                reason=DeleteReason(delete_reason.decode()),
                close_reason=closed,
                user_id=user_id.decode(),
                deleted_at=datetime.fromtimestamp(int(deleted_at), UTC),
            )
        if stored is None:
            raise AttemptNotFound
        return replace(self._sealer.open(attempt_id, stored), close_reason=closed)

    async def close(self, attempt_id: str, reason: CloseReason) -> None:
        """See AttemptStore.close."""
        keys = keys_of(attempt_id).in_order()
        async with self._answering():
            await self._masters.run(scripts.CLOSE, keys, reason.value, self._marker_ttl, attempt_id)

    async def delete(self, attempt_id: str, reason: DeleteReason) -> None:
        """See AttemptStore.delete."""
        keys = keys_of(attempt_id).in_order()
        async with self._answering():
            await self._masters.run(scripts.DELETE, keys, reason.value, self._marker_ttl, attempt_id)

    @asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                try:
                    yield
                except (ReadOnlyError, MasterDownError):  # a replica's answers
                    await self._masters.connect_anew()
                    raise
        except (RedisError, TimeoutError) as failure:
            _log.warning("store unavailable", extra={"cause": type(failure).__name__})
            raise StoreUnavailable from failure


def _seconds(duration: timedelta) -> int:
    return int(duration.total_seconds())
