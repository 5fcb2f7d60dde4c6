"""Canaries: unique values in place of private ones, and a search that finds them in any encoding."""

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
_CORE_DIGITS = 12
_ESCAPE = re.compile(rb"\\+u00([0-9a-fA-F]{2})|\\+x([0-9a-fA-F]{2})")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}")
_HEX = re.compile(rb"[0-9a-fA-F]{16,}")
_URL_ALPHABET = bytes.maketrans(b"-_", b"+/")


@dataclass(frozen=True)
class Canary:
    """One private value, and the unique part of it."""

    name: str
    value: str = field(repr=False)
    core: str = field(repr=False)
    """ASCII letters or digits, which no encoding of text changes."""


def canary(name: str, pattern: str = "{}") -> Canary:
    """Return a value whose core is letters, in place of the pattern's braces."""
    core = "".join(secrets.choice(string.ascii_letters) for _ in range(_CORE_LETTERS))
    return Canary(name, pattern.format(core), core)


def numeric_canary(name: str, pattern: str) -> Canary:
    """Return a value whose core is digits."""
    core = "".join(secrets.choice(string.digits) for _ in range(_CORE_DIGITS))
    return Canary(name, pattern.format(core), core)


def secret(name: str, value: str) -> Canary:
    """Return a canary of an existing secret."""
    return Canary(name, value, value)


def found_in(surface: bytes, canaries: Iterable[Canary]) -> set[str]:
    """Return the names of the canaries that a surface contains, in any letter case and encoding."""
    views = [view.lower() for view in _views(surface)]
    return {one.name for one in canaries if any(one.core.lower().encode() in view for view in views)}


def as_bytes(value: object) -> bytes:
    """Return JSON bytes to search in."""
    return json.dumps(value, default=str, ensure_ascii=False).encode()


def _views(surface: bytes) -> Iterator[bytes]:
    plain = {surface, unquote_to_bytes(surface)}
    plain |= {_ESCAPE.sub(_unescaped, view) for view in plain}
    for view in plain:
        yield view
        yield b"\n".join(_decoded_tokens(view))


def _unescaped(found: re.Match[bytes]) -> bytes:
    return bytes.fromhex((found[1] or found[2]).decode())


def _decoded_tokens(view: bytes) -> Iterator[bytes]:
    """Decode every possible base64 and hexadecimal token, from each offset at which a group may begin."""
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
