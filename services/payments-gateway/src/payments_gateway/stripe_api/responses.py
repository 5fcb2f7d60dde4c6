"""Classification of Stripe's HTTP responses: accept, repeat with the same idempotency key, or give up."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, Final

_BAD_REQUEST: Final = 400
_CONFLICT: Final = 409
_TOO_MANY_REQUESTS: Final = 429
_SERVER_ERROR: Final = 500
_LIMITS: Final = frozenset(
    {"global-rate", "global-concurrency", "endpoint-rate", "endpoint-concurrency", "resource-specific"}
)
"""Values of Stripe-Rate-Limited-Reason (https://docs.stripe.com/rate-limits)."""


class ResponseKind(StrEnum):
    """Outcome of one request. The values are metric labels."""

    OK = "ok"
    REJECTED = "rejected"
    """A repeat would be rejected as well."""
    REPLAYED_FAILURE = "replayed_failure"
    """Stripe stored a failure under the idempotency key and replays it until the key expires."""
    UNAUTHORIZED = "unauthorized"
    """Our secret key is wrong or revoked: an operator must fix it."""
    FORBIDDEN = "forbidden"
    """Our restricted key lacks the permission for this operation. Other operations go on."""
    RATE_LIMITED = "rate_limited"
    CONFLICT = "conflict"
    """Another request holds the idempotency key or the object."""
    SERVER_ERROR = "server_error"
    UNREADABLE = "unreadable"
    """Something between Stripe and us responded, or the body is truncated."""
    TIMEOUT = "timeout"
    CONNECTION_ERROR = "connection_error"

    @property
    def is_retryable(self) -> bool:
        """True if the same request with the same idempotency key may succeed."""
        return self in _RETRYABLE

    @property
    def may_have_stored_failure(self) -> bool:
        """True if Stripe may have failed and stored that under the idempotency key, even if its response was lost."""
        return self in _RETRYABLE - {ResponseKind.RATE_LIMITED, ResponseKind.CONFLICT}


_RETRYABLE: Final = frozenset(
    {
        ResponseKind.RATE_LIMITED,
        ResponseKind.CONFLICT,
        ResponseKind.SERVER_ERROR,
        ResponseKind.UNREADABLE,
        ResponseKind.TIMEOUT,
        ResponseKind.CONNECTION_ERROR,
    }
)


_KEY_REFUSALS: Final = {401: ResponseKind.UNAUTHORIZED, 403: ResponseKind.FORBIDDEN}
"""Source of the 403: https://docs.stripe.com/changelog/2016-10-19/insufficient-permissions-throw-403-error"""


@dataclass(frozen=True, slots=True)
class StripeResponse:
    """Result of one request. Without a response, `status` and `headers` are None."""

    kind: ResponseKind
    status: int | None = None
    content: bytes = b""
    headers: Mapping[str, str] | None = None
    retry_after_seconds: float | None = None
    """Stripe's Retry-After, where it sent one."""
    limit: str | None = None
    """Limit that a 429 names; None if it names none that is documented."""
    retry_forbidden: bool = False
    """True if Stripe said that a repeat is useless."""

    def __repr__(self) -> str:
        """Leave content and headers out: a repr may end in a log (P7)."""
        return f"StripeResponse({self.kind}, {self.status})"


def read_response(status: int, content: bytes, headers: Mapping[str, str]) -> StripeResponse:
    """Classify a response. `headers` must be case-insensitive."""
    should_retry = headers.get("Stripe-Should-Retry")
    reason = headers.get("Stripe-Rate-Limited-Reason")
    return StripeResponse(
        kind=_kind(status, _parse_json(content), headers, retry_advised=should_retry == "true"),
        status=status,
        content=content,
        headers=headers,
        retry_after_seconds=_retry_after_seconds(headers.get("Retry-After")),
        limit=reason if reason in _LIMITS else None,
        retry_forbidden=should_retry == "false",
    )


def _kind(status: int, body: object, headers: Mapping[str, str], *, retry_advised: bool) -> ResponseKind:
    if status in _KEY_REFUSALS:
        return _KEY_REFUSALS[status]
    if status >= _SERVER_ERROR:
        replayed = headers.get("Idempotent-Replayed") == "true"
        return ResponseKind.REPLAYED_FAILURE if replayed else ResponseKind.SERVER_ERROR
    if status == _TOO_MANY_REQUESTS:
        # A lock on one object is no reason to slow down all requests.
        return ResponseKind.CONFLICT if _error_code(body) == "lock_timeout" else ResponseKind.RATE_LIMITED
    if not _is_stripe_body(status, body):
        return ResponseKind.UNREADABLE
    if status < _BAD_REQUEST:
        return ResponseKind.OK
    return ResponseKind.CONFLICT if status == _CONFLICT or retry_advised else ResponseKind.REJECTED


def _is_stripe_body(status: int, body: object) -> bool:
    """Return True if a body has Stripe's form: objects and lists have `object`, errors have `error`."""
    if not isinstance(body, dict):
        return False
    return "object" in body if status < _BAD_REQUEST else isinstance(body.get("error"), dict)


def _parse_json(content: bytes) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _error_code(body: object) -> Any:
    error = body.get("error") if isinstance(body, dict) else None
    return error.get("code") if isinstance(error, dict) else None


def _retry_after_seconds(header: str | None) -> float | None:
    """Parse a Retry-After header, seconds or a date (RFC 9110); None if it is neither."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        seconds = _seconds_until(header)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _seconds_until(date: str) -> float:
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return math.nan
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
