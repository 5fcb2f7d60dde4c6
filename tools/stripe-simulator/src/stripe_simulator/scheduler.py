"""Scheduler of future actions, such as renewals and the settlement of bank debits."""

import asyncio
import heapq
import itertools
from collections.abc import Callable

from stripe_simulator.clock import Clock

Action = Callable[[], None]


class Scheduler:
    """Runs actions when the simulated clock reaches their time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: list[tuple[float, int, Action]] = []
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, delay_seconds: float, action: Action) -> None:
        """Run an action once, after this much simulated time."""
        heapq.heappush(self._entries, (self._clock.now() + delay_seconds, next(self._order), action))
        self._set_timer()

    def run_due(self) -> None:
        """Run all due actions, in order of time."""
        while self._entries and self._entries[0][0] <= self._clock.now():
            moment, _, action = heapq.heappop(self._entries)
            with self._clock.frozen_at(moment):
                action()
        self._set_timer()

    def clear(self) -> None:
        """Cancel all actions."""
        self._entries.clear()
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._entries:
            delay = max(self._entries[0][0] - self._clock.now(), 0.0)
            self._timer = asyncio.get_running_loop().call_later(delay, self.run_due)
