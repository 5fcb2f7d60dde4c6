import base64
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest

from .canaries import Canary, as_bytes, canary, found_in, numeric_canary

ENCODINGS: dict[str, Callable[[str], str]] = {
    "upper case": str.upper,
    "within a word": lambda text: f"x{text}x",
    "percent": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "url": quote,
    "unicode escapes": lambda text: "".join(f"\\u{ord(letter):04X}" for letter in text),
    "JSON in JSON": lambda text: json.dumps("".join(f"\\u{ord(letter):04x}" for letter in text)),
    "byte escapes": lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode()),
    "hexadecimal": lambda text: text.encode().hex(),
    "hexadecimal after a digit": lambda text: "a" + text.encode().hex().upper(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 after one byte": lambda text: base64.b64encode(b"\xff" + text.encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(b"\xfb\xff\xfe" + text.encode()).decode().rstrip("="),
    "base64 after other letters": lambda text: "key" + base64.b64encode(text.encode() + b"...").decode(),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("hidden", [canary("hidden", "<{}>"), numeric_canary("hidden", "+49 {}")])
def test_a_canary_is_found_in_any_encoding(hidden: Canary, encoding: str) -> None:
    """The search for leaks must not miss one; another canary is not found."""
    surface = f'{{"message": "before", "value": {ENCODINGS[encoding](hidden.core)} , "rest": 12}}'.encode()

    assert found_in(surface, [hidden, canary("absent")]) == {"hidden"}


def test_a_canary_is_found_among_python_objects() -> None:
    """Rows are searched as JSON in UTF-8."""
    name = canary("name", "Zoë {}-Ülgür")

    assert found_in(as_bytes({"rows": [{"name": name.value}]}), [name]) == {"name"}
