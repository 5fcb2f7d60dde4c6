"""Errors of pydantic as violations: fields named as the client spells them, values never quoted (P7)."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from servicekit.violations import FieldViolation

_PLACES: Final = frozenset({"body", "query", "path", "header"})
_MAX_FIELD_CHARACTERS: Final = 200
_FIELD_NAME: Final = re.compile(r"[A-Za-z_]{1,40}")
"""An unknown field's name is the client's own text: it is named only if it cannot be an address or a number (P7)."""
_MESSAGES: Final = {"extra_forbidden": "is not a field of this request", "missing": "is required"}
"""Messages by error type, where pydantic's are less clear."""
_MAX_VIOLATIONS: Final = 100
"""A small body can have tens of thousands of errors."""


def is_malformed_json(errors: Sequence[Mapping[str, Any]]) -> bool:
    """Return True if the body is not JSON."""
    return any(error["type"] == "json_invalid" for error in errors)


def violations_of(errors: Sequence[Mapping[str, Any]]) -> list[FieldViolation]:
    """Return the first violations."""
    return [_violation(error) for error in errors[:_MAX_VIOLATIONS]]


def _violation(error: Mapping[str, Any]) -> FieldViolation:
    location = list(error["loc"])
    if len(location) > 1 and location[0] in _PLACES:
        location = location[1:]
    if error["type"] == "extra_forbidden" and not _FIELD_NAME.fullmatch(str(location[-1])):
        return FieldViolation(_path(location[:-1]) or "body", "has something that is not a field of this request")
    message = _MESSAGES.get(error["type"]) or error["msg"].removeprefix("Value error, ")
    return FieldViolation(_path(location), message)


def _path(location: Sequence[Any]) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    return path[:_MAX_FIELD_CHARACTERS]
