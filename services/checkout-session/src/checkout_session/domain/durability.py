"""Durability of an acknowledged change (ADR 9)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class DurabilityLevel(StrEnum):
    """State that a change must have reached before it is acknowledged."""

    NONE = "none"
    """In the server's memory. A restart may lose everything."""
    AOF = "aof"
    """In the memory of a server that keeps an append-only file. A crash may lose the last second."""
    FSYNC = "fsync"
    """On the disk. A crash loses nothing that was acknowledged."""


@dataclass(frozen=True, slots=True)
class DurabilityPolicy:
    """Durability that the servers must give."""

    level: DurabilityLevel
    replicas: int = 0
    """Number of replicas that must also have the change on disk, at level FSYNC."""

    @property
    def waits_for_disk(self) -> bool:
        """True if a change is acknowledged only when it is on disk."""
        return self.level is DurabilityLevel.FSYNC

    @property
    def requires_aof(self) -> bool:
        """True if the server must keep an append-only file."""
        return self.level is not DurabilityLevel.NONE


IN_MEMORY: Final = DurabilityPolicy(DurabilityLevel.NONE)
