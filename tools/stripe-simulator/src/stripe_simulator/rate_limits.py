"""Stripe's rate limits (https://docs.stripe.com/rate-limits), counted by wall clock.

Each request counts against the account's limit and against its operation's: method and path, whichever the id. Stripe
does not say how large a burst may be; here it is what one second allows.
"""

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from stripe_simulator.api_errors import ApiError

Reason = Literal["global-rate", "endpoint-rate", "global-concurrency", "endpoint-concurrency", "resource-specific"]
"""Values of the header `Stripe-Rate-Limited-Reason`."""

_ACCOUNT: Final = "account"


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Requests a second: of the account, and of each operation. Infinite ones do not limit."""

    requests_per_second: float
    operation_requests_per_second: float = 25.0


LIVE_LIMITS: Final = RateLimits(100.0)
SANDBOX_LIMITS: Final = RateLimits(25.0)
UNLIMITED: Final = RateLimits(math.inf, math.inf)


def is_live(secret_key: str) -> bool:
    """Return true for a secret key of live mode."""
    return secret_key.startswith("sk_live_")


def limits_of_key(secret_key: str) -> RateLimits:
    """Return Stripe's limits for the mode of a secret key."""
    return LIVE_LIMITS if is_live(secret_key) else SANDBOX_LIMITS


class _Bucket:
    """Token bucket that holds the tokens of one second."""

    def __init__(self, per_second: float, now: float) -> None:
        self._per_second = per_second
        self._size = self._tokens = max(1.0, per_second)
        self._filled_at = now

    def take(self, now: float) -> bool:
        """Take a token, or return false."""
        if math.isinf(self._per_second):
            return True
        self._tokens = min(self._size, self._tokens + (now - self._filled_at) * self._per_second)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class RateLimiter:
    """Admits requests within the limits. `monotonic` is a clock in seconds."""

    def __init__(self, limits: RateLimits, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._refused: Counter[Reason] = Counter()
        self.set(limits)

    def set(self, limits: RateLimits) -> None:
        """Replace the limits. All buckets are full again."""
        self._limits = limits
        self._buckets: dict[str, _Bucket] = {}

    def admit_to_account(self) -> None:
        """Count a request against the account's limit. Raises Stripe's 429."""
        if not self._take(_ACCOUNT, self._limits.requests_per_second):
            raise self._refusal("global-rate")

    def admit_to_operation(self, operation: str) -> None:
        """Count a request against the limit of its operation. Raises Stripe's 429."""
        if not self._take(operation, self._limits.operation_requests_per_second):
            raise self._refusal("endpoint-rate")

    def to_dict(self) -> dict[str, Any]:
        """Return the limits, null where there is none, and the number of refused requests by reason."""
        limits = {name: None if math.isinf(value) else value for name, value in asdict(self._limits).items()}
        return limits | {"refused": dict(self._refused)}

    def _take(self, name: str, per_second: float) -> bool:
        now = self._monotonic()
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = _Bucket(per_second, now)
        return bucket.take(now)

    def _refusal(self, reason: Reason) -> ApiError:
        self._refused[reason] += 1
        return rate_limited(reason)


def rate_limited(reason: Reason) -> ApiError:
    """Build the 429. Stripe names the limit in a header and sends no Retry-After."""
    return ApiError(
        429,
        "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits.",
        code="rate_limit",
        headers={"Stripe-Rate-Limited-Reason": reason},
    )
