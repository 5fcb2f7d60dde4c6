from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stripe._encode import _api_encode

from stripe_simulator.forms import MalformedForm, parse_form

_names = st.text(st.characters(exclude_characters="[]", codec="utf-8"), min_size=1, max_size=12)
_values = st.text(st.characters(codec="utf-8"), max_size=20)
_trees = st.dictionaries(
    _names,
    st.recursive(
        _values,
        lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(_names, inner, min_size=1, max_size=3),
        max_leaves=10,
    ),
    max_size=5,
)


def numbered(tree: Any) -> Any:
    """Convert arrays to objects with numbered keys, as they are on the wire."""
    if isinstance(tree, list):
        return {str(place): numbered(value) for place, value in enumerate(tree)}
    if isinstance(tree, dict):
        return {key: numbered(value) for key, value in tree.items()}
    return tree


@given(_trees)
def test_the_parser_inverts_the_library(tree: dict[str, Any]) -> None:
    """The parser inverts the official library's encoder."""
    encoded = urlencode(list(_api_encode(tree)))

    form = parse_form(encoded)

    assert form == numbered(tree)


@given(st.text(max_size=80))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """No input raises anything but MalformedForm."""
    try:
        form = parse_form(text)
    except MalformedForm:
        return

    assert isinstance(form, dict)


@pytest.mark.parametrize(
    ("encoded", "form"),
    [
        ("a=1&b=2", {"a": "1", "b": "2"}),
        ("a[b]=1&a[c][d]=2", {"a": {"b": "1", "c": {"d": "2"}}}),
        ("a[]=1&a[]=2", {"a": ["1", "2"]}),
        ("a[0]=1&a[1]=2", {"a": {"0": "1", "1": "2"}}),
        ("a[0][b]=1&a[1][b]=2", {"a": {"0": {"b": "1"}, "1": {"b": "2"}}}),
        ("a[][b]=1&a[][c]=2&a[][b]=3", {"a": [{"b": "1", "c": "2"}, {"b": "3"}]}),
        ("a[b][]=1&a[b][]=2", {"a": {"b": ["1", "2"]}}),
        ("a%5Bb%5D=1%202", {"a": {"b": "1 2"}}),
        ("a=", {"a": ""}),
        ("a=1&a=2", {"a": "2"}),
        ("a[b=1", {"a[b": "1"}),
        ("", {}),
    ],
)
def test_brackets_nest(encoded: str, form: dict[str, Any]) -> None:
    """Objects, appended arrays and numbered arrays nest. Unbalanced brackets are part of the name."""
    parsed = parse_form(encoded)

    assert parsed == form


@pytest.mark.parametrize(
    "encoded",
    [
        "a=1&a[b]=2",
        "a[b]=1&a=2",
        "a[]=1&a[b]=2",
        "a[b]=1&a[]=2",
        "a=%FF",
        "a" + "[b]" * 30 + "=1",
        "&".join(["a=1"] * 3000),
    ],
)
def test_malformed_forms_are_refused(encoded: str) -> None:
    """Keys with two kinds of value, invalid bytes, deep nesting and too many pairs."""
    with pytest.raises(MalformedForm):
        parse_form(encoded)
