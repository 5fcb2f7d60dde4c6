import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders.domain.pagination import Cursor, InvalidPageToken, Page, decode_page_token, encode_page_token, paginate

AT = datetime(2026, 5, 4, 3, 2, 1, 123456, UTC)


def test_a_token_decodes_to_its_cursor() -> None:
    """To the microsecond, with any text as id."""
    cursor = Cursor(AT, "pi_1:ü")

    assert decode_page_token("orders", encode_page_token("orders", cursor)) == cursor


def test_the_empty_token_is_the_first_page() -> None:
    """The last page has no token."""
    assert decode_page_token("orders", "") is None
    assert encode_page_token("orders", None) == ""


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "????",
        "ü",
        encode_page_token("quarantine", Cursor(AT, "pi_1")),
        encode_page_token("orders", Cursor(AT, "pi\0")),
        *(
            base64.urlsafe_b64encode(content).decode()
            for content in (
                b"orders:1",
                b"orders:one:id",
                b"orders:" + b"9" * 30 + b":id",
                b"orders:" + b"9" * 5000 + b":id",
                b"orders:+1:id",
                b"orders:1:\xff",
            )
        ),
    ],
)
def test_an_invalid_token_is_refused(token: str) -> None:
    """A token of another list, a made-up or a damaged one."""
    with pytest.raises(InvalidPageToken):
        decode_page_token("orders", token)


@given(st.text())
def test_any_text_decodes_or_is_refused(token: str) -> None:
    """No text raises another exception, and no cursor has two tokens."""
    try:
        cursor = decode_page_token("orders", token)
    except InvalidPageToken:
        return
    assert encode_page_token("orders", cursor) == token


@pytest.mark.parametrize(
    ("rows", "page"),
    [
        ([], Page([], None)),
        ([1, 2], Page([1, 2], None)),
        ([1, 2, 3], Page([1, 2], Cursor(AT, "2"))),
    ],
)
def test_one_row_more_than_requested_means_a_next_page(rows: list[int], page: Page[int]) -> None:
    """The next page starts after the last row of this one."""
    assert paginate(rows, 2, lambda row: Cursor(AT, str(row))) == page
