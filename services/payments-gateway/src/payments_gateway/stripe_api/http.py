"""How Stripe's library reaches Stripe: in turn, within a time budget, and more than once with the same key.

The library's own repeats stay switched off (ADR 8): they take no heed of Retry-After, repeat no 429, know no total
time, and let an answer that breaks off through as it is.
"""

import asyncio
import logging
import re
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import aiohttp
import stripe
from prometheus_client import Counter, Gauge, Histogram

from payments_gateway.domain.stripe_errors import IdempotencyKeyExhausted, StripeKeyRefused, StripeUnavailable
from payments_gateway.stripe_api.rate_limiter import LimiterTimeout, Priority, StripeLimiter
from payments_gateway.stripe_api.responses import Answer, Meaning, read_answer
from servicekit.deadline import seconds_left

_log = logging.getLogger(__name__)

REQUESTS: Final = Counter(
    "holdfast_stripe_requests", "Requests to Stripe and what came of each.", ["operation", "outcome"]
)
SECONDS: Final = Histogram("holdfast_stripe_request_seconds", "Seconds until Stripe answered.", ["operation"])
KEY_REFUSED: Final = Gauge(
    "holdfast_stripe_key_refused", "1 while Stripe refuses our secret key (401 or 403), 0 otherwise."
)

_REQUEST_ID: Final = re.compile(r"req_[A-Za-z0-9_]{1,64}")
_FIRST_PAUSE_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 2.0
_TO_ANSWER_SECONDS: Final = 0.5
"""Kept back of a request's time, so that its buyer is told more than that time is up."""


class StripeHttp(stripe.HTTPClient):
    """Sends what Stripe's library asks for. One for each priority; they may share session and limiter."""

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
        """Allow each try timeout_seconds, and a call budget_seconds with all its tries and waits.

        randomness answers a number from 0 to 1.
        """
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
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Send a request, again with the same idempotency key while that may help; return Stripe's own answer.

        Raises StripeUnavailable, StripeKeyRefused, IdempotencyKeyExhausted.
        """
        ends_at = time.monotonic() + min(self._budget_seconds, seconds_left() - _TO_ANSWER_SECONDS)
        failed_before = False
        for tried in range(1, self._max_retries + 2):
            answer = await self._try(method, url, headers, post_data, ends_at)
            if answer.meaning is Meaning.KEY_SPENT:
                raise IdempotencyKeyExhausted(just_now=failed_before)
            if not answer.meaning.may_pass:
                return _taken(answer)
            pause = self._pause(answer, tried)
            if tried > self._max_retries or _is_of_no_use(answer, method) or time.monotonic() + pause >= ends_at:
                break
            failed_before = failed_before or answer.meaning.may_hide_a_failure
            await asyncio.sleep(pause)
        raise StripeUnavailable(answer.retry_after_seconds)

    async def close_async(self) -> None:
        """Leave the session to whoever opened it."""

    async def _try(self, method: str, url: str, headers: Mapping[str, str], post_data: Any, ends_at: float) -> Answer:
        operation = operation_of(method, url)
        try:
            async with self._limiter.turn(self._priority, within_seconds=ends_at - time.monotonic()):
                seconds = min(self._timeout_seconds, ends_at - time.monotonic())
                with SECONDS.labels(operation).time():
                    answer = await self._send(method, url, headers, post_data, seconds)
        except LimiterTimeout as late:
            REQUESTS.labels(operation, "turned_away").inc()
            raise StripeUnavailable(late.retry_after_seconds) from None
        self._note(operation, answer)
        return answer

    async def _send(self, method: str, url: str, headers: Mapping[str, str], post_data: Any, seconds: float) -> Answer:
        """Send a request once, and read its answer whole."""
        try:
            async with (
                asyncio.timeout(seconds),
                self._session.request(method, url, headers=headers, data=post_data) as response,
            ):
                return read_answer(response.status, await response.read(), response.headers)
        except TimeoutError:
            return Answer(Meaning.TIMED_OUT)
        except (aiohttp.ClientError, OSError):
            return Answer(Meaning.BROKEN_OFF)

    def _note(self, operation: str, answer: Answer) -> None:
        REQUESTS.labels(operation, answer.meaning.value).inc()
        if answer.meaning is Meaning.RATE_LIMITED:
            self._limiter.slow_down(answer.retry_after_seconds)
        if answer.status is not None and answer.meaning is not Meaning.UNREADABLE:
            KEY_REFUSED.set(answer.meaning is Meaning.NOT_AUTHORISED)
        if answer.meaning is Meaning.DONE:
            return
        # Stripe's own message stays behind: it may quote what was sent (P7).
        known = {"operation": operation, "outcome": answer.meaning.value, "status": answer.status}
        request = _request_id_of(answer)
        if answer.meaning is Meaning.NOT_AUTHORISED:
            _log.error("Stripe refuses our secret key: an operator must mend it", extra={**known, "request": request})
        else:
            _log.warning("Stripe refused or failed", extra={**known, "request": request})

    def _pause(self, answer: Answer, tried: int) -> float:
        """Return how long to wait before the next try: as long as Stripe says, else longer each time."""
        if answer.retry_after_seconds is not None:
            return answer.retry_after_seconds
        longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** (tried - 1))
        return longest * (0.5 + self._randomness() / 2)


def _request_id_of(answer: Answer) -> str | None:
    """Return Stripe's name for a request, if it looks like one: what it answers may quote what it was sent (P7)."""
    named = (answer.headers or {}).get("Request-Id") or ""
    return named if _REQUEST_ID.fullmatch(named) else None


def _taken(answer: Answer) -> tuple[bytes, int, Mapping[str, str]]:
    if answer.meaning is Meaning.NOT_AUTHORISED:
        raise StripeKeyRefused
    return answer.content, answer.status or 0, answer.headers or {}


def _is_of_no_use(answer: Answer, method: str) -> bool:
    """Whether Stripe's advice against a repeat is to be heeded.

    Not after a failed POST: its repeat does nothing twice, and tells whether the failure is stored under the key.
    """
    return answer.stripe_says_no and not (method.upper() == "POST" and answer.meaning is Meaning.SERVER_ERROR)


def operation_of(method: str, url: str) -> str:
    """Return a request's name for logs and metrics: method and path, without ids and queries."""
    parts = [part for part in url.partition("://")[2].partition("?")[0].split("/")[1:] if part]
    named = ["{id}" if place == 2 else part for place, part in enumerate(parts)]  # noqa: PLR2004 — /v1/objects/ID/…
    return f"{method.upper()} /{'/'.join(named)}"


def stripe_session(*, max_connections: int) -> aiohttp.ClientSession:
    """Open connections to Stripe, trusting the authorities that its library ships."""
    trust = ssl.create_default_context(cafile=stripe.ca_bundle_path)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=max_connections, ssl=trust), auto_decompress=True, trust_env=False
    )
