"""Keyset pages: a page ends with a token that says where the next one begins."""

import base64
import binascii
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# A gRPC client takes 4 MiB unless told otherwise; a page that would be larger ends early.
PAGE_BYTES = 3 * 1024 * 1024

T = TypeVar("T")


class BadPageToken(ValueError):
    """The token did not come from a page of this list."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row of a page: rows come newest first, ties in descending order of id."""

    at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class PageRequest:
    """How many rows, and below which one they begin."""

    size: int
    before: Cursor | None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows, and the cursor for the next ones; None when these were the last."""

    rows: Sequence[T]
    next: Cursor | None


def cut_page(
    rows: Sequence[T], size: int, *, weigh: Callable[[T], int], cursor: Callable[[T], Cursor], budget: int = PAGE_BYTES
) -> Page[T]:
    """Cut rows, read with one more than the page holds, down to a page of at most `size` rows and `budget` bytes.

    A page has at least one row if there is any, however heavy.
    """
    kept = max(1, _fitting(map(weigh, rows[:size]), budget))
    last = rows[kept - 1] if len(rows) > kept else None
    return Page(rows[:kept], cursor(last) if last is not None else None)


def bytes_of(*texts: str | None) -> int:
    """Return what texts weigh on the wire."""
    return sum(len(text.encode()) for text in texts if text)


def write_page_token(list_name: str, cursor: Cursor | None) -> str:
    """Write the token for a cursor; empty when there is none."""
    if cursor is None:
        return ""
    microseconds = (cursor.at - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(f"{list_name}:{microseconds}:{cursor.id}".encode()).decode().rstrip("=")


def read_page_token(list_name: str, token: str) -> Cursor | None:
    """Read the cursor of a token; None for the empty one.

    Raises BadPageToken for what `write_page_token` never wrote.
    """
    if not token:
        return None
    try:
        padded = token.encode("ascii") + b"=" * (-len(token) % 4)
        name, microseconds, row_id = base64.b64decode(padded, altchars=b"-_", validate=True).decode().split(":", 2)
        cursor = Cursor(_EPOCH + timedelta(microseconds=int(microseconds)), row_id)
    except (ValueError, OverflowError, binascii.Error) as error:
        raise BadPageToken from error
    if name != list_name or "\0" in row_id or write_page_token(list_name, cursor) != token:
        raise BadPageToken
    return cursor


def _fitting(weights: Iterable[int], budget: int) -> int:
    count = 0
    for weight in weights:
        budget -= weight
        if budget < 0:
            break
        count += 1
    return count
