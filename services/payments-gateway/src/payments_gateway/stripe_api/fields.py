"""What stands in Stripe's JSON again and again, read so that it can be recorded."""

import re
from datetime import UTC, datetime
from typing import Any, Final

from payments_gateway.domain.money import Money

_ID: Final = re.compile(r"[!-~]{1,255}")
_CURRENCY: Final = re.compile(r"[A-Za-z]{3}")
_MOST_MINOR_UNITS: Final = 2**63 - 1
_HIGHEST_COUNT: Final = 2**31 - 1
LEAST_MINOR_UNITS: Final = -_MOST_MINOR_UNITS
"""Of a sum that may be a credit."""


def read_id(value: Any) -> str:
    """Read the id of one of Stripe's objects. Raises ValueError for what could not be recorded."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise ValueError("not an id of Stripe's")
    return value


def read_amount(amount: Any, currency: Any, *, least: int = 0) -> Money:
    """Read an amount of money. Raises ValueError for what could not be recorded."""
    # A boolean or a fraction is no amount; of whole numbers only those that every store behind us can hold.
    if type(amount) is not int or not least <= amount <= _MOST_MINOR_UNITS:
        raise ValueError("not an amount")
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise ValueError("not a currency")
    return Money(amount, currency.lower())


def read_count(value: Any) -> int:
    """Read how often something happened. Raises ValueError for what could not be recorded."""
    if type(value) is not int or not 0 <= value <= _HIGHEST_COUNT:
        raise ValueError("not a count")
    return value


def read_moment(seconds: Any) -> datetime:
    """Read a moment, in seconds since 1970. Raises ValueError for what is none."""
    if type(seconds) is not int or seconds < 0:
        raise ValueError("not a moment")
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError):
        raise ValueError("not a moment") from None


def is_replay(response: Any) -> bool:
    """Whether Stripe answered what it had answered to this idempotency key before."""
    return response is not None and response.headers.get("Idempotent-Replayed") == "true"
