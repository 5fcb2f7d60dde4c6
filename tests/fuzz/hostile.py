"""Values that programs stumble over, and JSON written with them."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")

_LONG = 6000
_DEPTHS = (20, 2_000, 60_000)
_MOST_CHILDREN = 3
CHANGES = (0, 1, 1, 1, 1, 2, 3)
"""How many changes are made to a good request: mostly one, so that the others do not hide it."""

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


def mostly(weights: Mapping[int, Sequence[st.SearchStrategy[T]]]) -> st.SearchStrategy[T]:
    """Choose among strategies by weight; `one_of` gives every one of its branches the same chance."""
    choices = [each for weight, group in weights.items() for each in group for _ in range(weight)]
    return st.sampled_from(range(len(choices))).flatmap(choices.__getitem__)


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
        | st.sampled_from(_DEPTHS).map(lambda depth: Token("[" * depth + "]" * depth))
    )
    return st.recursive(
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
    for _ in range(draw(st.sampled_from(CHANGES))):
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
    places = list(_places(tree))
    if not places:
        return draw(json_values())
    path = draw(st.sampled_from(places))
    return _changed(draw, tree, path)


def _places(tree: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything in a tree, whether it holds something or is something."""
    children: Iterable[tuple[Any, Any]] = ()
    if isinstance(tree, dict):
        children = tree.items()
    elif isinstance(tree, list):
        children = enumerate(tree[:_MOST_CHILDREN])
    for place, child in children:
        yield (place,)
        yield from ((place, *rest) for rest in _places(child))


def _changed(draw: st.DrawFn, tree: Any, path: tuple[Any, ...]) -> Any:
    place, *rest = path
    if not rest:
        return _change_at(draw, tree, place)
    tree[place] = _changed(draw, tree[place], tuple(rest))
    return tree


def _change_at(draw: st.DrawFn, tree: Any, place: Any) -> Any:
    change = draw(st.sampled_from(("replace",) * 6 + ("remove", "add", "repeat")))
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
        tree[place] = draw(mostly({2: [_like(tree[place])], 1: [json_values()]}))
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
