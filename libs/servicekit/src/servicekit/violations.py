"""Bad input: fields and the rules that they break. Knows no protocol, so domain modules may raise it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A field and the rule that it breaks. The description never quotes the value: it may be personal data (P7)."""

    field: str
    """Path of the field as the caller spells it, such as context.items[3].quantity."""
    description: str
    """Rule as a phrase that follows the field's name, such as "must be at least 1"."""

    def within(self, path: str) -> "FieldViolation":
        """Return the same violation of a field that lies below a path."""
        return FieldViolation(f"{path}.{self.field}", self.description)


class InvalidRequest(Exception):
    """The caller sent something that can never be accepted."""

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        super().__init__("; ".join(f"{violation.field} {violation.description}" for violation in violations))
        self.violations = tuple(violations)


def within(path: str, violations: Iterable[FieldViolation]) -> Iterator[FieldViolation]:
    """Yield violations of a nested message with the path of that message before each field."""
    return (violation.within(path) for violation in violations)


def raise_if_invalid(violations: Iterable[FieldViolation]) -> None:
    """Raise InvalidRequest if there is any violation."""
    found = tuple(violations)
    if found:
        raise InvalidRequest(found)
