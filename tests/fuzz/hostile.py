"""Values that programs stumble over, and JSON written with them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

_LONG = 6000
_CONTROL_CHARACTERS = bytes([*range(32), 127])
_HUGE_NUMBERS = ("1e999", "-1e999", "1" + "0" * 5000, "-0", "0.1e-9999", "1.0", "00", "+1", "NaN", "-Infinity", "0x10")
_NASTY_TEXTS = (
    "",
    " ",
    "\0",
    "a\0b",
    "\ufeff",
    "\ufffd",
    "\uffff",
    "\U0010ffff",
    "\u202egnp.exe",
    "e\u0301" * 20,
    "\u0662\u0663",  # digits to int(), not to a regular expression
    "\x7f\x1b[31m",
    "a" * 256,
    "é" * _LONG,
    "null",
    "None",
    "-1",
    "9" * 30,
    "../../etc/passwd",
    "%00%0d%0a",
    "{s00}:attempt:x",
    "'; DROP TABLE payments; --",
    "${jndi:ldap://127.0.0.1/a}",
    "{0.__class__}%s%n",
)
INTEGERS = (0, 1, -1, 2**31 - 1, 2**31, -(2**31), 2**32, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64, 10**40)


@dataclass(frozen=True)
class Token:
    """A piece of JSON text that stands for itself, well formed or not."""

    text: str


@dataclass(frozen=True)
class Pairs:
    """An object whose keys may repeat."""

    pairs: Sequence[tuple[str, Any]]


def texts(*, surrogates: bool = False, longest: int = 60) -> st.SearchStrategy[str]:
    """Make texts that are well formed Unicode, or not if surrogates are asked for."""
    alphabet = st.characters() if surrogates else st.characters(exclude_categories=["Cs"])
    nasty = (*_NASTY_TEXTS, "\ud800", "a\udfffb") if surrogates else _NASTY_TEXTS
    return st.text(alphabet, max_size=longest) | st.sampled_from(nasty)


def header_bytes() -> st.SearchStrategy[bytes]:
    """Make header values that an HTTP server lets through: no control characters."""
    loose = st.binary(max_size=60) | texts().map(str.encode)
    return loose.map(lambda raw: raw.translate(None, _CONTROL_CHARACTERS).strip())


def json_values() -> st.SearchStrategy[Any]:
    """Make trees for `write_json`."""
    leaves = (
        st.none()
        | st.booleans()
        | st.sampled_from(INTEGERS)
        | st.integers()
        | st.floats()
        | st.sampled_from(_HUGE_NUMBERS).map(Token)
        | texts(surrogates=True)
    )
    deep = st.sampled_from((20, 2_000, 60_000)).map(lambda depth: Token("[" * depth + "]" * depth))
    return deep | st.recursive(
        leaves,
        lambda children: (
            st.lists(children, max_size=4)
            | st.dictionaries(texts(surrogates=True), children, max_size=4)
            | st.lists(st.tuples(st.sampled_from(("id", "type", "x")), children), max_size=4).map(Pairs)
        ),
        max_leaves=8,
    )


@st.composite
def mutated(draw: st.DrawFn, sample: Any) -> Any:
    """Change a JSON tree in up to three places."""
    tree = json.loads(json.dumps(sample))
    for _ in range(draw(st.integers(0, 3))):
        tree = _mutate(draw, tree)
    return tree


def write_json(value: Any) -> str:
    """Write a tree as JSON text, with its tokens and its repeated keys; lone surrogates are escaped."""
    if isinstance(value, Token):
        return value.text
    if isinstance(value, dict):
        value = Pairs(list(value.items()))
    if isinstance(value, Pairs):
        return "{" + ",".join(f"{json.dumps(key)}:{write_json(child)}" for key, child in value.pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(write_json, value)) + "]"
    return json.dumps(value)


def _mutate(draw: st.DrawFn, tree: Any) -> Any:
    if not isinstance(tree, dict | list) or not tree or draw(st.integers(0, 30)) == 0:
        return draw(json_values())
    place = draw(st.sampled_from(list(tree) if isinstance(tree, dict) else list(range(len(tree)))))
    child = tree[place]
    if isinstance(child, dict | list) and child and draw(st.integers(0, 3)):
        tree[place] = _mutate(draw, child)
        return tree
    return _change_at(draw, tree, place)


def _change_at(draw: st.DrawFn, tree: Any, place: Any) -> Any:
    change = draw(st.sampled_from(("replace", "replace", "replace", "remove", "add", "repeat")))
    if change == "remove":
        del tree[place]
    elif isinstance(tree, list):
        copies = draw(st.sampled_from((1, 2, 300)))
        tree.extend([draw(json_values())] if change == "add" else [tree[place]] * copies)
    elif change == "add":
        tree[draw(texts(surrogates=True))] = draw(json_values())
    elif change == "repeat":
        return Pairs([*tree.items(), (place, draw(json_values()))])
    else:
        tree[place] = draw(_like(tree[place]) | json_values())
    return tree


def _like(value: Any) -> st.SearchStrategy[Any]:
    """Make values of the same kind, which get further than others."""
    if isinstance(value, bool):
        return st.booleans()
    if isinstance(value, int):
        return st.sampled_from(INTEGERS) | st.sampled_from(_HUGE_NUMBERS).map(Token)
    if isinstance(value, str):
        return texts(surrogates=True) | st.sampled_from((value.upper(), value + "\n", f" {value}", value * 200))
    return json_values()
