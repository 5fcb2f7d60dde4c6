"""Limiter in front of Stripe: concurrent requests, requests a second, paid checkouts before everything else (ADR 34).

Stripe limits the requests of an account, and those of each operation of its API (https://docs.stripe.com/rate-limits).
It counts by account, not by process: each gateway takes its share.
"""

import asyncio
import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from prometheus_client import Gauge, Histogram

from payments_gateway.stripe_api.token_bucket import TokenBucket
from payments_gateway.stripe_api.wait_queue import WaitQueue

WAIT_SECONDS: Final = Histogram(
    "holdfast_stripe_limiter_wait_seconds",
    "Seconds that requests to Stripe waited for their turn, in vain or not.",
    ["priority"],
    buckets=(0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5),
)
RATE: Final = Gauge(
    "holdfast_stripe_rate_limit", "Requests a second that may start now; reduced after a 429.", ["operation"]
)
ALL_OPERATIONS: Final = "all"
"""Name of the limit of the whole account, beside those of operations."""

_MAX_BUY_IN_A_ROW: Final = 7
"""BUY requests that may pass a waiting BROWSE request, in its operation or in all. Then it is before them."""
_RESERVED_SLOTS_SHARE: Final = 0.1
_ADMITTED_SHARE: Final = 0.5
"""Part of the longest wait that the requests before it may take, for a request to be let in. The rest is for those that
pass it later, so that it does not give up just before its turn."""
_WAITED_SHARE: Final = 0.75
"""Part of a request's time in which its turn must come. The rest is for Stripe's answer."""
_LONGEST_ESTIMATE_SECONDS: Final = 60


class Priority(StrEnum):
    """Order in which requests start, the first one first. The values are metric labels."""

    FULFIL = "fulfil"
    """Completes or activates a checkout that is paid, or may be. It has a reserve of slots and tokens to itself."""
    BUY = "buy"
    """A buyer begins, changes or cancels."""
    BROWSE = "browse"
    """Status pages, prices, and events of subscriptions, refunds and disputes. May use half of the slots."""


_UP_TO: Final = {priority: tuple(Priority)[: place + 1] for place, priority in enumerate(Priority)}
"""Each priority with those before it."""
_ORDER: Final = ((Priority.FULFIL, False), (Priority.BROWSE, True), (Priority.BUY, False), (Priority.BROWSE, False))
"""Priorities in the order in which they are served; with True only what BUY requests have passed often enough."""


class LimiterTimeout(Exception):
    """A request's turn did not come in time. `retry_after_seconds` says when it may come, where that is known."""

    def __init__(self, retry_after_seconds: float | None) -> None:
        super().__init__("no slot in time")
        self.retry_after_seconds = retry_after_seconds


class LimiterRefusal(LimiterTimeout):
    """A request's turn cannot come in time: it did not wait."""


@dataclass(frozen=True, slots=True)
class RequestRates:
    """Requests a second that this process may start: of all operations together, and of each one."""

    total: float
    operation: float
    by_operation: Mapping[str, float] = field(default_factory=dict)
    """Operations with another limit than the usual one."""


