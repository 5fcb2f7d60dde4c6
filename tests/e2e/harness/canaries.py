"""Words that occur nowhere else, one for each thing that must stay private, and how to find them in any disguise."""

import base64
import binascii
import json
import re
import secrets
import string
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

_CORE_LETTERS = 14
_ESCAPE = re.compile(rb"\\+u00([0-9a-fA-F]{2})|\\+x([0-9a-fA-F]{2})")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}")
_HEX = re.compile(rb"[0-9a-fA-F]{16,}")
_URL_ALPHABET = bytes.maketrans(b"-_", b"+/")


@dataclass(frozen=True)
class Canary:
    """One private value, and the part of it that is searched for."""

    name: str
    value: str = field(repr=False)
    core: str = field(repr=False)
    """ASCII without anything that an encoding would write differently, in any case of letters."""


def new_core() -> str:
    """Return letters that nobody else wrote."""
    return "".join(secrets.choice(string.ascii_letters) for _ in range(_CORE_LETTERS))


def canary(name: str, pattern: str = "{}") -> Canary:
    """Return a new value; the pattern's braces are where the core goes."""
    core = new_core()
    return Canary(name, pattern.format(core), core)


def digits(name: str, pattern: str) -> Canary:
    """Return a new value whose core is digits."""
    core = "".join(secrets.choice(string.digits) for _ in range(12))
    return Canary(name, pattern.format(core), core)


def secret(name: str, value: str) -> Canary:
    """Return a value that somebody else has made up."""
    return Canary(name, value, value)


def found_in(surface: bytes, canaries: Iterable[Canary]) -> set[str]:
    """Return the names of those that are on a surface: as they are, or written in another way."""
    views = [view.lower() for view in _views(surface)]
    return {one.name for one in canaries if any(one.core.lower().encode() in view for view in views)}


def as_bytes(told: object) -> bytes:
    """Return anything that JSON can write as bytes to search in."""
    return json.dumps(told, default=str, ensure_ascii=False).encode()


def _views(surface: bytes) -> Iterator[bytes]:
    plain = {surface, unquote_to_bytes(surface)}
    plain |= {_ESCAPE.sub(_unescaped, view) for view in plain}
    for view in plain:
        yield view
        yield b"\n".join(_decoded_tokens(view))


def _unescaped(found: re.Match[bytes]) -> bytes:
    return bytes.fromhex((found[1] or found[2]).decode())


def _decoded_tokens(view: bytes) -> Iterator[bytes]:
    """Decode what may be base64 or hexadecimal, from each place at which a group may begin."""
    for token in _BASE64.findall(view):
        plain = token.translate(_URL_ALPHABET)
        for start in range(4):
            whole = plain[start : start + (len(plain) - start) // 4 * 4]
            yield base64.b64decode(whole)
            rest = plain[start + len(whole) :]
            if len(rest) > 1:
                yield base64.b64decode(plain[start:] + b"=" * (4 - len(rest)))
    for token in _HEX.findall(view):
        for start in range(2):
            yield binascii.unhexlify(token[start : start + (len(token) - start) // 2 * 2])
