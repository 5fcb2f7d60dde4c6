"""HTTP client of Stripe's library: rate-limited, within a time budget, repeating with the same idempotency key.

The library's own retries are off (ADR 8): they ignore Retry-After, do not repeat a 429, have no total time limit, and
pass truncated responses on.
"""

import asyncio
import logging
import re
import ssl
import time
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Final

import aiohttp
import stripe
from prometheus_client import Counter, Gauge, Histogram

from payments_gateway.domain.stripe_errors import (
    IdempotencyKeyExhausted,
    StripeKeyRefused,
    StripePermissionMissing,
    StripeUnavailable,
)
from payments_gateway.stripe_api.operations import operation_of
from payments_gateway.stripe_api.rate_limiter import (
    ALL_OPERATIONS,
    LimiterRefusal,
    LimiterTimeout,
    Priority,
    StripeLimiter,
)
from payments_gateway.stripe_api.responses import ResponseKind, StripeResponse, read_response
from servicekit.deadline import seconds_left

_log = logging.getLogger(__name__)

REQUESTS: Final = Counter("holdfast_stripe_requests", "Requests to Stripe, by outcome.", ["operation", "outcome"])
SECONDS: Final = Histogram("holdfast_stripe_request_seconds", "Seconds until Stripe responded.", ["operation"])
RATE_LIMITED: Final = Counter(
    "holdfast_stripe_rate_limited", "429s of Stripe's limits, by the limit that it names.", ["operation", "reason"]
)
KEY_REFUSED: Final = Gauge("holdfast_stripe_key_refused", "1 while Stripe refuses our secret key (401), 0 otherwise.")
OPERATION_REFUSED: Final = Gauge(
    "holdfast_stripe_operation_refused",
    "1 while Stripe refuses this operation to our restricted key (403), 0 otherwise.",
    ["operation"],
)

_PERMISSION: Final = re.compile(rb"'(rak_[a-z0-9_]{1,64})'")
"""Permission that a 403 asks for: "Having the 'rak_subscription_read' permission would allow this request to continue."
Source: https://github.com/stripe/stripe-node/issues/2246"""
_LIMITS_OF_ALL: Final = frozenset({"global-rate", "global-concurrency"})
_REQUEST_ID: Final = re.compile(r"req_[A-Za-z0-9_]{1,64}")
_FIRST_PAUSE_SECONDS: Final = 0.2
_MAX_PAUSE_SECONDS: Final = 2.0
_RESERVE_SECONDS: Final = 0.5
"""Part of the buyer's request deadline that is kept for responding with more than a timeout."""

_FOR_OPERATOR: Final = {
    ResponseKind.UNAUTHORIZED: "Stripe refuses our secret key",
    ResponseKind.FORBIDDEN: "our restricted key lacks a permission at Stripe",
}

RawResponse = tuple[bytes, int, Mapping[str, str]]


