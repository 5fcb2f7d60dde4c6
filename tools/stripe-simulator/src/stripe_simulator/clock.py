"""The simulated clock: real time plus an offset that tests advance."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime


class Clock:
    """Clock of objects, idempotency keys and scheduled actions."""

    def __init__(self) -> None:
        self._added_seconds = 0.0
        self._frozen_at: float | None = None

    def now(self) -> float:
        """Return the simulated time in seconds since the epoch."""
        return time.time() + self._added_seconds if self._frozen_at is None else self._frozen_at

    @contextmanager
    def frozen_at(self, moment: float) -> Iterator[None]:
        """Freeze the clock at a moment, so that a scheduled action runs as of its due time."""
        self._frozen_at = moment
        try:
            yield
        finally:
            self._frozen_at = None

    def timestamp(self) -> int:
        """Return the simulated time in whole seconds, the resolution of Stripe's `created`."""
        return int(self.now())

    def today(self) -> date:
        """Return the simulated date in UTC."""
        return datetime.fromtimestamp(self.now(), UTC).date()

    def advance(self, seconds: float) -> None:
        """Advance the clock."""
        if seconds < 0:
            raise ValueError("the clock only moves forward")
        self._added_seconds += seconds

    def advance_to(self, moment: float) -> None:
        """Advance the clock to a time in seconds since the epoch, unless it is past it."""
        self._added_seconds += max(moment - self.now(), 0.0)
