"""Rules of single fields. No violation quotes a value (P7)."""

import re
from collections.abc import Sequence
from typing import Final

from checkout.common.v1 import common_pb2
from checkout_rules.limits import MAX_ID_BYTES, MAX_TEXT_CHARACTERS
from servicekit.violations import FieldViolation

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CURRENCY: Final = re.compile(r"[a-z]{3}")
_COUNTRY: Final = re.compile(r"[A-Z]{2}")

Violations = Sequence[FieldViolation]


def is_storable(value: str, max_characters: int = MAX_TEXT_CHARACTERS) -> bool:
    """Return True for a text that PostgreSQL stores: within the limit, without NUL."""
    return len(value) <= max_characters and "\0" not in value


def text_violations(field: str, value: str, max_characters: int = MAX_TEXT_CHARACTERS) -> Violations:
    """Check a text that may be empty."""
    if is_storable(value, max_characters):
        return ()
    return (FieldViolation(field, f"must have at most {max_characters} characters and no NUL"),)


def required_text_violations(field: str, value: str, max_characters: int = MAX_TEXT_CHARACTERS) -> Violations:
    """Check a text that must not be empty."""
    if not value:
        return (FieldViolation(field, "is required"),)
    return text_violations(field, value, max_characters)


def is_storable_id(value: str) -> bool:
    """Return True for an id that PostgreSQL stores: within the limit, without NUL."""
    return len(value.encode(errors="surrogatepass")) <= MAX_ID_BYTES and "\0" not in value


def id_violations(field: str, value: str) -> Violations:
    """Check an id of Stripe's or of a user that may be empty."""
    if is_storable_id(value):
        return ()
    return (FieldViolation(field, f"must have at most {MAX_ID_BYTES} bytes and no NUL"),)


def required_id_violations(field: str, value: str) -> Violations:
    """Check an id of Stripe's or of a user that must not be empty."""
    return id_violations(field, value) if value else (FieldViolation(field, "is required"),)


def uuid_violations(field: str, value: str) -> Violations:
    """Check a UUID of any version."""
    if _UUID.fullmatch(value):
        return ()
    return (FieldViolation(field, "must be a UUID in its canonical lower-case form"),)


def currency_violations(field: str, value: str) -> Violations:
    """Check an ISO 4217 code as Stripe writes it."""
    return () if _CURRENCY.fullmatch(value) else (FieldViolation(field, "must be three lower-case letters"),)


def country_violations(field: str, value: str) -> Violations:
    """Check an ISO 3166 code of two letters."""
    return () if _COUNTRY.fullmatch(value) else (FieldViolation(field, "must be two upper-case letters"),)


def amount_violations(field: str, money: common_pb2.Money) -> Violations:
    """Check that a sum is not negative."""
    return (FieldViolation(f"{field}.minor_units", "must not be negative"),) if money.minor_units < 0 else ()
