"""Redis keys of an attempt: all keys of a shard are in one slot of Redis Cluster."""

import zlib
from dataclasses import dataclass
from typing import Final

SHARDS: Final = 64
"""Number of due indexes that the attempts are spread over. A change would hide every stored attempt."""

SHARD_COUNT_KEY: Final = "holdfast:attempt-shards"
"""Key of the number of shards with which this Redis was filled. A service with another number must not serve."""


@dataclass(frozen=True, slots=True)
class AttemptKeys:
    """The keys of one attempt, in the order of the scripts' KEYS."""

    attempt: str
    """Hash of the encrypted attempt and, in clear, its owner and its intent."""
    closed: str
    """Hash that refuses saves: close reason, successor and, once the attempt is deleted, its tombstone's fields."""
    due: str
    """Sorted set of the shard: attempt id by next check time, in seconds of Redis TIME."""
    intents: str
    """Hash of the shard: intent, creation and pay-by of each attempt that has a next check time."""

    def in_order(self) -> tuple[str, str, str, str]:
        """Return the keys as a script's KEYS."""
        return self.attempt, self.closed, self.due, self.intents


def keys_of(attempt_id: str) -> AttemptKeys:
    """Return the keys of an attempt. The braces make Redis Cluster hash the shard's name alone."""
    shard = shard_of(attempt_id)
    prefix = _prefix(shard)
    return AttemptKeys(f"{prefix}:attempt:{attempt_id}", f"{prefix}:closed:{attempt_id}", *index_keys(shard))


def index_keys(shard: int) -> tuple[str, str]:
    """Return the keys that a shard's attempts share: due and intents."""
    prefix = _prefix(shard)
    return f"{prefix}:due", f"{prefix}:intents"


def shard_of(attempt_id: str) -> int:
    """Return the shard of an attempt: CRC-32 of its id, the same in every process and version."""
    return zlib.crc32(attempt_id.encode()) % SHARDS


def _prefix(shard: int) -> str:
    return f"{{s{shard:02d}}}"
