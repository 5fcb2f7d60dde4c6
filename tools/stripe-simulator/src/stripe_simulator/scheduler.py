"""Scheduler of future actions, such as renewals and the settlement of bank debits."""

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable

from stripe_simulator.clock import Clock

Action = Callable[[], object]

_log = logging.getLogger("stripe_simulator")


class ScheduledActionsFailed(Exception):
    """Scheduled actions raised exceptions: a defect of the simulator."""


class Scheduler:
    """Runs actions when the simulated clock reaches their time.

    No caller can handle the exception of an action, so it is kept. The health check, the control API's advance and
    reset, and `simulated_stripe` fail with it.
    """

    def __init__(self, clock: Clock) -> None:
        self._failures: list[str] = []
        self._clock = clock
        self._entries: list[tuple[float, int, Action]] = []
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, delay_seconds: float, action: Action) -> None:
        """Run an action once, after this much simulated time."""
        self.add_at(self._clock.now() + delay_seconds, action)

    def add_at(self, moment: float, action: Action) -> None:
        """Run an action once, at a simulated time in seconds since the epoch. A past one runs as soon as possible."""
        heapq.heappush(self._entries, (moment, next(self._order), action))
        self._set_timer()

    def scheduled(self) -> list[tuple[float, int, Action]]:
        """Return the actions to come, for `reschedule`."""
        return [*self._entries]

    def reschedule(self, scheduled: list[tuple[float, int, Action]]) -> None:
        """Replace the actions to come."""
        self._entries = [*scheduled]
        self._set_timer()

    def next_moment(self) -> float | None:
        """Return the time of the next action, or None."""
        return self._entries[0][0] if self._entries else None

    def run_due(self) -> None:
        """Run all due actions, in order of time. One that raises does not keep the others from running."""
        while self._entries and self._entries[0][0] <= self._clock.now():
            moment, _, action = heapq.heappop(self._entries)
            with self._clock.frozen_at(moment):
                self._run(action)
        self._set_timer()

    def require_no_failures(self) -> None:
        """Raise ScheduledActionsFailed if an action has failed since the start."""
        if self._failures:
            raise ScheduledActionsFailed("; ".join(self._failures))

    def clear(self) -> None:
        """Cancel all actions."""
        self._entries.clear()
        self._set_timer()

    def _run(self, action: Action) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - kept, and raised by require_no_failures
            _log.exception("a scheduled action failed")
            self._failures.append(f"{type(error).__name__}: {error}")

    def _set_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._entries:
            delay = max(self._entries[0][0] - self._clock.now(), 0.0)
            self._timer = asyncio.get_running_loop().call_later(delay, self.run_due)