class StripeHttp(stripe.HTTPClient):
    """Sends the requests of one priority. Clients of all priorities share session and limiter.

    `timeout_seconds` bounds one try, `budget_seconds` a request with all its tries and waits; `randomness` returns a
    number from 0 to 1.
    """

    name = "aiohttp"

    def __init__(
        self,
        session: aiohttp.ClientSession,
        limiter: StripeLimiter,
        *,
        priority: Priority,
        timeout_seconds: float,
        budget_seconds: float,
        max_retries: int,
        randomness: Callable[[], float],
    ) -> None:
        super().__init__()
        self._session = session
        self._limiter = limiter
        self._priority = priority
        self._timeout_seconds = timeout_seconds
        self._budget_seconds = budget_seconds
        self._max_retries = max_retries
        self._randomness = randomness

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> RawResponse:
        """Send a request, repeat it with the same idempotency key while that may help, and return Stripe's response.

        A conflict is with a request that is running, such as that of another report of the same payment. Its end is
        waited for, and is no retry.

        Raises StripeUnavailable, StripeKeyRefused, StripePermissionMissing, IdempotencyKeyExhausted.
        """
        ends_at = time.monotonic() + min(self._budget_seconds, seconds_left() - _RESERVE_SECONDS)
        failed = 0
        failed_before = False
        for tried in count(1):
            response = await self._try(method, url, headers, post_data, ends_at)
            failed += response.kind is not ResponseKind.CONFLICT
            if response.kind is ResponseKind.REPLAYED_FAILURE:
                raise IdempotencyKeyExhausted(just_now=failed_before)
            if not response.kind.is_retryable:
                return _accepted(response)
            pause = self._pause_seconds(response, tried)
            if failed > self._max_retries or _retry_forbidden(response, method) or time.monotonic() + pause >= ends_at:
                break
            failed_before = failed_before or response.kind.may_have_stored_failure
            await asyncio.sleep(pause)
        raise StripeUnavailable(self._retry_after_seconds(response, method, url))

    async def close_async(self) -> None:
        """Do nothing: the session belongs to its opener."""

    async def _try(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any, ends_at: float
    ) -> StripeResponse:
        operation = operation_of(method, url)
        seconds = ends_at - time.monotonic()
        if seconds <= 0:  # Stripe would carry out what nobody waits for
            raise StripeUnavailable
        try:
            async with self._limiter.acquire(operation, self._priority, timeout_seconds=seconds):
                seconds = min(self._timeout_seconds, ends_at - time.monotonic())
                with SECONDS.labels(operation).time():
                    response = await self._send(method, url, headers, post_data, seconds)
        except LimiterTimeout as timeout:
            refused = isinstance(timeout, LimiterRefusal)
            REQUESTS.labels(operation, "limiter_refusal" if refused else "limiter_timeout").inc()
            raise StripeUnavailable(timeout.retry_after_seconds) from None
        self._record(operation, response)
        return response

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any, seconds: float
    ) -> StripeResponse:
        """Send a request once and read its whole response."""
        try:
            async with (
                asyncio.timeout(seconds),
                self._session.request(method, url, headers=headers, data=post_data) as response,
            ):
                return read_response(response.status, await response.read(), response.headers)
        except TimeoutError:
            return StripeResponse(ResponseKind.TIMEOUT)
        except (aiohttp.ClientError, OSError):
            return StripeResponse(ResponseKind.CONNECTION_ERROR)

    def _record(self, operation: str, response: StripeResponse) -> None:
        """Update metrics and limiter, and log what is not ok. Stripe's message may quote the request: left out (P7)."""
        REQUESTS.labels(operation, response.kind).inc()
        if response.kind is ResponseKind.RATE_LIMITED:
            RATE_LIMITED.labels(operation, response.limit or "unknown").inc()
            limited = ALL_OPERATIONS if response.limit in _LIMITS_OF_ALL else operation
            self._limiter.slow_down(limited, response.retry_after_seconds)
        if not response.kind.is_retryable:  # the others do not tell whether Stripe took the key
            KEY_REFUSED.set(response.kind is ResponseKind.UNAUTHORIZED)
            OPERATION_REFUSED.labels(operation).set(response.kind is ResponseKind.FORBIDDEN)
        if response.kind is not ResponseKind.OK:
            _log_failure(operation, response)

    def _retry_after_seconds(self, response: StripeResponse, method: str, url: str) -> float | None:
        """Return Stripe's Retry-After, else after a 429 when the limiter will let the next request start."""
        if response.retry_after_seconds is None and response.kind is ResponseKind.RATE_LIMITED:
            return self._limiter.expected_wait(operation_of(method, url), self._priority)
        return response.retry_after_seconds

    def _pause_seconds(self, response: StripeResponse, tried: int) -> float:
        """Return Stripe's Retry-After, else a pause that grows with the tries."""
        if response.retry_after_seconds is not None:
            return response.retry_after_seconds
        longest = min(_MAX_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** (tried - 1))
        return longest * (0.5 + self._randomness() / 2)


def _log_failure(operation: str, response: StripeResponse) -> None:
    for_operator = _FOR_OPERATOR.get(response.kind)
    extra = {
        "operation": operation,
        "outcome": response.kind.value,
        "status": response.status,
        "request": _request_id(response),
    }
    if response.kind is ResponseKind.FORBIDDEN:
        found = _PERMISSION.search(response.content)
        extra["permission"] = found[1].decode() if found else None
    if response.kind is ResponseKind.RATE_LIMITED:
        extra["limit"] = response.limit
    _log.log(
        logging.ERROR if for_operator else logging.WARNING, for_operator or "request to Stripe failed", extra=extra
    )


def _request_id(response: StripeResponse) -> str | None:
    """Return Stripe's id of a request if it has the usual form: a header may quote the request (P7)."""
    request_id = (response.headers or {}).get("Request-Id") or ""
    return request_id if _REQUEST_ID.fullmatch(request_id) else None


def _accepted(response: StripeResponse) -> RawResponse:
    if response.kind is ResponseKind.UNAUTHORIZED:
        raise StripeKeyRefused
    if response.kind is ResponseKind.FORBIDDEN:
        raise StripePermissionMissing
    return response.content, response.status or 0, response.headers or {}


def _retry_forbidden(response: StripeResponse, method: str) -> bool:
    """Return Stripe's advice against a repeat, except after a failed POST.

    That repeat has no second effect, and shows if the failure is stored under the key.
    """
    return response.retry_forbidden and not (method.upper() == "POST" and response.kind is ResponseKind.SERVER_ERROR)


def stripe_session(*, max_connections: int) -> aiohttp.ClientSession:
    """Open an HTTP session that trusts the authorities that Stripe's library ships."""
    trust = ssl.create_default_context(cafile=stripe.ca_bundle_path)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=max_connections, ssl=trust), auto_decompress=True, trust_env=False
    )
