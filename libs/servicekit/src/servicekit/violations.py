"""Bad input: which fields, and what they must be. Knows no protocol, so domain modules may raise it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class FieldViolation:
    """What is wrong with one field. The description never quotes the value: it may be personal data (P7)."""

    field: str
    """Path of the field as the caller spells it, such as context.items[3].quantity."""
    description: str
    """What the field must be, as a phrase that follows its name."""


class InvalidRequest(Exception):
    """The caller sent something that can never be accepted."""

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        super().__init__("; ".join(f"{violation.field} {violation.description}" for violation in violations))
        self.violations = tuple(violations)


def raise_if_invalid(violations: Iterable[FieldViolation]) -> None:
    """Raise InvalidRequest if there is any violation."""
    found = tuple(violations)
    if found:
        raise InvalidRequest(found)
