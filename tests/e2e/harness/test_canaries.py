import base64
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest

from .canaries import as_bytes, canary, digits, found_in

DISGUISES: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "upper case": str.upper,
    "lower case": str.lower,
    "within a word": lambda text: f"x{text}x",
    "percent": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "url": quote,
    "JSON": lambda text: json.dumps(f"\u00e9{text}"),
    "unicode escapes": lambda text: "".join(f"\\u{ord(letter):04X}" for letter in text),
    "JSON in JSON": lambda text: json.dumps("".join(f"\\u{ord(letter):04x}" for letter in text)),
    "byte escapes": lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode()),
    "hexadecimal": lambda text: text.encode().hex(),
    "hexadecimal after a digit": lambda text: "a" + text.encode().hex().upper(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 after one byte": lambda text: base64.b64encode(b"\xff" + text.encode()).decode(),
    "base64 after two bytes": lambda text: base64.b64encode(b"\xff\xfe" + text.encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(b"\xfb\xff\xfe" + text.encode()).decode().rstrip("="),
    "base64 after other letters": lambda text: "key" + base64.b64encode(text.encode() + b"...").decode(),
}


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("make", [canary, digits])
def test_a_canary_is_found_in_any_disguise(make: Callable[[str, str], object], disguise: str) -> None:
    """Among other text, and no other canary is."""
    hidden, absent = canary("hidden", "<{}>"), canary("absent")
    if make is digits:
        hidden = digits("hidden", "+49 {}")

    surface = f'{{"message": "before", "value": {DISGUISES[disguise](hidden.core)} , "rest": 12}}'.encode()

    assert found_in(surface, [hidden, absent]) == {"hidden"}


def test_a_canary_is_found_in_what_is_told() -> None:
    """Python's objects are written as JSON, in UTF-8."""
    name = canary("name", "Zoë {}-Ülgür")

    assert name.core in name.value
    assert found_in(as_bytes({"rows": [{"name": name.value}]}), [name]) == {"name"}
