"""Hostile texts, and JSON that contains them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st

CHANGE_COUNTS: Final = (0, 1, 1, 1, 1, 2, 3)
"""Numbers of changes to a valid request: mostly one, so that no other change hides its effect."""

INTEGERS: Final = (0, 1, -1, 2**31 - 1, 2**31, -(2**31), 2**32, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64, 10**40)
_NUMBER_TOKENS: Final = ("1e999", "-1e999", "-0", "1.0", "00", "+1", "NaN", "-Infinity", "0x10", "1" + "0" * 5000)
_DEPTHS: Final = (20, 2_000, 60_000)
_CHANGED_ENTRIES: Final = 3
_CONTROL_CHARACTERS: Final = bytes([*range(32), 127])
_TEXTS: Final = (
    "",
    "\0",
    "\ufeff",
    "\U0010ffff",
    "\u202egnp.exe",
    "e\u0301" * 20,
    "\u0662\u0663",  # digits to int(), but not to an ASCII pattern
    "\x7f\x1b[31m",
    "a" * 256,
    "é" * 6000,
    "9" * 30,
    "../../etc/passwd",
    "%00%0d%0a",
    "{s00}:attempt:x",
    "'; DROP TABLE payments; --",
    "${jndi:ldap://127.0.0.1/a}",
    "{0.__class__}%s%n",
)


@dataclass(frozen=True)
class Token:
    """Raw JSON text. As a key, it may repeat a key that the object has already."""

    text: str


def texts(*, surrogates: bool = False) -> st.SearchStrategy[str]:
    """Generate hostile Unicode texts, with lone surrogates if asked for."""
    alphabet = st.characters() if surrogates else st.characters(exclude_categories=["Cs"])
    return st.text(alphabet, max_size=60) | st.sampled_from((*_TEXTS, "\ud800") if surrogates else _TEXTS)


def header_values() -> st.SearchStrategy[bytes]:
    """Generate header values without control characters, which HTTP servers reject themselves."""
    values = st.binary(max_size=60) | texts().map(str.encode)
    return values.map(lambda raw: raw.translate(None, _CONTROL_CHARACTERS).strip())


def json_values() -> st.SearchStrategy[Any]:
    """Generate JSON values for `write_json`."""
    leaves = (
        st.none()
        | st.booleans()
        | st.sampled_from(INTEGERS)
        | st.floats()
        | st.sampled_from(_NUMBER_TOKENS).map(Token)
        | texts(surrogates=True)
        | st.sampled_from(_DEPTHS).map(lambda depth: Token("[" * depth + "]" * depth))
    )
    keys = texts(surrogates=True) | st.sampled_from(("id", "type", Token('"id"'), Token('"type"')))
    return st.recursive(
        leaves,
        lambda children: st.lists(children, max_size=4) | st.dictionaries(keys, children, max_size=4),
        max_leaves=8,
    )


@st.composite
def mutated_json(draw: st.DrawFn, sample: Any) -> Any:
    """Change a JSON object in up to three places."""
    tree = json.loads(json.dumps(sample))
    for _ in range(draw(st.sampled_from(CHANGE_COUNTS))):
        if places := list(_places(tree)):
            _change(draw, *draw(st.sampled_from(places)))
    return tree


def write_json(value: Any) -> str:
    """Write JSON text, tokens unchanged and lone surrogates escaped."""
    if isinstance(value, Token):
        return value.text
    if isinstance(value, dict):
        return "{" + ",".join(f"{write_json(key)}:{write_json(child)}" for key, child in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(write_json, value)) + "]"
    return json.dumps(value)


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every object and list in a tree with each of its keys or first positions."""
    if isinstance(tree, dict | list):
        for key in list(tree) if isinstance(tree, dict) else range(min(len(tree), _CHANGED_ENTRIES)):
            yield tree, key
            yield from _places(tree[key])


def _change(draw: st.DrawFn, container: Any, key: Any) -> None:
    change = draw(st.sampled_from(("replace",) * 6 + ("remove", "add", "repeat")))
    if change == "replace":
        container[key] = draw(_same_type(container[key]) if draw(st.integers(0, 2)) else json_values())
    elif change == "remove":
        del container[key]
    elif isinstance(container, list):
        container.extend(
            [draw(json_values())] if change == "add" else [container[key]] * draw(st.sampled_from((1, 300)))
        )
    elif change == "add":
        container[draw(texts(surrogates=True))] = draw(json_values())
    else:
        container[Token(write_json(key))] = draw(json_values())


def _same_type(value: Any) -> st.SearchStrategy[Any]:
    """Generate values of the same type, which pass the first checks."""
    if isinstance(value, int):
        return st.sampled_from(INTEGERS) | st.sampled_from(_NUMBER_TOKENS).map(Token)
    if isinstance(value, str):
        return texts(surrogates=True) | st.sampled_from((value.upper(), value + "\n", f" {value}", value * 200))
    return json_values()
