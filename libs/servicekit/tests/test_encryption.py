"""A stored value is decrypted under its key and for its record, and nowhere else."""

import base64
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from servicekit.encryption import (
    InvalidKeyring,
    Keyring,
    NotAuthentic,
    UnknownKey,
    Unreadable,
    key_id_of,
    warn_if_unencrypted,
)

AAD = "record 1"
CONTENT = b"Ada Buyer, 1 Long Street"


def key(number: int) -> str:
    """Return a key's base64, different for each number."""
    return base64.b64encode(bytes(range(number, number + 32))).decode()


OLD, NEW = f"old:{key(1)}", f"new:{key(2)}"
IDS = st.from_regex(r"[A-Za-z0-9._-]{1,32}", fullmatch=True).filter(lambda key_id: key_id != "clear")


@given(content=st.binary(), aad=st.text(), key_id=IDS, secret=st.binary(min_size=32, max_size=32))
def test_a_value_is_decrypted_under_its_key_and_aad(content: bytes, aad: str, key_id: str, secret: bytes) -> None:
    """Any content, aad and key; the prefix names the key, and the content does not show."""
    keyring = Keyring.parse(f"{key_id}:{base64.b64encode(secret).decode()}")

    stored = keyring.encrypt(content, aad)

    assert keyring.decrypt(stored, aad) == content
    assert key_id_of(stored) == key_id == keyring.first_id
    assert stored.startswith(keyring.first_prefix)
    assert len(content) < 8 or content not in stored
    assert stored != keyring.encrypt(content, aad)


@settings(max_examples=25)
@given(content=st.binary(max_size=40), flip=st.integers(1, 255))
def test_a_change_of_any_byte_is_noticed(content: bytes, flip: int) -> None:
    """In the format, the key's id, the nonce, the ciphertext and the tag."""
    keyring = Keyring.parse(f"{OLD},{NEW}")
    stored = keyring.encrypt(content, AAD)

    for at in range(len(stored)):
        changed = stored[:at] + bytes([stored[at] ^ flip]) + stored[at + 1 :]
        with pytest.raises(Unreadable):
            keyring.decrypt(changed, AAD)


def test_a_value_cut_short_is_noticed() -> None:
    """Wherever it ends; and so is one with a byte more."""
    keyring = Keyring.parse(OLD)
    stored = keyring.encrypt(CONTENT, AAD)

    for corrupt in [*(stored[:length] for length in range(len(stored))), stored + b"\0"]:
        with pytest.raises(NotAuthentic):
            keyring.decrypt(corrupt, AAD)


@pytest.mark.parametrize(
    ("stored", "aad"),
    [
        (Keyring.parse(OLD).encrypt(CONTENT, AAD), "record 2"),
        (Keyring.parse(f"old:{key(9)}").encrypt(CONTENT, AAD), AAD),
        (b"\1\3old" + Keyring.parse(f"ol:{key(1)}").encrypt(CONTENT, f"d{AAD}")[4:], AAD),
        (b"", AAD),
        (b"\2rest", AAD),
    ],
    ids=["other-record", "other-secret", "longer-key-id", "empty", "other-format"],
)
def test_a_value_that_is_not_authentic_is_refused(stored: bytes, aad: str) -> None:
    """One buyer's content cannot take the place of another's."""
    with pytest.raises(NotAuthentic):
        Keyring.parse(OLD).decrypt(stored, aad)


def test_the_first_key_encrypts_and_all_decrypt() -> None:
    """So a key is replaced while values under the old one are stored; the word `clear` is such a key."""
    rings = [Keyring.parse(text) for text in (f"{OLD},{NEW},clear", f" {NEW} , clear, {OLD}\n", f"clear,{OLD},{NEW}")]

    stored = [ring.encrypt(CONTENT, AAD) for ring in rings]

    assert [key_id_of(each) for each in stored] == ["old", "new", "clear"]
    assert stored[2] == b"\0" + CONTENT
    assert {ring.decrypt(each, AAD) for ring in rings for each in stored} == {CONTENT}


@pytest.mark.parametrize("text", [OLD, "clear"])
def test_a_value_of_a_key_that_is_missing_is_refused(text: str) -> None:
    """The key is named. Unencrypted content could have been planted by anyone who can write to the store."""
    stored = Keyring.parse(text).encrypt(CONTENT, AAD)

    with pytest.raises(UnknownKey, match="which is not in the keyring") as refused:
        Keyring.parse(NEW).decrypt(stored, AAD)

    assert refused.value.key_id == text.partition(":")[0]


BAD = {
    "": "entry 1 must be",
    f"{OLD},": "entry 2 must be",
    key(1): "entry 1 must be",
    f"{OLD},{key(2)}": "entry 2 must be",
    f":{key(1)}": "the id of entry 1",
    f"{'k' * 33}:{key(1)}": "the id of entry 1",
    f"kéy:{key(1)}": "the id of entry 1",
    f"a key:{key(1)}": "the id of entry 1",
    f"clear:{key(1)}": "the id of entry 1",
    "k:": "has 0 bytes instead of 32",
    f"k:{key(1)[:-4]}": "has 30 bytes instead of 32",
    f"k:{key(1)}AAAA": "is not base64",
    f"k:{base64.b64encode(bytes(33)).decode()}": "has 33 bytes instead of 32",
    f"k:{key(1)[:-1]}": "is not base64",
    f"k:{key(1)[:-2]}!=": "is not base64",
    f"k:{'é' * 44}": "is not base64",
    f"{OLD},old:{key(2)}": "two entries have the same id",
    f"old:{key(1)},new:{key(1)}": "two entries have the same key",
    "clear,clear": "two entries have the same id",
}


@pytest.mark.parametrize("text", BAD)
def test_a_bad_keyring_is_refused_without_quoting_it(text: str) -> None:
    """The message names the entry and the fault; a key that was pasted into the wrong place is not shown."""
    with pytest.raises(InvalidKeyring, match=BAD[text]) as refused:
        Keyring.parse(text)

    message = str(refused.value)
    pieces = (piece for entry in text.split(",") for piece in entry.split(":") if len(piece) > 5)
    assert not any(piece[at : at + 6] in message for piece in pieces for at in range(len(piece) - 5))


def test_no_key_is_shown() -> None:
    """By no repr of a keyring or of its parts."""
    keyring = Keyring.parse(OLD)

    shown = [repr(part) for part in itertools.chain([keyring], vars(keyring).values())]

    assert not any(key(1)[:8] in text or repr(bytes(range(1, 33)))[2:20] in text for text in shown)


def test_encryptions_are_counted_by_key() -> None:
    """No key may encrypt more than 2^32 values, so an operator must see how many it has."""
    keyring, name = Keyring.parse(f"counted:{key(3)}"), "holdfast_encryptions_total"
    before = REGISTRY.get_sample_value(name, {"key_id": "counted"}) or 0

    for _ in range(3):
        keyring.encrypt(CONTENT, AAD)

    assert REGISTRY.get_sample_value(name, {"key_id": "counted"}) == before + 3


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("clear", ["content is stored unencrypted"]),
        (f"clear,{OLD}", ["content is stored unencrypted"]),
        (f"{OLD},clear", ["unencrypted content is accepted"]),
        (OLD, []),
    ],
)
def test_unencrypted_content_is_logged_at_start(
    text: str, messages: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """As a warning."""
    warn_if_unencrypted(Keyring.parse(text))

    assert [record.getMessage() for record in caplog.records] == messages
