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

    def in_order(self) -> tuple[str, str, str]:
        """Return the keys as a script's KEYS."""
        return self.attempt, self.closed, self.due


def keys_of(attempt_id: str) -> AttemptKeys:
    """Return the keys of an attempt. The braces make Redis Cluster hash the shard's name alone."""
    shard = f"{{s{shard_of(attempt_id):02d}}}"
    return AttemptKeys(f"{shard}:attempt:{attempt_id}", f"{shard}:closed:{attempt_id}", f"{shard}:due")


def shard_of(attempt_id: str) -> int:
    """Return the shard of an attempt: CRC-32 of its id, the same in every process and version."""
    return zlib.crc32(attempt_id.encode()) % SHARDS
