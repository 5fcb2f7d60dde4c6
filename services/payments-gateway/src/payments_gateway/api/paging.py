"""Query parameters of pages."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Query

from servicekit.violations import FieldViolation, InvalidRequest

Limit = Annotated[int, Query(ge=1, le=100, description="Page size.")]
Cursor = Annotated[str | None, Query(max_length=500, description="nextCursor of the page before.")]


@contextmanager
def invalid_cursor_named() -> Iterator[None]:
    """Name the query parameter if orders refuses the page token."""
    try:
        yield
    except InvalidRequest:
        raise InvalidRequest([FieldViolation("cursor", "is not a nextCursor of this list")]) from None
