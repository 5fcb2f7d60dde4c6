"""The attempt store on Redis (or Valkey): one script per change, one slot per attempt."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import MasterDownError, ReadOnlyError, RedisError

from checkout.session.v1 import checkout_session_pb2 as pb
from checkout_session import scripts
from checkout_session.attempts import (
    Attempt,
    AttemptClosed,
    AttemptNotFound,
    CloseReason,
    DeleteReason,
    Saved,
    StoreUnavailable,
    Tombstone,
)
from checkout_session.messages import attempt_from_message, attempt_to_message
from checkout_session.shards import keys_of

_log = logging.getLogger(__name__)

TOMBSTONE_TTL: Final = timedelta(days=35)
"""Longer than Stripe retries webhooks and lists events (30 days), so that no report of a payment outlives it."""


def connect(url: str, *, max_connections: int, timeout_seconds: float) -> Redis:
    """Return a client with a bounded pool that reconnects by itself. It connects when it is first used.

    A command is sent again up to twice when its connection fails: every script may be repeated.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=max_connections,
        timeout=timeout_seconds,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(ExponentialBackoff(cap=0.2, base=0.02), retries=2),
        protocol=2,  # RESP3 only adds push messages, which nothing here listens to
        client_name="checkout-session",
    )
    return Redis.from_pool(pool)


async def connect_anew(redis: Redis) -> None:
    """Let go of every connection, so that what comes next resolves the address again.

    A master that is demoted closes no connection: who stayed on one would be refused every change for ever.
    """
    pool = redis.connection_pool
    await pool.update_active_connections_for_reconnect()  # type: ignore[no-untyped-call]  # redis-py left it untyped
    await pool.disconnect(inuse_connections=False)


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

    def __init__(self, redis: Redis, retention: Retention, *, timeout_seconds: float) -> None:
        """Use a client for as long as it is open. timeout_seconds bounds each verb, its retries included."""
        self._redis = redis
        self._attempt_ttl = _seconds(retention.attempt_ttl)
        self._marker_ttl = _seconds(retention.marker_ttl)
        self._first_check = _seconds(retention.first_check)
        self._timeout_seconds = timeout_seconds

    async def save(self, attempt: Attempt) -> Saved:
        """See AttemptStore.save."""
        keys = keys_of(attempt.attempt_id).in_order()
        sent = attempt_to_message(attempt).SerializeToString()
        async with self._answering():
            answer = await scripts.SAVE.run(
                self._redis, keys, sent, self._attempt_ttl, attempt.attempt_id, self._first_check
            )
        if answer is None:
            raise AttemptClosed
        stored, replayed = answer
        return Saved(_attempt(stored) if replayed else attempt, replayed=bool(replayed))

    async def find(self, attempt_id: str) -> Attempt | Tombstone:
        """See AttemptStore.find."""
        keys = keys_of(attempt_id)
        async with self._answering():
            stored, close_reason, delete_reason, user_id, deleted_at = await scripts.FIND.run(
                self._redis, (keys.attempt, keys.closed)
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
        return replace(_attempt(stored), close_reason=closed)

    async def close(self, attempt_id: str, reason: CloseReason) -> None:
        """See AttemptStore.close."""
        keys = keys_of(attempt_id).in_order()
        async with self._answering():
            await scripts.CLOSE.run(self._redis, keys, reason.value, self._marker_ttl, attempt_id)

    async def delete(self, attempt_id: str, reason: DeleteReason) -> None:
        """See AttemptStore.delete."""
        keys = keys_of(attempt_id).in_order()
        arguments = (reason.value, self._marker_ttl, attempt_id)
        async with self._answering():
            stored = await scripts.DELETE.run(self._redis, keys, *arguments)
            if stored is not None:
                await scripts.DELETE.run(self._redis, keys, *arguments, _attempt(stored).user_id)

    @asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                try:
                    yield
                except (ReadOnlyError, MasterDownError):  # a replica's answers
                    await connect_anew(self._redis)
                    raise
        except (RedisError, TimeoutError) as failure:
            _log.warning("store unavailable", extra={"cause": type(failure).__name__})
            raise StoreUnavailable from failure


def _attempt(stored: bytes) -> Attempt:
    return attempt_from_message(pb.Attempt.FromString(stored))


def _seconds(duration: timedelta) -> int:
    return int(duration.total_seconds())
