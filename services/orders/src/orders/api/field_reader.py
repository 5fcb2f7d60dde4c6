"""Reads a request's fields and remembers what is wrong with them, each by its path."""

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from checkout.common.v1 import common_pb2
from checkout_rules.fields import amount_violations, currency_violations, required_text_violations, text_violations
from checkout_rules.limits import MAX_TEXT_CHARACTERS
from orders.domain.checkout import Money
from servicekit.violations import FieldViolation, raise_if_invalid

_NOBODYS_MONEY = Money(0, "")
_NEVER = datetime.fromtimestamp(0, UTC)
_LAST_SECOND = 253_402_300_799  # Of the year 9999.
_BILLION = 1_000_000_000


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
        if not unless:
            self._violations.append(FieldViolation(field, description))

    def add(self, violations: Iterable[FieldViolation]) -> None:
        """Note violations that a rule found."""
        self._violations.extend(violations)

    @property
    def found_any(self) -> bool:
        """Whether anything is wrong so far."""
        return bool(self._violations)

    def refuse_if_any(self) -> None:
        """Raise InvalidRequest with every violation found."""
        raise_if_invalid(self._violations)

    def text(self, field: str, value: str, limit: int = MAX_TEXT_CHARACTERS) -> str:
        """Read a text that must be there."""
        self.add(required_text_violations(field, value, limit))
        return value

    def optional_text(self, field: str, value: str, limit: int = MAX_TEXT_CHARACTERS) -> str | None:
        """Read a text that may be empty, which is None."""
        self.add(text_violations(field, value, limit))
        return value or None

    def money(self, field: str, value: common_pb2.Money, *, present: bool) -> Money:
        """Read an amount that must be there; present says whether it is."""
        if not present:
            self.objects_to(field, "is required")
            return _NOBODYS_MONEY
        self.add(amount_violations(field, value))
        self.add(currency_violations(f"{field}.currency", value.currency))
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
