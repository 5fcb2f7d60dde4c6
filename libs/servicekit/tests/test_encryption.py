"""What is sealed opens under its key and in its aad, and nowhere else."""

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

AAD = "shelf 1"
CONTENT = b"Ada Buyer, 1 Long Road"


def key(number: int) -> str:
    """Return a key's base64, different for each number."""
    return base64.b64encode(bytes(range(number, number + 32))).decode()


OLD, NEW = f"old:{key(1)}", f"new:{key(2)}"
IDS = st.from_regex(r"[A-Za-z0-9._-]{1,32}", fullmatch=True).filter(lambda key_id: key_id != "clear")


@given(content=st.binary(), aad=st.text(), key_id=IDS, secret=st.binary(min_size=32, max_size=32))
def test_what_was_sealed_opens(content: bytes, aad: str, key_id: str, secret: bytes) -> None:
    """Any content, in any aad, under any key; its head tells which."""
    keyring = Keyring.parse(f"{key_id}:{base64.b64encode(secret).decode()}")

    sealed = keyring.encrypt(content, aad)

    assert keyring.decrypt(sealed, aad) == content
    assert key_id_of(sealed) == key_id == keyring.first_id
    assert sealed.startswith(keyring.first_prefix)


def test_nothing_of_the_content_is_in_what_was_sealed() -> None:
    """Neither the words nor, in two seals of the same content, a common piece behind the head."""
    keyring = Keyring.parse(OLD)
    one, other = (keyring.encrypt(CONTENT * 100, AAD) for _ in range(2))

    pieces = {one[at : at + 8] for at in range(len(keyring.first_prefix), len(one) - 8)}

    assert not any(word in one for word in (b"Buyer", b"Long", b"Road"))
    assert not any(other[at : at + 8] in pieces for at in range(len(keyring.first_prefix), len(other) - 8))


@settings(max_examples=25)
@given(content=st.binary(max_size=40), flip=st.integers(1, 255))
def test_a_change_of_any_byte_is_noticed(content: bytes, flip: int) -> None:
    """In the mark, the key's id, the nonce, the ciphertext and the tag: no value opens that was touched."""
    keyring = Keyring.parse(f"{OLD},{NEW}")
    sealed = keyring.encrypt(content, AAD)

    for at in range(len(sealed)):
        touched = sealed[:at] + bytes([sealed[at] ^ flip]) + sealed[at + 1 :]
        with pytest.raises(Unreadable):
            keyring.decrypt(touched, AAD)


def test_a_value_cut_short_is_noticed() -> None:
    """Wherever it ends, at nothing too; and so is one that goes on."""
    keyring = Keyring.parse(OLD)
    sealed = keyring.encrypt(CONTENT, AAD)

    for spoiled in [*(sealed[:length] for length in range(len(sealed))), sealed + b"\0"]:
        with pytest.raises(NotAuthentic):
            keyring.decrypt(spoiled, AAD)


@given(data=st.binary())
def test_what_nobody_sealed_does_not_open(data: bytes) -> None:
    """Whatever its bytes are."""
    with pytest.raises(Unreadable):
        Keyring.parse(OLD).decrypt(data, AAD)


@given(aad=st.text(), other=st.text())
def test_a_value_opens_in_its_own_place_only(aad: str, other: str) -> None:
    """So one buyer's content cannot be put in aad of another's."""
    keyring = Keyring.parse(OLD)
    sealed = keyring.encrypt(CONTENT, aad)

    if other == aad:
        assert keyring.decrypt(sealed, other) == CONTENT
    else:
        with pytest.raises(NotAuthentic):
            keyring.decrypt(sealed, other)


def test_the_end_of_a_key_id_does_not_pass_for_the_beginning_of_a_place() -> None:
    """Two keys of the same secret would tell them apart even so."""
    sealed = Keyring.parse(f"a:{key(1)}").encrypt(CONTENT, "bc")

    renamed = b"\x01\x02ab" + sealed[3:]

    with pytest.raises(NotAuthentic):
        Keyring.parse(f"ab:{key(1)}").decrypt(renamed, "c")


def test_the_first_key_seals_and_all_open() -> None:
    """So two keys can be in use at once."""
    before, after = Keyring.parse(f"{OLD},{NEW}"), Keyring.parse(f"{NEW},{OLD}")

    sealed = [before.encrypt(CONTENT, AAD), after.encrypt(CONTENT, AAD)]

    assert [key_id_of(each) for each in sealed] == ["old", "new"]
    assert [ring.decrypt(each, AAD) for ring in (before, after) for each in sealed] == [CONTENT] * 4