class StripeLimiter:
    """A token bucket for each operation under one for all, and a bounded number of slots. Bound to one event loop.

    FULFIL requests wait as long as they have time, others no longer than `max_wait_seconds`. `monotonic` is a clock in
    seconds.
    """

    def __init__(
        self,
        *,
        max_concurrent: int,
        rates: RequestRates,
        max_wait_seconds: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._slots = {
            Priority.FULFIL: max_concurrent,
            Priority.BUY: max(1, max_concurrent - math.ceil(max_concurrent * _RESERVED_SLOTS_SHARE)),
            Priority.BROWSE: max(1, max_concurrent // 2),
        }
        self._taken = dict.fromkeys(Priority, 0)
        """Slots that each priority and those after it hold."""
        self._queues = {priority: WaitQueue() for priority in Priority}
        self._buy_in_a_row = defaultdict[str, int](int)
        self._max_wait_seconds = max_wait_seconds
        self._monotonic = monotonic
        self._rates = rates
        self._total = self._new_bucket(ALL_OPERATIONS, rates.total)
        self._buckets = {ALL_OPERATIONS: self._total}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf

    @asynccontextmanager
    async def acquire(self, operation: str, priority: Priority, *, timeout_seconds: float) -> AsyncIterator[None]:
        """Hold a slot while the context lasts. Raises LimiterTimeout: at once if its turn cannot come in time.

        `operation` is a name of a bounded set: each has its own limit at Stripe.
        """
        began = self._monotonic()
        try:
            if not self._starts_at_once(operation, priority, began):
                await self._wait(operation, priority, timeout_seconds)
        finally:
            WAIT_SECONDS.labels(priority).observe(self._monotonic() - began)
        try:
            yield
        finally:
            self._release(priority)

    def slow_down(self, operation: str, retry_after_seconds: float | None) -> None:
        """React to a 429 for an operation or ALL_OPERATIONS."""
        self._bucket(operation).slow_down(self._monotonic(), retry_after_seconds)

    def expected_wait(self, operation: str, priority: Priority) -> float:
        """Return the seconds until a newcomer's turn, no more than a minute."""
        times = range(_LONGEST_ESTIMATE_SECONDS * 100)
        return bisect_left(times, 1, key=lambda each: self._starts_within(each / 100, operation, priority)) / 100

    def _starts_at_once(self, operation: str, priority: Priority, now: float) -> bool:
        if any(self._queues.values()) or not self._has_slot(priority) or self._opens_at(operation, priority, now) > now:
            return False
        self._start(operation, priority)
        return True

    async def _wait(self, operation: str, priority: Priority, timeout_seconds: float) -> None:
        seconds = acceptable = timeout_seconds * _WAITED_SHARE
        if priority is not Priority.FULFIL:
            seconds = min(seconds, self._max_wait_seconds)
            acceptable = seconds * _ADMITTED_SHARE
        # Those that wait for the end of a pause may use all of the account's limit after it, and nothing before.
        if not any(self._starts_within(each, operation, priority) for each in (acceptable, 0)):
            raise LimiterRefusal(self.expected_wait(operation, priority))
        waiter, queue = asyncio.get_running_loop().create_future(), self._queues[priority]
        queue.add(operation, waiter)
        if queue.length_of(operation) == 1:  # behind another it cannot be the next
            self._wake_waiters()
        try:
            await asyncio.wait((waiter,), timeout=seconds)
        except BaseException:
            if waiter.done():
                self._release(priority)
            raise
        finally:
            queue.discard(operation, waiter)
        if not waiter.done():
            raise LimiterTimeout(self.expected_wait(operation, priority) or None)

    def _starts_within(self, seconds: float, operation: str, priority: Priority) -> bool:
        """Return True if a newcomer's turn comes in time if nobody passes it; slots that are taken are not counted."""
        now, may_use_reserve = self._monotonic(), priority is Priority.FULFIL
        own = self._bucket(operation).starts_within(seconds, now, may_use_reserve=may_use_reserve)
        if own < 1 + self._ahead(priority, operation, [operation]):
            return False
        waiting = {name for each in _UP_TO[priority] for _, name, _ in self._queues[each].oldest()}
        ahead = 1.0
        for each in waiting:
            started = self._bucket(each).starts_within(seconds, now, may_use_reserve=True)
            ahead += min(started, self._ahead(priority, each, waiting))
        return self._total.starts_within(seconds, now, may_use_reserve=may_use_reserve) >= ahead

    def _ahead(self, priority: Priority, operation: str, among: Iterable[str]) -> int:
        """Return how many requests of an operation are before a newcomer to some operations."""
        ahead = sum([self._queues[each].length_of(operation) for each in _UP_TO[priority]])
        if priority is Priority.BROWSE and self._queues[Priority.BUY]:
            passing = _MAX_BUY_IN_A_ROW * (1 + sum(map(self._queues[priority].length_of, among)))
            ahead -= max(0, self._queues[Priority.BUY].length_of(operation) - passing)
        return ahead

    def _release(self, priority: Priority) -> None:
        for each in _UP_TO[priority]:
            self._taken[each] -= 1
        if any(self._queues.values()):
            self._wake_waiters()

    def _wake_waiters(self) -> None:
        now = self._monotonic()
        while (opens_at := self._start_next(now)) <= now:
            pass
        self._set_timer(opens_at, now)

    def _start_next(self, now: float) -> float:
        """Start the next waiter, if any may start now; return the time at which it may, if slots allow."""
        earliest = math.inf
        for priority, passed in _ORDER:
            queue = self._queues[priority]
            if not queue or not self._has_slot(priority):
                continue
            ready = []
            for each in queue.oldest():
                if passed and not self._is_passed(each[1]):
                    continue
                opens_at = self._opens_at(each[1], priority, now)
                earliest = min(earliest, opens_at)
                if opens_at <= now:
                    ready.append(each)
            if ready:
                _, operation, waiter = min(ready)
                queue.discard(operation, waiter)
                self._start(operation, priority)
                waiter.set_result(None)
                break
        return earliest

    def _is_passed(self, operation: str) -> bool:
        return max(self._buy_in_a_row[operation], self._buy_in_a_row[ALL_OPERATIONS]) >= _MAX_BUY_IN_A_ROW

    def _has_slot(self, priority: Priority) -> bool:
        return all(self._taken[each] < self._slots[each] for each in _UP_TO[priority])

    def _start(self, operation: str, priority: Priority) -> None:
        self._bucket(operation).take()
        self._total.take()
        for each in _UP_TO[priority]:
            self._taken[each] += 1
        if priority is Priority.BUY:
            self._buy_in_a_row[operation] += 1
            self._buy_in_a_row[ALL_OPERATIONS] += 1
        elif priority is Priority.BROWSE:
            self._buy_in_a_row[operation] = self._buy_in_a_row[ALL_OPERATIONS] = 0

    def _opens_at(self, operation: str, priority: Priority, now: float) -> float:
        may_use_reserve = priority is Priority.FULFIL
        return max(
            self._bucket(operation).opens_at(now, may_use_reserve=may_use_reserve),
            self._total.opens_at(now, may_use_reserve=may_use_reserve),
        )

    def _bucket(self, operation: str) -> TokenBucket:
        found = self._buckets.get(operation)
        if found is None:
            rate = self._rates.by_operation.get(operation, self._rates.operation)
            found = self._buckets[operation] = self._new_bucket(operation, rate)
        return found

    def _new_bucket(self, operation: str, requests_per_second: float) -> TokenBucket:
        bucket = TokenBucket(requests_per_second)
        RATE.labels(operation).set_function(lambda: bucket.rate(self._monotonic()))
        return bucket

    def _set_timer(self, opens_at: float, now: float) -> None:
        """Set the one timer, unless it is set to an earlier time. What waits for a slot is woken by a release."""
        if opens_at >= self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = opens_at
        self._timer = asyncio.get_running_loop().call_later(opens_at - now, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, math.inf
        self._wake_waiters()
