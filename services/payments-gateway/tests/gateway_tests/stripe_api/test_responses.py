import json
from collections.abc import Mapping

import pytest

from payments_gateway.stripe_api.responses import ResponseKind, read_response

ERROR = json.dumps({"error": {"type": "api_error", "code": None}}).encode()
LOCKED = json.dumps({"error": {"code": "lock_timeout"}}).encode()
REPLAYED = {"Idempotent-Replayed": "true"}


@pytest.mark.parametrize(
    ("status", "content", "headers", "kind"),
    [
        (200, b'{"object": "charge"}', {}, ResponseKind.OK),
        (400, ERROR, {}, ResponseKind.REJECTED),
        (402, ERROR, {}, ResponseKind.REJECTED),
        (404, ERROR, {}, ResponseKind.REJECTED),
        (400, ERROR, {"Stripe-Should-Retry": "true"}, ResponseKind.CONFLICT),
        (409, ERROR, {}, ResponseKind.CONFLICT),
        (429, LOCKED, {}, ResponseKind.CONFLICT),
        (429, ERROR, {}, ResponseKind.RATE_LIMITED),
        (429, b"<html>", {}, ResponseKind.RATE_LIMITED),
        (401, ERROR, {}, ResponseKind.UNAUTHORIZED),
        (403, ERROR, {}, ResponseKind.FORBIDDEN),
        (403, b"<html>", {}, ResponseKind.FORBIDDEN),
        (500, ERROR, {}, ResponseKind.SERVER_ERROR),
        (503, b"<html>", {}, ResponseKind.SERVER_ERROR),
        (500, ERROR, REPLAYED, ResponseKind.REPLAYED_FAILURE),
        (200, b'{"status": "maintenance"}', {}, ResponseKind.UNREADABLE),
        (200, b"<html>", {}, ResponseKind.UNREADABLE),
        (200, b"[" * 100_000, {}, ResponseKind.UNREADABLE),
        (302, b"", {}, ResponseKind.UNREADABLE),
        (404, b"<html>", {}, ResponseKind.UNREADABLE),
        (404, b'{"error": "no such page"}', {}, ResponseKind.UNREADABLE),
    ],
)
def test_a_response_is_classified(status: int, content: bytes, headers: Mapping[str, str], kind: ResponseKind) -> None:
    """By status, Stripe's form of the body, and headers: a proxy's 404 does not mean that an object is missing."""
    assert read_response(status, content, headers).kind is kind


@pytest.mark.parametrize("kind", ResponseKind)
def test_only_failures_that_may_pass_are_retryable(kind: ResponseKind) -> None:
    """Of those, a rate limit and a conflict cannot have stored a failure under the idempotency key."""
    stored = {
        ResponseKind.SERVER_ERROR,
        ResponseKind.UNREADABLE,
        ResponseKind.TIMEOUT,
        ResponseKind.CONNECTION_ERROR,
    }

    assert kind.may_have_stored_failure is (kind in stored)
    assert kind.is_retryable is (kind in stored | {ResponseKind.RATE_LIMITED, ResponseKind.CONFLICT})


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0.3", 0.3),
        ("17", 17.0),
        ("-1", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("", None),
        ("Wed, 99 Foo", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(header: str, seconds: float | None) -> None:
    """As RFC 9110 defines it; anything else makes nobody wait."""
    assert read_response(503, ERROR, {"Retry-After": header}).retry_after_seconds == seconds


def test_a_date_in_the_future_is_waited_for() -> None:
    """Seconds from now."""
    response = read_response(503, ERROR, {"Retry-After": "Wed, 21 Oct 2099 07:28:00 GMT"})

    assert (response.retry_after_seconds or 0) > 365 * 24 * 3600
