"""Where an attempt's keys live: every key of a shard is in one slot of Redis Cluster."""

import zlib
from dataclasses import dataclass
from typing import Final

SHARDS: Final = 64
"""How many due indexes the attempts are spread over. Changing it would lose every stored attempt from sight."""

SHARD_COUNT_KEY: Final = "holdfast:attempt-shards"
"""Holds SHARDS as it was when the first attempt could be stored; a service that counts otherwise must not serve."""


@dataclass(frozen=True, slots=True)
class AttemptKeys:
    """The keys of one attempt, in the order in which the scripts take them."""

    attempt: str
    """A hash: the sealed attempt, and beside it its owner, who outlives it in the tombstone."""
    closed: str
    """A hash that bars saves: close reason and, once the attempt is deleted, what its tombstone tells."""
    due: str
    """A sorted set shared by the shard: attempt id by next check time, in seconds of Redis TIME."""

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
