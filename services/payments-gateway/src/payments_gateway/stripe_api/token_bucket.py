"""Token bucket of one of Stripe's limits, in requests a second. Slows down after a 429 and recovers."""

from typing import Final

_USED_SHARE: Final = 0.98
"""Part of the limit that is used: clocks and networks are not exact."""
_RESERVED_SHARE: Final = 0.1
_LATENESS: Final = 0.4
"""Tokens that make up for timers that fire late. With it a limit of 25 lets 25 requests start in any second, and those
that use the reserve."""
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
        self._recovery = self._full_rate * _RECOVERY_SHARE_PER_SECOND
        self._reserve = max(1.0, requests_per_second * _RESERVED_SHARE)
        self._capacity = self._tokens = self._reserve + 1 + _LATENESS
        self._refilled_at = self._slowed_at = self._paused_until = float("-inf")

    def opens_at(self, now: float, *, may_use_reserve: bool) -> float:
        """Return the time at which a request may start; `now` if it may start already."""
        self._refill(now)
        lacking = 1 - self._tokens if may_use_reserve else 1 + self._reserve - self._tokens
        return max(now + lacking / self._rate if lacking > 0 else now, self._paused_until)

    def starts_within(self, seconds: float, now: float, *, may_use_reserve: bool) -> float:
        """Return how many requests may start between now and then. The rate recovers meanwhile."""
        self._refill(now)
        pause = max(0.0, self._paused_until - now)
        if seconds < pause:
            return 0.0
        gained_in_pause = self._gain(pause)
        tokens = min(self._capacity, self._tokens + gained_in_pause) + self._gain(seconds) - gained_in_pause
        return tokens if may_use_reserve else tokens - self._reserve

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
        return min(self._full_rate, self._rate + self._recovery * (now - self._refilled_at))

    def _refill(self, now: float) -> None:
        elapsed = now - self._refilled_at
        if elapsed > 0:  # less if the clock was set back
            self._tokens = min(self._capacity, self._tokens + self._gain(elapsed))
            self._rate = self.rate(now)
        self._refilled_at = now

    def _gain(self, seconds: float) -> float:
        """Return the tokens of some seconds from the last refill on."""
        lacking = self._full_rate - self._rate
        if not lacking:
            return self._rate * seconds
        recovering = min(seconds, lacking / self._recovery)
        return self._full_rate * seconds - recovering * (lacking - self._recovery * recovering / 2)
