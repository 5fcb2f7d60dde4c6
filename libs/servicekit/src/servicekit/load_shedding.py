"""Load shedding: a process serves a bounded number of requests at once and refuses the others, least critical first.

See ADR 51.
"""

import logging
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Final, Self

from prometheus_client import Counter

_log = logging.getLogger(__name__)

SHED: Final = Counter(
    "holdfast_requests_shed", "Requests refused because of overload, by criticality.", ["criticality"]
)
DEFAULT_MAX_IN_FLIGHT: Final = 128
"""Requests that one process answers within two seconds: one core serves a hundred a second (docs/performance.md)."""
OVERLOADED_REASON: Final = "overloaded"
RETRY_AFTER_SECONDS: Final = 2
"""Time after which a refused client may come again: that of the accepted requests before it."""

_WARNING_EVERY_SECONDS: Final = 10.0
"""A warning for each refused request would be load of its own. The metric counts them."""


class Criticality(StrEnum):
    """Order in which requests are refused, the first one first. The values are metric labels."""

    BACKGROUND = "background"
    """Nobody waits for it."""
    LOW = "low"
    """Begins something new, which may begin later."""
    NORMAL = "normal"
    """Browses, or reports what is reported again by itself."""
    HIGH = "high"
    """Finishes what has begun, or answers somebody who waits for that."""


_SHARES: Final = {
    Criticality.BACKGROUND: 0.25,
    Criticality.LOW: 0.5,
    Criticality.NORMAL: 0.75,
    Criticality.HIGH: 1.0,
}
"""Part of the requests in flight, whatever their criticality, from which on this one is refused."""


class Overloaded(Exception):
    """The request is refused, and was not begun: this process could not answer it in time."""

    def __init__(self) -> None:
        super().__init__("overloaded: too many requests are in flight")


class Slot:
    """Place of one request among those in flight."""

    __slots__ = ("_held", "_shedder")

    def __init__(self, shedder: "LoadShedder") -> None:
        self._shedder = shedder
        self._held = True

    def release(self) -> None:
        """Give the place back, once: the request has ended, or only waits from now on."""
        if self._held:
            self._held = False
            self._shedder.in_flight -= 1

    def __enter__(self) -> Self:
        """Hold the slot until the context ends."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release it."""
        self.release()


class LoadShedder:
    """Counts the requests in flight and refuses those that are too many. Bound to one event loop."""

    def __init__(self, max_in_flight: int, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._limits = {each: max(1, int(max_in_flight * share)) for each, share in _SHARES.items()}
        self._monotonic = monotonic
        self._next_warning_at = 0.0
        self.in_flight = 0

    def acquire(self, criticality: Criticality) -> Slot:
        """Take a slot. Raises Overloaded."""
        if self.in_flight >= self._limits[criticality]:
            raise self.refused(criticality)
        self.in_flight += 1
        return Slot(self)

    def refused(self, criticality: Criticality) -> Overloaded:
        """Count a request that is refused, and return the exception to raise."""
        SHED.labels(criticality).inc()
        now = self._monotonic()
        if now >= self._next_warning_at:
            self._next_warning_at = now + _WARNING_EVERY_SECONDS
            _log.warning(
                "overloaded, requests are refused",
                extra={"criticality": criticality.value, "in_flight": self.in_flight},
            )
        return Overloaded()
