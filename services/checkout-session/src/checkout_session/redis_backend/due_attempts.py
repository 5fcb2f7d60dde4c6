"""Index of attempts by next check time, on Redis or Valkey: one script per shard and step."""

import logging
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from checkout_session.domain.attempts import CloseReason, StoreUnavailable
from checkout_session.domain.due_attempts import DueAttempt
from checkout_session.redis_backend import scripts
from checkout_session.redis_backend.attempt_store import Retention
from checkout_session.redis_backend.intent_entries import decode_entry
from checkout_session.redis_backend.keys import SHARDS, index_keys, keys_of, shard_of
from checkout_session.redis_backend.primaries import Primaries
from checkout_session.redis_backend.store_errors import redis_errors

_log = logging.getLogger(__name__)


class RedisDueAttempts:
    """Implements DueAttempts. `timeout_seconds` bounds each method, its retries included."""

    def __init__(self, primaries: Primaries, retention: Retention, *, timeout_seconds: float) -> None:
        self._primaries = primaries
        self._attempt_ttl = int(retention.attempt_ttl.total_seconds())
        self._marker_ttl = int(retention.marker_ttl.total_seconds())
        self._timeout_seconds = timeout_seconds

    async def claim(self, limit: int, lease: timedelta) -> Sequence[DueAttempt]:
        """See DueAttempts.claim."""
        claimed: list[DueAttempt] = []
        try:
            async with redis_errors(self._primaries, self._timeout_seconds):
                for shard in _shards_from_any():
                    claimed += await self._claim_in(shard, limit - len(claimed), lease)
                    if len(claimed) >= limit:
                        break
        except StoreUnavailable:
            if not claimed:  # what was claimed before would wait for the end of its lease
                raise
        return claimed

    async def reschedule(self, delays: Mapping[str, timedelta]) -> None:
        """See DueAttempts.reschedule."""
        arguments: defaultdict[int, list[str]] = defaultdict(list)
        for attempt_id, delay in delays.items():
            arguments[shard_of(attempt_id)] += [attempt_id, str(delay.total_seconds())]
        async with redis_errors(self._primaries, self._timeout_seconds):
            for shard, checks in arguments.items():
                await self._primaries.run(scripts.RESCHEDULE, index_keys(shard)[:1], *checks)

    async def _claim_in(self, shard: int, limit: int, lease: timedelta) -> Sequence[DueAttempt]:
        """Claim due attempts of one shard. Their keys are known only then, so a second script renews them."""
        ids, entries = await self._primaries.run(scripts.CLAIM, index_keys(shard), limit, str(lease.total_seconds()))
        if not ids:
            return []
        attempt_ids = [attempt_id.decode() for attempt_id in ids]
        keys = [key for attempt_id in attempt_ids for key in keys_of(attempt_id).in_order()[:2]]
        states = await self._primaries.run(scripts.RENEW, keys, self._attempt_ttl, self._marker_ttl)
        return list(_due_attempts(attempt_ids, entries, states))


def _due_attempts(
    attempt_ids: Sequence[str], entries: Sequence[bytes | None], states: Sequence[Sequence[int | bytes | None]]
) -> Iterator[DueAttempt]:
    """Read the results of claim.lua and renew.lua. Attempts that were deleted in between are left out."""
    for attempt_id, entry, (content_exists, close_reason, deleted) in zip(attempt_ids, entries, states, strict=True):
        if deleted:
            continue
        try:
            yield decode_entry(
                attempt_id,
                entry or b"",
                close_reason=CloseReason(close_reason.decode()) if isinstance(close_reason, bytes) else None,
                content_exists=bool(content_exists),
            )
        except (ValueError, OverflowError):  # only a change from outside
            _log.exception("due attempt without a readable intent", extra={"due_attempt": attempt_id[:8]})


def _shards_from_any() -> Iterator[int]:
    """Return every shard, beginning with a random one: several reconcilers meet in few."""
    first = random.randrange(SHARDS)  # noqa: S311 — spreads load, hides nothing
    return ((first + offset) % SHARDS for offset in range(SHARDS))
