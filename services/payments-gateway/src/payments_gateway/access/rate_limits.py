"""Limits how often something is done, without remembering who does it and without growing (ADR 0012)."""

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
    """Too much was asked in too short a time."""

    def __init__(self, limit: str, wait_seconds: float) -> None:
        """Say which limit it was, and after how many seconds the next request will be granted."""
        super().__init__(limit)
        self.limit = limit
        self.retry_after_seconds = max(1, math.ceil(wait_seconds))


@dataclass(frozen=True)
class Rate:
    """How often something may be done."""

    per_minute: float
    """In the long run."""
    burst: int
    """How often at once, after a time of rest."""


class RateLimiter:
    """A token bucket for each key, kept in a table of fixed size.

    A key's place is a keyed hash, so nobody can aim at another's. Keys that share a place share its tokens; therefore
    a key has one place in each of two rows and is refused only when both are empty: with thousands of clients over
    their limit, a client that is not is hardly ever refused with them. Nothing is ever evicted, so nobody's spent
    bucket becomes full again by a flood of other keys. What a key has used is taken from both of its places, so it
    never gets more than the rate allows.
    """

    def __init__(self, name: str, rate: Rate, *, secret: bytes, monotonic: Callable[[], float]) -> None:
        """Limit each key to a rate; secret keys the hash, monotonic is a clock in seconds."""
        self._name = name
        self._interval_seconds = _SECONDS_PER_MINUTE / rate.per_minute
        self._credit_seconds = self._interval_seconds * (rate.burst - 1)
        self._secret = secret
        self._monotonic = monotonic
        # For each place the time at which its bucket is full again (GCRA's theoretical arrival time).
        self._full_at = array("d", [-math.inf]) * (_ROWS * _SLOTS)

    def take(self, key: str) -> None:
        """Take one of the key's tokens. Raises RateLimited, and takes nothing, if there is none."""
        now = self._monotonic()
        places = list(self._places(key))
        wait_seconds = min(self._full_at[place] for place in places) - self._credit_seconds - now
        if wait_seconds > 0:
            raise RateLimited(self._name, wait_seconds)
        for place in places:
            self._full_at[place] = max(self._full_at[place], now) + self._interval_seconds

    def _places(self, key: str) -> Iterator[int]:
        digest = hashlib.blake2b(key.encode(errors="surrogatepass"), key=self._secret, digest_size=_ROWS * _ROW_BYTES)
        numbers = memoryview(digest.digest()).cast("I")
        return (row * _SLOTS + number % _SLOTS for row, number in enumerate(numbers))
