"""How much of what was acknowledged may be lost when a server loses its memory (ADR 9)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class DurabilityLevel(StrEnum):
    """What has happened to a change before it is acknowledged."""

    NONE = "none"
    """It is in the server's memory. A restart may lose everything."""
    AOF = "aof"
    """It is in the server's memory, and the server keeps an append-only file: a crash may lose its last second."""
    FSYNC = "fsync"
    """It is on the disk: a crash loses nothing that was acknowledged."""


@dataclass(frozen=True, slots=True)
class Durability:
    """What is asked of the servers."""

    level: DurabilityLevel
    replicas: int = 0
    """On how many replicas' disks a change must be besides, at level FSYNC."""

    @property
    def waits_for_disk(self) -> bool:
        """Whether a change is acknowledged only when it is on the disk."""
        return self.level is DurabilityLevel.FSYNC

    @property
    def needs_file(self) -> bool:
        """Whether the server must keep an append-only file."""
        return self.level is not DurabilityLevel.NONE


IN_MEMORY: Final = Durability(DurabilityLevel.NONE)
"""Nothing is asked."""
