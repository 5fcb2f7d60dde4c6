"""The simulator's clock: real time plus whatever tests have added to it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime


class Clock:
    """Tells the time that objects, idempotency keys and settlements go by."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._added_seconds = 0.0
        self._frozen_at: float | None = None

    def now(self) -> float:
        """Answer the simulated time as seconds since the epoch."""
        return self._wall() + self._added_seconds if self._frozen_at is None else self._frozen_at

    @contextmanager
    def frozen_at(self, moment: float) -> Iterator[None]:
        """Stand still at a moment: what was due then happens as of then, however far the clock was advanced."""
        self._frozen_at = moment
        try:
            yield
        finally:
            self._frozen_at = None

    def timestamp(self) -> int:
        """Answer the simulated time in whole seconds, the resolution of Stripe's `created`."""
        return int(self.now())

    def today(self) -> date:
        """Answer the simulated date, in UTC."""
        return datetime.fromtimestamp(self.now(), UTC).date()

    @property
    def added_seconds(self) -> float:
        """How far ahead of real time this clock is."""
        return self._added_seconds

    def advance(self, seconds: float) -> None:
        """Move the clock forward; it never goes back."""
        if seconds < 0:
            raise ValueError("the clock only moves forward")
        self._added_seconds += seconds
