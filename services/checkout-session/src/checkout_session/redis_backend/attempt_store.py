"""Attempt store on Redis or Valkey: one script per change, one hash slot per attempt."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from redis.exceptions import OutOfMemoryError

from checkout_session.domain.attempts import (
    Attempt,
    AttemptClosed,
    AttemptNotFound,
    AttemptUnreadable,
    ClosedAttempt,
    CloseReason,
    DeleteReason,
    FoundAttempt,
    Intent,
    IntentKind,
    Saved,
    Tombstone,
    UnreadableAttempt,
)
from checkout_session.redis_backend import scripts
from checkout_session.redis_backend.encryption import AttemptEncryption
from checkout_session.redis_backend.intent_entries import encode_entry
from checkout_session.redis_backend.keys import keys_of
from checkout_session.redis_backend.primaries import Primaries
from checkout_session.redis_backend.store_errors import redis_errors
from servicekit.encryption import Keyring

TOMBSTONE_TTL: Final = timedelta(days=35)
"""Longer than Stripe retries webhooks and lists events (30 days), so no report of a payment outlives it."""

_Fields = dict[str, bytes]
"""Fields of a hash."""


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
        self._attempt_ttl = int(retention.attempt_ttl.total_seconds())
        self._marker_ttl = int(retention.marker_ttl.total_seconds())
        self._first_check = int(retention.first_check.total_seconds())
        self._timeout_seconds = timeout_seconds

    async def save(self, attempt: Attempt) -> Saved:
        """See AttemptStore.save."""
        attempt_id, keys = attempt.attempt_id, keys_of(attempt.attempt_id)
        fields = (self._encryption.encrypt(attempt), attempt.user_id, attempt.intent.id, attempt.intent.kind.value)
        entry = encode_entry(attempt)
        async with self._redis_errors():
            try:
                result = await self._primaries.run(
                    scripts.SAVE, keys.in_order(), *fields, self._attempt_ttl, attempt_id, self._first_check, entry
                )
            except OutOfMemoryError:  # nothing ran; what is stored can still be answered
                result = await self._primaries.run(scripts.REPLAY, (keys.attempt, keys.closed))
        if result is None:
            raise AttemptClosed
        stored, replayed = result
        return Saved(self._encryption.decrypt(attempt_id, stored) if replayed else attempt, replayed=bool(replayed))

    async def find(self, attempt_id: str) -> FoundAttempt:
        """See AttemptStore.find."""
        keys = keys_of(attempt_id)
        async with self._redis_errors():
            attempt, marker = await self._primaries.run(scripts.FIND, (keys.attempt, keys.closed))
        found = self._found(attempt_id, _fields(attempt), _fields(marker))
        if found is None:
            raise AttemptNotFound
        return found

    async def close(self, attempt_id: str, reason: CloseReason, successor: str = "") -> ClosedAttempt:
        """See AttemptStore.close."""
        async with self._redis_errors():
            attempt, marker = await self._primaries.run(
                scripts.CLOSE, keys_of(attempt_id).in_order(), reason.value, self._marker_ttl, attempt_id, successor
            )
        closed = _fields(marker)
        return ClosedAttempt(self._found(attempt_id, _fields(attempt), closed), _successor(closed))

    async def delete(self, attempt_id: str, reason: DeleteReason) -> None:
        """See AttemptStore.delete."""
        async with self._redis_errors():
            await self._primaries.run(
                scripts.DELETE, keys_of(attempt_id).in_order(), reason.value, self._marker_ttl, attempt_id
            )

    def _found(self, attempt_id: str, attempt: _Fields, marker: _Fields) -> FoundAttempt | None:
        """Read an attempt's hash and its marker. None if the id was never saved."""
        close_reason = CloseReason(marker["close_reason"].decode()) if "close_reason" in marker else None
        if "delete_reason" in marker:
            return Tombstone(
                attempt_id=attempt_id,
                reason=DeleteReason(marker["delete_reason"].decode()),
                close_reason=close_reason,
                user_id=marker["user_id"].decode(),
                deleted_at=datetime.fromtimestamp(int(marker["deleted_at"]), UTC),
                successor=_successor(marker),
            )
        if not attempt:
            return None
        try:
            decrypted = self._encryption.decrypt(attempt_id, attempt["content"])
        except AttemptUnreadable as unreadable:
            return UnreadableAttempt(
                attempt_id=attempt_id,
                user_id=attempt["user_id"].decode(),
                intent=Intent(attempt["intent_id"].decode(), IntentKind(attempt["intent_kind"].decode())),
                encrypted_content=attempt["content"],
                key_id=unreadable.key_id,
                close_reason=close_reason,
                successor=_successor(marker),
            )
        return replace(decrypted, close_reason=close_reason, successor=_successor(marker))

    def _redis_errors(self) -> AbstractAsyncContextManager[None]:
        return redis_errors(self._primaries, self._timeout_seconds)


def _fields(flat: Sequence[bytes]) -> _Fields:
    """Return the fields of a hash, which a script returns as names and values in turn."""
    return {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}


def _successor(marker: _Fields) -> str:
    return marker.get("successor", b"").decode()
