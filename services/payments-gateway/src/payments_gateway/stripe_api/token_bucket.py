"""Token bucket of one of Stripe's limits, in requests a second. Slows down after a 429 and recovers."""

from typing import Final

_USED_SHARE: Final = 0.98
"""Part of the limit that is used: clocks and networks are not exact."""
_RESERVED_SHARE: Final = 0.1
_LATENESS: Final = 0.5
"""Tokens that make up for timers that fire late. With it no second has more requests than a limit of 25 allows."""
_PAUSE_SECONDS: Final = 1.0
"""Pause after a 429 without Retry-After, which Stripe does not document (https://docs.stripe.com/rate-limits)."""
_MAX_PAUSE_SECONDS: Final = 30.0
"""Upper bound for a Retry-After: no header closes the shop for longer."""
_MIN_RATE_SHARE: Final = 1 / 16
_RECOVERY_SHARE_PER_SECOND: Final = 0.1


class TokenBucket:
    """Token bucket of evenly spaced requests, with a few tokens for those that may use the reserve.

    The reserve is the only burst: a limit "a second" may be meant for every single second. `now` is of one monotonic
    clock, in seconds.
    """

    def __init__(self, requests_per_second: float) -> None:
        self._full_rate = self._rate = requests_per_second * _USED_SHARE
        self._reserve = max(1.0, requests_per_second * _RESERVED_SHARE)
        self._capacity = self._tokens = self._reserve + 1 + _LATENESS
        self._refilled_at = self._slowed_at = self._paused_until = float("-inf")

    def opens_at(self, now: float, *, ahead: int = 0, may_use_reserve: bool) -> float:
        """Return the time at which a request may start after those ahead of it; `now` if it may start already."""
        self._refill(now)
        lacking = 1 + ahead + (0.0 if may_use_reserve else self._reserve) - self._tokens
        if self._paused_until > now:
            # The bucket fills during a pause.
            lacking -= min(self._capacity - self._tokens, self._rate * (self._paused_until - now))
            now = self._paused_until
        return now + lacking / self._rate if lacking > 0 else now

    def take(self) -> None:
        """Take a token for a request that starts at the time `opens_at` was last asked for."""
        self._tokens -= 1

    def slow_down(self, now: float, retry_after_seconds: float | None) -> None:
        """React to a 429: start no request for a while, then fewer a second, and recover step by step."""
        self._refill(now)
        pause = _PAUSE_SECONDS if retry_after_seconds is None else min(retry_after_seconds, _MAX_PAUSE_SECONDS)
        if now - self._slowed_at >= _PAUSE_SECONDS:  # several 429s of concurrent requests are one warning
            self._slowed_at = now
            self._rate = max(self._full_rate * _MIN_RATE_SHARE, self._rate / 2)
        self._paused_until = max(self._paused_until, now + pause)
        self._tokens = min(self._tokens, 1.0)

    def rate(self, now: float) -> float:
        """Return the requests a second that may start now."""
        recovered = self._full_rate * _RECOVERY_SHARE_PER_SECOND * (now - self._refilled_at)
        return min(self._full_rate, self._rate + recovered)

    def _refill(self, now: float) -> None:
        if now == self._refilled_at:
            return
        self._rate = self.rate(now)
        self._tokens = min(self._capacity, self._tokens + self._rate * (now - self._refilled_at))
        self._refilled_at = now
