"""Common parts of calls through Stripe's library: errors translated, changes repeated with a new idempotency key."""

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import stripe

from payments_gateway.domain.stripe_errors import (
    IdempotencyKeyExhausted,
    IdempotencyKeyReused,
    StripeUnavailable,
    UnsupportedStripeObject,
)

_log = logging.getLogger(__name__)

T = TypeVar("T")

Rejection = stripe.InvalidRequestError | stripe.CardError
UNREADABLE: Final = (AttributeError, KeyError, TypeError, ValueError)
"""Errors of reading an object that has another form than ours."""

_TRIES: Final = 2


@contextmanager
def translate_errors(
    rejected: Callable[[Rejection], Exception], unreadable: type[Exception] = UnsupportedStripeObject
) -> Iterator[None]:
    """Raise domain errors in place of the library's, whose messages may quote the request (P7).

    `rejected` returns the error for a rejected request, `unreadable` is raised for an object that cannot be read.
    """
    try:
        yield
    except stripe.IdempotencyError:
        raise IdempotencyKeyReused from None
    except (stripe.InvalidRequestError, stripe.CardError) as error:
        raise rejected(error) from None
    except stripe.StripeError:  # StripeHttp has repeated what a repeat may help
        raise StripeUnavailable from None
    except UNREADABLE as error:
        _log.warning("Stripe returned an unreadable object", extra={"error": type(error).__name__})
        raise unreadable from error


async def with_fresh_key(change: Callable[[], Awaitable[T]]) -> T:
    """Send a change, and once more if its idempotency key replays a failure.

    The library generates a key for each call. The second call is safe: these changes take effect once.
    """
    for _ in range(_TRIES):
        try:
            return await change()
        except IdempotencyKeyExhausted:
            continue
    raise StripeUnavailable


def is_missing(error: Rejection) -> bool:
    """Return True if Stripe does not know an object that the request names."""
    return error.code == "resource_missing"
