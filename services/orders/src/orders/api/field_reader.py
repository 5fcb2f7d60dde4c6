"""Reads a request's fields and remembers what is wrong with them, each by its path."""

import re
from datetime import UTC, datetime
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from checkout.common.v1 import common_pb2
from orders.domain.checkout import Money
from servicekit.violations import FieldViolation, raise_if_invalid

ID_CHARACTERS = 255
ATTEMPT_ID_CHARACTERS = 500  # Stripe's limit for a metadata value, where the id comes from.
TEXT_CHARACTERS = 5000  # Stripe's limit for names and address lines.

MOST_VIOLATIONS = 20  # They travel in trailers, which gRPC keeps small.

_CURRENCY = re.compile(r"[a-z]{3}")
_NOBODYS_MONEY = Money(0, "")
_NEVER = datetime.fromtimestamp(0, UTC)
_LAST_SECOND = 253_402_300_799  # Of the year 9999.
_BILLION = 1_000_000_000


def storable(value: str, limit: int) -> bool:
    """Whether PostgreSQL takes the text: it has no NUL."""
    return len(value) <= limit and "\0" not in value


def uuid_of(text: str) -> UUID | None:
    """Return the UUID that a text is in its canonical form."""
    try:
        parsed = UUID(text)
    except ValueError:
        return None
    return parsed if str(parsed) == text else None


class FieldChecks:
    """Collects violations while a request is read. Whatever was read counts only after `refuse_if_any`."""

    def __init__(self) -> None:
        self._violations: list[FieldViolation] = []

    def objects_to(self, field: str, description: str, *, unless: bool = False) -> None:
        """Note a violation, unless the field is in order. The description continues the field's name."""
        if not unless and len(self._violations) < MOST_VIOLATIONS:
            self._violations.append(FieldViolation(field, description))

    @property
    def found_any(self) -> bool:
        """Whether anything is wrong so far."""
        return bool(self._violations)

    def refuse_if_any(self) -> None:
        """Raise InvalidRequest with every violation found."""
        raise_if_invalid(self._violations)

    def text(self, field: str, value: str, limit: int = TEXT_CHARACTERS) -> str:
        """Read a text that must be there."""
        self.objects_to(field, "must not be empty", unless=bool(value))
        return self.optional_text(field, value, limit) or ""

    def optional_text(self, field: str, value: str, limit: int = TEXT_CHARACTERS) -> str | None:
        """Read a text that may be empty, which is None."""
        self.objects_to(field, f"must have at most {limit} characters and no NUL", unless=storable(value, limit))
        return value or None

    def money(self, field: str, value: common_pb2.Money, *, present: bool) -> Money:
        """Read an amount that must be there; present says whether it is."""
        if not present:
            self.objects_to(field, "is required")
            return _NOBODYS_MONEY
        self.objects_to(f"{field}.minor_units", "must not be negative", unless=value.minor_units >= 0)
        in_order = _CURRENCY.fullmatch(value.currency) is not None
        self.objects_to(f"{field}.currency", "must be three lower-case letters", unless=in_order)
        return Money(value.minor_units, value.currency)

    def moment(self, field: str, value: Timestamp, *, present: bool) -> datetime:
        """Read a moment that must be there; present says whether it is."""
        in_order = present and 0 <= value.seconds <= _LAST_SECOND and 0 <= value.nanos < _BILLION
        self.objects_to(field, "must be a moment since 1970", unless=in_order)
        return value.ToDatetime(tzinfo=UTC) if in_order else _NEVER

    def optional_moment(self, field: str, value: Timestamp, *, present: bool) -> datetime | None:
        """Read a moment that may be absent."""
        return self.moment(field, value, present=True) if present else None

    def version(self, field: str, value: int, *, least: int = 1) -> int:
        """Read the version of a row that was read before; the row's next one must fit beside it."""
        self.objects_to(field, f"must be at least {least}", unless=least <= value < 2**63 - 1)
        return value

    def uuid(self, field: str, value: str) -> UUID:
        """Read an id of ours."""
        read = uuid_of(value)
        self.objects_to(field, "must be a UUID in its canonical lower-case form", unless=read is not None)
        return read or UUID(int=0)
