"""Keyset pagination: the token of a page encodes the position of its last row."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Generic, TypeVar

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

T = TypeVar("T")


class InvalidPageToken(ValueError):
    """The token did not come from a page of this list."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Position of a row. Rows are ordered by time, then by id: newest first, unless the list says otherwise."""

    at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Number of rows to return, and the position after which they start; None for the first page."""

    size: int
    after: Cursor | None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Rows of a page, and the position of the last one; None if there are no more rows."""

    rows: Sequence[T]
    next: Cursor | None


def paginate(rows: Sequence[T], size: int, cursor_of: Callable[[T], Cursor]) -> Page[T]:
    """Return a page of `size` rows from up to `size + 1` rows: one row more means that there is a next page."""
    return Page(rows[:size], cursor_of(rows[size - 1]) if len(rows) > size else None)


def encode_page_token(list_name: str, cursor: Cursor | None) -> str:
    """Return the token for a cursor; empty for None."""
    if cursor is None:
        return ""
    microseconds = (cursor.at - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(f"{list_name}:{microseconds}:{cursor.id}".encode()).decode().rstrip("=")


def decode_page_token(list_name: str, token: str) -> Cursor | None:
    """Return the cursor of a token; None for the empty one.

    Raises InvalidPageToken for anything that `encode_page_token` did not return for this list.
    """
    if not token:
        return None
    try:
        padded = token.encode("ascii") + b"=" * (-len(token) % 4)
        name, microseconds, row_id = base64.b64decode(padded, altchars=b"-_", validate=True).decode().split(":", 2)
        cursor = Cursor(_EPOCH + timedelta(microseconds=int(microseconds)), row_id)
    except (ValueError, OverflowError, binascii.Error) as error:
        raise InvalidPageToken from error
    if name != list_name or "\0" in row_id or encode_page_token(list_name, cursor) != token:
        raise InvalidPageToken
    return cursor
