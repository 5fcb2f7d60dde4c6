"""Fields of Stripe's JSON, read strictly: every value can be stored. The functions raise ValueError otherwise."""

import re
import unicodedata
from datetime import UTC, datetime
from typing import Any, Final

from checkout_rules.fields import is_storable_id
from checkout_rules.limits import MAX_NAME_CHARACTERS
from payments_gateway.domain.money import Money

_ID: Final = re.compile(r"[!-~]{1,255}")
_URL: Final = re.compile(r"https?://[!-~]{1,5000}")
_CURRENCY: Final = re.compile(r"[A-Za-z]{3}")
_MAX_MINOR_UNITS: Final = 2**63 - 1
_MAX_COUNT: Final = 2**31 - 1
_ALL_PERCENT: Final = 100
MIN_CREDIT: Final = -_MAX_MINOR_UNITS
"""Lower bound, in minor units, of a sum that may be a credit."""


def read_id(value: Any) -> str:
    """Read an object's id."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise ValueError("not a Stripe id")
    return value


def read_catalogue_id(value: Any) -> str:
    """Read the id of a price, product or coupon: any text that can be stored, as the catalogue takes it.

    Before API version 2018-05-21 Stripe let shops choose it, spaces included.
    Source: https://github.com/stripe/stripe-java/issues/736
    """
    if not isinstance(value, str) or not value or not is_storable_id(value):
        raise ValueError("not an id of the catalogue")
    value.encode()  # a message holds no lone surrogate; raises UnicodeEncodeError, which is a ValueError
    return value


def read_reference(value: Any) -> str | None:
    """Read the id of a referenced object, expanded or not; None where there is none."""
    reference = value["id"] if isinstance(value, dict) else value
    return None if reference is None else read_id(reference)


def read_url(value: Any) -> str:
    """Read the address of a page."""
    if not isinstance(value, str) or not _URL.fullmatch(value):
        raise ValueError("not a URL")
    return value


def read_amount(amount: Any, currency: Any, *, minimum: int = 0) -> Money:
    """Read an amount of money in minor units."""
    if type(amount) is not int or not minimum <= amount <= _MAX_MINOR_UNITS:  # a bool is no amount
        raise ValueError("not an amount")
    return Money(amount, read_currency(currency))


def read_currency(currency: Any) -> str:
    """Read a currency's code."""
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise ValueError("not a currency")
    return currency.lower()


def read_count(value: Any, *, minimum: int = 0) -> int:
    """Read a number of occurrences."""
    if type(value) is not int or not minimum <= value <= _MAX_COUNT:
        raise ValueError("not a count")
    return value


def read_percent(value: Any) -> float:
    """Read a percentage of a discount."""
    if type(value) not in (int, float) or not 0 < value <= _ALL_PERCENT:
        raise ValueError("not a percentage")
    return float(value)


def is_usable_name(name: str) -> bool:
    """Return True if orders can store the name, shortened."""
    has_control_characters = any(unicodedata.category(character) in {"Cc", "Cs"} for character in name)
    return bool(name.strip()) and not has_control_characters


def shortened(name: str) -> str:
    """Return the name as orders can store it: an id identifies what it is of."""
    return name if len(name) <= MAX_NAME_CHARACTERS else f"{name[: MAX_NAME_CHARACTERS - 1]}…"


def read_name(value: Any) -> str:
    """Read a name as orders can store it; empty where there is none."""
    return shortened(value) if isinstance(value, str) and is_usable_name(value) else ""


def read_time(seconds: Any) -> datetime:
    """Read a time in seconds since 1970."""
    if type(seconds) is not int or seconds < 0:
        raise ValueError("not a time")
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError):
        raise ValueError("not a time") from None


def read_optional_time(seconds: Any) -> datetime | None:
    """Read a time in seconds since 1970, or null."""
    return None if seconds is None else read_time(seconds)


def is_replay(response: Any) -> bool:
    """Return True if Stripe replayed its earlier response to the same idempotency key."""
    return response is not None and response.headers.get("Idempotent-Replayed") == "true"
