"""URLs of several hosts."""

import pytest

from servicekit.urls import split_url


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("Redis://u:p@one,[::1]:7001/0?a=b#c", ("redis", "u:p@one,[::1]:7001", "/0", "a=b", "c")),
        ("//[::1]:7001", ("", "[::1]:7001", "", "", "")),
        ("dns:///orders:7001", ("dns", "", "/orders:7001", "", "")),
        ("one\ntwo", ("", "", "one\ntwo", "", "")),
    ],
)
def test_parts_are_as_written(url: str, parts: tuple[str, ...]) -> None:
    """Hosts in brackets stand anywhere in the list."""
    assert tuple(split_url(url)) == parts
