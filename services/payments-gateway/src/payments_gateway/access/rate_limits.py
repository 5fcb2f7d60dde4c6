"""Token buckets by client, in a table of fixed size that stores no client names (ADR 12)."""

import hashlib
import math
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

_ROWS: Final = 2
_SLOTS: Final = 1 << 16
"""Slots of a row. Two rows of 64 Ki numbers make a limiter 1 MiB, however many clients there are."""
_ROW_BYTES: Final = 4
_SECONDS_PER_MINUTE: Final = 60.0


class RateLimited(Exception):
    """Too many requests. The next one is granted after `retry_after_seconds`."""

    def __init__(self, limit: str, wait_seconds: float) -> None:
        super().__init__(limit)
        self.limit = limit
        self.retry_after_seconds = max(1, math.ceil(wait_seconds))


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests allowed: `per_minute` in the long run, `burst` at once after a rest."""

    per_minute: float
    burst: int


class RateLimiter:
    """A token bucket for each key, in a table of fixed size.

    A keyed hash selects a key's slots, so nobody can aim at another key's. Keys that share a slot share its tokens.
    Each key therefore has one slot in each of two rows, and is limited only when both are empty: with thousands of
    clients over their limit, hardly any other client is limited with them. Nothing is evicted, so a flood of other
    keys refills nobody's bucket. A request takes its token from both slots, so no key exceeds the rate.
    """

    def __init__(self, name: str, rate: Rate, *, secret: bytes, monotonic: Callable[[], float]) -> None:
        self._name = name
        self._interval_seconds = _SECONDS_PER_MINUTE / rate.per_minute
        self._credit_seconds = self._interval_seconds * (rate.burst - 1)
        self._secret = secret
        self._monotonic = monotonic
        # For each slot, the time at which its bucket is full again (GCRA's theoretical arrival time).
        self._full_at = array("d", [-math.inf]) * (_ROWS * _SLOTS)

    def take(self, key: str) -> None:
        """Take one of the key's tokens. Raises RateLimited, and takes nothing, if there is none."""
        now = self._monotonic()
        slots = list(self._slots(key))
        wait_seconds = min(self._full_at[slot] for slot in slots) - self._credit_seconds - now
        if wait_seconds > 0:
            raise RateLimited(self._name, wait_seconds)
        for slot in slots:
            self._full_at[slot] = max(self._full_at[slot], now) + self._interval_seconds

    def _slots(self, key: str) -> Iterator[int]:
        digest = hashlib.blake2b(key.encode(errors="surrogatepass"), key=self._secret, digest_size=_ROWS * _ROW_BYTES)
        numbers = memoryview(digest.digest()).cast("I")
        return (row * _SLOTS + number % _SLOTS for row, number in enumerate(numbers))
