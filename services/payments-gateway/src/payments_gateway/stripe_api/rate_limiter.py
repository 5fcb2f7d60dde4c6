"""Limiter in front of Stripe: concurrent requests, requests a second, buyers who pay before everything else (ADR 8).

Stripe counts requests by account, not by process: each gateway takes its share of the account's limit.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Final

from prometheus_client import Gauge, Histogram

WAIT_SECONDS: Final = Histogram(
    "holdfast_stripe_limiter_wait_seconds",
    "Seconds that requests to Stripe waited for a slot, in vain or not.",
    ["priority"],
    buckets=(0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5),
)
RATE: Final = Gauge("holdfast_stripe_rate_limit", "Requests a second that may start now; reduced after a 429.")

_MAX_HIGH_IN_A_ROW: Final = 7
"""High-priority requests that may pass a waiting low-priority one, which then gets its slot."""
_PAUSE_SECONDS: Final = 1.0
"""Pause after a 429 without Retry-After."""
_MAX_PAUSE_SECONDS: Final = 30.0
"""Upper bound for Stripe's Retry-After: no header closes the shop for longer."""
_MIN_RATE_SHARE: Final = 1 / 16
_RECOVERY_SHARE_PER_SECOND: Final = 0.1


class Priority(StrEnum):
    """Order in which requests get a slot. The values are metric labels."""

    HIGH = "high"
    """A buyer is paying or has paid."""
    LOW = "low"
    """Status pages, prices, and events of subscriptions, refunds and disputes. May use half of the slots."""


class LimiterTimeout(Exception):
    """No slot became free in time. `retry_after_seconds` says when one may be, where that is known."""

    def __init__(self, retry_after_seconds: float | None) -> None:
        super().__init__("no slot in time")
        self.retry_after_seconds = retry_after_seconds


class StripeLimiter:
    """Token bucket with a bounded number of slots. Bound to one event loop; `monotonic` is a clock in seconds."""

    def __init__(
        self,
        *,
        max_concurrent: int,
        requests_per_second: float,
        max_wait_seconds: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._capacity = {Priority.HIGH: max_concurrent, Priority.LOW: max(1, max_concurrent // 2)}
        self._in_flight = dict.fromkeys(Priority, 0)
        self._waiters: dict[Priority, deque[asyncio.Future[None]]] = {priority: deque() for priority in Priority}
        self._high_in_a_row = 0
        self._full_rate = self._rate = requests_per_second
        self._burst = max(1.0, requests_per_second / 2)
        self._tokens = self._burst
        self._max_wait_seconds = max_wait_seconds
        self._monotonic = monotonic
        self._refilled_at = self._slowed_at = self._paused_until = float("-inf")
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def acquire(self, priority: Priority, *, timeout_seconds: float) -> AsyncIterator[None]:
        """Hold a slot while the context lasts. Raises LimiterTimeout if none becomes free in time."""
        began = self._monotonic()
        try:
            await self._wait_for_slot(priority, min(timeout_seconds, self._max_wait_seconds))
        finally:
            WAIT_SECONDS.labels(priority).observe(self._monotonic() - began)
        try:
            yield
        finally:
            self._release(priority)

    def slow_down(self, retry_after_seconds: float | None) -> None:
        """React to a 429: start no request for a while, then fewer a second, and recover step by step."""
        now = self._monotonic()
        self._refill(now)
        pause = _PAUSE_SECONDS if retry_after_seconds is None else min(retry_after_seconds, _MAX_PAUSE_SECONDS)
        if now - self._slowed_at >= _PAUSE_SECONDS:  # several 429s of concurrent requests are one warning
            self._slowed_at = now
            self._rate = max(self._full_rate * _MIN_RATE_SHARE, self._rate / 2)
        self._paused_until = max(self._paused_until, now + pause)
        self._tokens = min(self._tokens, 1.0)

    async def _wait_for_slot(self, priority: Priority, seconds: float) -> None:
        pause = self._paused_until - self._monotonic()
        if pause > seconds:
            raise LimiterTimeout(pause)
        waiter = asyncio.get_running_loop().create_future()
        self._waiters[priority].append(waiter)
        self._wake_waiters()
        try:
            async with asyncio.timeout(seconds):
                await waiter
        except TimeoutError:
            self._abandon(priority, waiter)
            raise LimiterTimeout(max(0.0, self._paused_until - self._monotonic()) or None) from None
        except BaseException:
            self._abandon(priority, waiter)
            raise

    def _abandon(self, priority: Priority, waiter: "asyncio.Future[None]") -> None:
        """End a wait. A slot that was granted in the same moment goes to the next waiter."""
        if waiter.done() and not waiter.cancelled():
            self._release(priority)
        else:
            waiter.cancel()

    def _release(self, priority: Priority) -> None:
        self._in_flight[priority] -= 1
        self._wake_waiters()

    def _wake_waiters(self) -> None:
        now = self._monotonic()
        self._refill(now)
        while (priority := self._next_priority()) is not None:
            opens_at = max(self._paused_until, now + (1 - self._tokens) / self._rate)
            if opens_at > now:
                self._wake_waiters_in(opens_at - now)
                return
            self._tokens -= 1
            self._in_flight[priority] += 1
            self._high_in_a_row = self._high_in_a_row + 1 if priority is Priority.HIGH else 0
            self._waiters[priority].popleft().set_result(None)

    def _next_priority(self) -> Priority | None:
        """Return the priority of the next waiter; None if nobody waits or no slot is free."""
        for queue in self._waiters.values():
            while queue and queue[0].done():  # abandoned
                queue.popleft()
        low_first = self._high_in_a_row >= _MAX_HIGH_IN_A_ROW
        order = (Priority.LOW, Priority.HIGH) if low_first else (Priority.HIGH, Priority.LOW)
        return next((priority for priority in order if self._waiters[priority] and self._has_slot(priority)), None)

    def _has_slot(self, priority: Priority) -> bool:
        total = sum(self._in_flight.values())
        return total < self._capacity[Priority.HIGH] and self._in_flight[priority] < self._capacity[priority]

    def _refill(self, now: float) -> None:
        passed = now - self._refilled_at
        self._refilled_at = now
        self._rate = min(self._full_rate, self._rate + self._full_rate * _RECOVERY_SHARE_PER_SECOND * passed)
        self._tokens = min(self._burst, self._tokens + self._rate * passed)
        RATE.set(self._rate)

    def _wake_waiters_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._wake_waiters)
