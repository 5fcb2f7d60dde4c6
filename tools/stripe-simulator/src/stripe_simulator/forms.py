"""Stripe's request encoding: URL-encoded pairs whose keys nest with brackets.

`a[b]=1` is an object, `a[]=1` appends to an array, `a[0]=1` sets an element, and all of them nest. `a[0]` may mean an
array or an object with the key "0": it stays an object here, and the parameter's type decides (see `strict_schema`).
"""

import re
from typing import Any
from urllib.parse import parse_qsl

_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_SEGMENT = re.compile(r"\[([^\[\]]*)\]")
MAX_DEPTH = 20
MAX_PAIRS = 2000

Form = dict[str, Any]


class MalformedForm(ValueError):
    """The body is not a valid form."""


def parse_form(encoded: str) -> Form:
    """Decode pairs into a tree of strings, lists and objects.

    A key with unbalanced brackets stays as it is, so that validation refuses it by name. Raises MalformedForm if a key
    is used for two kinds of value.
    """
    try:
        pairs = parse_qsl(encoded, keep_blank_values=True, errors="strict", max_num_fields=MAX_PAIRS)
    except ValueError as error:
        raise MalformedForm("the body is not a URL-encoded form") from error
    form: Form = {}
    for key, value in pairs:
        _insert(form, split_key(key), value)
    return form


def split_key(key: str) -> list[str]:
    """Split `a[b][]` into `["a", "b", ""]`."""
    match = _KEY.fullmatch(key)
    if match is None:
        return [key]
    segments = [match[1], *_SEGMENT.findall(match[2])]
    if len(segments) > MAX_DEPTH:
        raise MalformedForm("keys are nested too deeply")
    return segments


def _insert(form: Form, segments: list[str], value: str) -> None:
    place: Any = form
    for position, segment in enumerate(segments):
        rest = segments[position + 1 :]
        if not rest:
            _put(place, segment, value)
            return
        place = _descend(place, segment, rest)


def _put(place: Any, segment: str, value: str) -> None:
    if isinstance(place, list):
        if segment:
            raise MalformedForm("a key mixes an array with an object")
        place.append(value)
    elif isinstance(place.get(segment), dict | list):
        raise MalformedForm("a key is used as a value and as an object")
    else:
        place[segment] = value


def _descend(place: Any, segment: str, rest: list[str]) -> Any:
    wanted: type[Any] = list if rest[0] == "" else dict
    if isinstance(place, list):
        return _descend_into_array(place, segment, rest, wanted)
    child = place.setdefault(segment, wanted())
    if not isinstance(child, wanted):
        raise MalformedForm("a key is used as two kinds of value")
    return child


def _descend_into_array(place: list[Any], segment: str, rest: list[str], wanted: type[Any]) -> Any:
    """Extend the last element of `a[][b]`, or begin a new one if it has `b` already."""
    if segment:
        raise MalformedForm("a key mixes an array with an object")
    last = place[-1] if place else None
    if isinstance(last, dict) and wanted is dict and rest[0] not in last:
        return last
    place.append(wanted())
    return place[-1]
