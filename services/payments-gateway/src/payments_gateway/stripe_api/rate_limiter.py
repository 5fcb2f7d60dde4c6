"""A gate in front of Stripe: so many calls at once, so many a second, and buyers who pay before those who only look.

Stripe counts calls by account, not by process: what this gate spends is taken from every other caller (ADR 8).
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import Enum
from typing import Final

from prometheus_client import Gauge, Histogram

WAITED: Final = Histogram(
    "holdfast_stripe_limiter_wait_seconds",
    "Seconds that calls to Stripe waited for their turn, or until they were turned away.",
    ["priority"],
    buckets=(0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5),
)
RATE: Final = Gauge("holdfast_stripe_rate_limit", "Calls a second that may go to Stripe now; less after it said 429.")

_URGENT_TURNS: Final = 7
"""So many urgent calls may go ahead of a patient one that waits; then it has its turn."""
_PAUSE_SECONDS: Final = 1.0
"""After a 429 that names no time."""
_LONGEST_PAUSE_SECONDS: Final = 30.0
"""No header of Stripe's closes the shop for longer than this."""
_SLOWEST_SHARE: Final = 1 / 16
_RECOVERY_SHARE_PER_SECOND: Final = 0.1


class Priority(Enum):
    """Who goes first when not all can."""

    HIGH = "high"
    """A buyer is about to pay or has paid."""
    LOW = "low"
    """A page shows where a checkout stands; prices are refreshed; a subscription, a refund or a dispute has changed.
    May take half of the places at most."""


class LimiterTimeout(Exception):
    """There was no turn in time."""

    def __init__(self, retry_after_seconds: float | None) -> None:
        """Say when a turn may be had, where that is known."""
        super().__init__("no turn in time")
        self.retry_after_seconds = retry_after_seconds


class StripeLimiter:
    """Lets calls pass in turn. Bound to the event loop that it is used in."""

    def __init__(
        self,
        *,
        max_concurrent: int,
        requests_per_second: float,
        longest_wait_seconds: float,
        monotonic: Callable[[], float],
    ) -> None:
        """Allow so many calls at once and a second; nobody waits longer than said. monotonic is a clock in seconds."""
        self._places = {Priority.HIGH: max_concurrent, Priority.LOW: max(1, max_concurrent // 2)}
        self._under_way = dict.fromkeys(Priority, 0)
        self._waiting: dict[Priority, deque[asyncio.Future[None]]] = {priority: deque() for priority in Priority}
        self._urgent_in_a_row = 0
        self._full_rate = self._rate = requests_per_second
        self._burst = max(1.0, requests_per_second / 2)
        self._tokens = self._burst
        self._longest_wait_seconds = longest_wait_seconds
        self._monotonic = monotonic
        self._refilled_at = self._slowed_at = self._paused_until = float("-inf")
        self._alarm: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def turn(self, priority: Priority, *, within_seconds: float) -> AsyncIterator[None]:
        """Hold a place while the context lasts. Raises LimiterTimeout if none is free in time."""
        began = self._monotonic()
        try:
            await self._wait_for_turn(priority, min(within_seconds, self._longest_wait_seconds))
        finally:
            WAITED.labels(priority.value).observe(self._monotonic() - began)
        try:
            yield
        finally:
            self._leave(priority)

    def slow_down(self, retry_after_seconds: float | None) -> None:
        """Stripe had enough: let nobody pass for a while, and fewer afterwards, soon more again."""
        now = self._monotonic()
        self._refill(now)
        pause = _PAUSE_SECONDS if retry_after_seconds is None else min(retry_after_seconds, _LONGEST_PAUSE_SECONDS)
        if now - self._slowed_at >= _PAUSE_SECONDS:  # calls that were under way together are one warning
            self._slowed_at = now
            self._rate = max(self._full_rate * _SLOWEST_SHARE, self._rate / 2)
        self._paused_until = max(self._paused_until, now + pause)
        self._tokens = min(self._tokens, 1.0)

    async def _wait_for_turn(self, priority: Priority, seconds: float) -> None:
        pause = self._paused_until - self._monotonic()
        if pause > seconds:
            raise LimiterTimeout(pause)
        waiter = asyncio.get_running_loop().create_future()
        self._waiting[priority].append(waiter)
        self._let_pass()
        try:
            async with asyncio.timeout(seconds):
                await waiter
        except TimeoutError:
            self._give_back(priority, waiter)
            raise LimiterTimeout(max(0.0, self._paused_until - self._monotonic()) or None) from None
        except BaseException:
            self._give_back(priority, waiter)
            raise

    def _give_back(self, priority: Priority, waiter: "asyncio.Future[None]") -> None:
        """End a wait in vain. A place that was granted in the same moment goes to the next."""
        if waiter.done() and not waiter.cancelled():
            self._leave(priority)
        else:
            waiter.cancel()

    def _leave(self, priority: Priority) -> None:
        self._under_way[priority] -= 1
        self._let_pass()

    def _let_pass(self) -> None:
        now = self._monotonic()
        self._refill(now)
        while (priority := self._next()) is not None:
            opens_at = max(self._paused_until, now + (1 - self._tokens) / self._rate)
            if opens_at > now:
                self._look_again_in(opens_at - now)
                return
            self._tokens -= 1
            self._under_way[priority] += 1
            self._urgent_in_a_row = self._urgent_in_a_row + 1 if priority is Priority.HIGH else 0
            self._waiting[priority].popleft().set_result(None)

    def _next(self) -> Priority | None:
        """Return whose turn it is; None if nobody waits or there is no place."""
        for queue in self._waiting.values():
            while queue and queue[0].done():  # gave up
                queue.popleft()
        patients_turn = self._urgent_in_a_row >= _URGENT_TURNS
        order = (Priority.LOW, Priority.HIGH) if patients_turn else (Priority.HIGH, Priority.LOW)
        return next((priority for priority in order if self._waiting[priority] and self._has_place(priority)), None)

    def _has_place(self, priority: Priority) -> bool:
        all_under_way = sum(self._under_way.values())
        return all_under_way < self._places[Priority.HIGH] and self._under_way[priority] < self._places[priority]

    def _refill(self, now: float) -> None:
        passed = now - self._refilled_at
        self._refilled_at = now
        self._rate = min(self._full_rate, self._rate + self._full_rate * _RECOVERY_SHARE_PER_SECOND * passed)
        self._tokens = min(self._burst, self._tokens + self._rate * passed)
        RATE.set(self._rate)

    def _look_again_in(self, seconds: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_later(seconds, self._let_pass)
