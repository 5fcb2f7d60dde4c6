"""Page tokens and the cutting of pages."""

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders.domain.pagination import BadPageToken, Cursor, Page, cut_page, read_page_token, write_page_token

AT = datetime(2026, 5, 4, 3, 2, 1, 123456, UTC)


def cut(rows: list[int], size: int, budget: int) -> Page[int]:
    """Cut a page of rows that weigh what they say."""
    return cut_page(rows, size, weigh=lambda row: row, cursor=lambda row: Cursor(AT, str(row)), budget=budget)


def test_a_token_leads_back_to_its_cursor() -> None:
    """To the microsecond, with whatever is in the id."""
    cursor = Cursor(AT, "pi_1:ü")

    assert read_page_token("orders", write_page_token("orders", cursor)) == cursor


def test_the_empty_token_is_the_first_page() -> None:
    """And the last page has no token."""
    assert read_page_token("orders", "") is None
    assert write_page_token("orders", None) == ""


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "????",
        "ü",
        write_page_token("quarantine", Cursor(AT, "pi_1")),
        write_page_token("orders", Cursor(AT, "pi\0")),
        base64.urlsafe_b64encode(b"orders:1").decode(),
        base64.urlsafe_b64encode(b"orders:one:id").decode(),
        base64.urlsafe_b64encode(b"orders:" + b"9" * 30 + b":id").decode(),
        base64.urlsafe_b64encode(b"orders:" + b"9" * 5000 + b":id").decode(),
        base64.urlsafe_b64encode(b"orders:+1:id").decode(),
        base64.urlsafe_b64encode(b"orders:1:\xff").decode(),
    ],
)
def test_a_token_of_no_page_is_refused(token: str) -> None:
    """Another list's, a made-up or a damaged one."""
    with pytest.raises(BadPageToken):
        read_page_token("orders", token)


@given(st.text())
def test_no_text_breaks_the_reader(token: str) -> None:
    """Whatever is sent, it is a cursor or a bad token."""
    try:
        cursor = read_page_token("orders", token)
    except BadPageToken:
        return
    assert write_page_token("orders", cursor) == token


def test_a_page_that_ends_the_list_has_no_next() -> None:
    """As many rows as asked for, and not one more."""
    assert cut([1, 1, 1], 3, budget=100) == Page([1, 1, 1], None)


def test_one_row_more_than_asked_for_means_a_next_page() -> None:
    """It begins below the last row that is shown."""
    assert cut([1, 2, 3], 2, budget=100) == Page([1, 2], Cursor(AT, "2"))


def test_a_heavy_page_ends_early() -> None:
    """Rows beyond what a message may weigh wait for the next page."""
    assert cut([40, 41, 42], 3, budget=100) == Page([40, 41], Cursor(AT, "41"))


def test_a_page_has_at_least_one_row() -> None:
    """A row that is too heavy for any page must not stop the list."""
    assert cut([500, 1], 2, budget=100) == Page([500], Cursor(AT, "500"))


def test_an_empty_list_is_an_empty_page() -> None:
    """With no next one."""
    assert cut([], 2, budget=100) == Page([], None)
