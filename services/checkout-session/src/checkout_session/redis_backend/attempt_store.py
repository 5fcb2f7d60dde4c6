"""Attempt store on Redis or Valkey: one script per change, one hash slot per attempt."""

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
from checkout_session.redis_backend.encryption import AttemptEncryption
from checkout_session.redis_backend.keys import keys_of
from checkout_session.redis_backend.primaries import Primaries
from servicekit.encryption import Keyring

_log = logging.getLogger(__name__)

TOMBSTONE_TTL: Final = timedelta(days=35)
"""Longer than Stripe retries webhooks and lists events (30 days), so no report of a payment outlives it."""


@dataclass(frozen=True, slots=True)
class Retention:
    """Lifetimes of stored attempts and markers."""

    attempt_ttl: timedelta = timedelta(days=35)
    """A backstop: attempts are deleted long before, when their payment is settled."""
    first_check: timedelta = timedelta(minutes=10)
    """Delay from the save until the attempt first comes due."""

    @property
    def marker_ttl(self) -> timedelta:
        """Lifetime of a closed marker or tombstone, which must outlive the attempt."""
        return max(TOMBSTONE_TTL, self.attempt_ttl)


class RedisAttemptStore:
    """Implements AttemptStore. `timeout_seconds` bounds each method, its retries included."""

    def __init__(self, primaries: Primaries, retention: Retention, *, keyring: Keyring, timeout_seconds: float) -> None:
        self._primaries = primaries
        self._encryption = AttemptEncryption(keyring)
        self._attempt_ttl = _seconds(retention.attempt_ttl)
        self._marker_ttl = _seconds(retention.marker_ttl)
        self._first_check = _seconds(retention.first_check)
        self._timeout_seconds = timeout_seconds

    async def save(self, attempt: Attempt) -> Saved:
        """See AttemptStore.save."""
        attempt_id, keys = attempt.attempt_id, keys_of(attempt.attempt_id).in_order()
        content = self._encryption.encrypt(attempt)
        async with self._redis_errors():
            result = await self._primaries.run(
                scripts.SAVE, keys, content, attempt.user_id, self._attempt_ttl, attempt_id, self._first_check
            )
        if result is None:
            raise AttemptClosed
        stored, replayed = result
        return Saved(self._encryption.decrypt(attempt_id, stored) if replayed else attempt, replayed=bool(replayed))

    async def find(self, attempt_id: str) -> Attempt | Tombstone:
        """See AttemptStore.find."""
        keys = keys_of(attempt_id)
        async with self._redis_errors():
            content, close_reason, delete_reason, user_id, deleted_at = await self._primaries.run(
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
        if content is None:
            raise AttemptNotFound
        return replace(self._encryption.decrypt(attempt_id, content), close_reason=closed)

    async def close(self, attempt_id: str, reason: CloseReason) -> None:
        """See AttemptStore.close."""
        async with self._redis_errors():
            await self._primaries.run(
                scripts.CLOSE, keys_of(attempt_id).in_order(), reason.value, self._marker_ttl, attempt_id
            )

    async def delete(self, attempt_id: str, reason: DeleteReason) -> None:
        """See AttemptStore.delete."""
        async with self._redis_errors():
            await self._primaries.run(
                scripts.DELETE, keys_of(attempt_id).in_order(), reason.value, self._marker_ttl, attempt_id
            )

    @asynccontextmanager
    async def _redis_errors(self) -> AsyncIterator[None]:
        """Translate errors and the timeout to StoreUnavailable."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                try:
                    yield
                except (ReadOnlyError, MasterDownError):  # a replica answered
                    await self._primaries.reconnect()
                    raise
        except (RedisError, TimeoutError) as failure:
            _log.warning("store unavailable", extra={"cause": type(failure).__name__})
            raise StoreUnavailable from failure


def _seconds(duration: timedelta) -> int:
    return int(duration.total_seconds())