def test_an_unknown_key_is_named() -> None:
    """By its id, and by nothing else."""
    sealed = Keyring.parse(OLD).encrypt(CONTENT, AAD)

    with pytest.raises(UnknownKey, match="sealed with key old, which is not in the keyring") as refused:
        Keyring.parse(NEW).decrypt(sealed, AAD)

    assert refused.value.key_id == "old"


def test_another_key_of_the_same_name_does_not_open() -> None:
    """An id that was given twice is seen as what it is."""
    sealed = Keyring.parse(f"k:{key(1)}").encrypt(CONTENT, AAD)

    with pytest.raises(NotAuthentic) as refused:
        Keyring.parse(f"k:{key(2)}").decrypt(sealed, AAD)

    assert refused.value.key_id == "k"


@given(content=st.binary())
def test_without_keys_content_stays_as_it_is_behind_a_mark(content: bytes) -> None:
    """No content in the clear passes for a sealed one, or a sealed one for content."""
    keyring = Keyring.unencrypted()

    stored = keyring.encrypt(content, AAD)

    assert stored == b"\0" + content
    assert keyring.decrypt(stored, AAD) == content


@pytest.mark.parametrize("text", [f"clear,{NEW}", f"{NEW},clear"])
def test_encryption_is_introduced_like_a_key(text: str) -> None:
    """While the word `clear` is in the keyring, what was stored before opens, and both forms live side by side."""
    keyring = Keyring.parse(text)
    first = "clear" if text.startswith("clear") else "new"

    stored = [Keyring.unencrypted().encrypt(CONTENT, AAD), Keyring.parse(NEW).encrypt(CONTENT, AAD)]

    assert [keyring.decrypt(each, AAD) for each in stored] == [CONTENT] * 2
    assert key_id_of(keyring.encrypt(CONTENT, AAD)) == first


def test_content_in_the_clear_is_refused_where_it_is_not_allowed() -> None:
    """Otherwise whoever can write to the store could put content of their own in."""
    planted = Keyring.unencrypted().encrypt(CONTENT, AAD)

    with pytest.raises(UnknownKey) as refused:
        Keyring.parse(f"{NEW},{OLD}").decrypt(planted, AAD)

    assert refused.value.key_id == "clear"


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
    """The message says which entry and why; a key that was pasted into the wrong aad is not shown."""
    with pytest.raises(InvalidKeyring, match=BAD[text]) as refused:
        Keyring.parse(text)

    told = str(refused.value)
    pieces = (piece for entry in text.split(",") for piece in entry.split(":") if len(piece) > 5)
    assert not any(piece[at : at + 6] in told for piece in pieces for at in range(len(piece) - 5))


def test_blanks_around_entries_do_not_matter() -> None:
    """A secret from a file ends with a line feed."""
    keyring = Keyring.parse(f" {NEW} , {OLD}\n")

    assert keyring.decrypt(Keyring.parse(OLD).encrypt(CONTENT, AAD), AAD) == CONTENT


def test_no_key_is_shown() -> None:
    """Neither by a keyring nor by what is raised."""
    keyring = Keyring.parse(OLD)

    shown = [repr(part) for part in itertools.chain([keyring], vars(keyring).values())]

    assert not any(key(1)[:8] in text or repr(bytes(range(1, 33)))[2:20] in text for text in shown)


def test_seals_are_counted_by_key() -> None:
    """No key may seal more than 2^32 values, so an operator must be able to see how many it did."""
    keyring, name = Keyring.parse(f"counted:{key(3)}"), "content_sealed_total"
    before = REGISTRY.get_sample_value(name, {"key_id": "counted"}) or 0

    for _ in range(3):
        keyring.encrypt(CONTENT, AAD)

    assert REGISTRY.get_sample_value(name, {"key_id": "counted"}) == before + 3


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("clear", ["content is stored unencrypted"]),
        (f"clear,{OLD}", ["content is stored unencrypted"]),
        (f"{OLD},clear", ["content that nobody sealed is accepted"]),
        (OLD, []),
    ],
)
def test_an_operator_is_told_of_what_is_in_the_clear(
    text: str, told: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """At start, as a warning."""
    warn_if_unencrypted(Keyring.parse(text))

    assert [record.getMessage() for record in caplog.records] == told
