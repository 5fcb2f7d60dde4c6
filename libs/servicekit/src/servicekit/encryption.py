"""Content sealed for storage: AES-256-GCM under named keys, bound to the aad that it is stored in.

A sealed value begins with a byte that names its form. Form 0 is content in the clear. Form 1 is followed by the
length of the key's id in one byte, the id, a random 96-bit nonce, and the ciphertext with its 128-bit tag. What comes
before the nonce is authenticated together with the aad: no value can be moved to another record, or its head changed.

Nonces are random: one key must seal no more than 2^32 values (NIST SP 800-38D, 8.3), which is 136 years at one a second
and 16 months at a hundred. The metric `content_sealed_total` counts them.
"""

import base64
import binascii
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from prometheus_client import Counter
from pydantic import AfterValidator, SecretStr

_log = logging.getLogger(__name__)

CLEAR: Final = "clear"
"""Stands in a keyring for no key: content stored as it is. It takes its turn like a key, so encryption is introduced
as a key is replaced, and a keyring without this word refuses content that nobody sealed."""

SEALED: Final = Counter("content_sealed", "Values sealed, by key id. No key may seal more than 2^32.", ["key_id"])

_FORM_CLEAR: Final = b"\0"
_FORM_AES_256_GCM: Final = b"\1"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_KEY_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,32}")


class InvalidKeyring(ValueError):
    """A keyring's text is not valid. Says which entry and why, and quotes nothing of it."""


class Unreadable(Exception):
    """A stored value cannot be opened. Names its key's id, never content."""

    def __init__(self, explanation: str, key_id: str) -> None:
        super().__init__(explanation)
        self.key_id = key_id


class UnknownKey(Unreadable):
    """The value is sealed with a key, or stored in the clear, that this keyring does not have. It may get it back."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"sealed with key {key_id}, which is not in the keyring", key_id)


class NotAuthentic(Unreadable):
    """The value was changed, cut short, or belongs to another record. `key_id` is empty where none can be read."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"not authentic under key {key_id}", key_id)


@dataclass(frozen=True, slots=True)
class _Key:
    """A named key; `cipher` is None for the word `clear`."""

    id: str
    cipher: AESGCM | None = field(repr=False)

    @property
    def head(self) -> bytes:
        """How everything begins that this key seals, and nothing else."""
        return _FORM_CLEAR if self.cipher is None else _FORM_AES_256_GCM + bytes([len(self.id)]) + self.id.encode()


class Keyring:
    """Named keys: the first seals, all open."""

    def __init__(self, keys: Sequence[_Key]) -> None:
        self._first = keys[0]
        self._keys = {key.id: key for key in keys}
        self._sealed = SEALED.labels(self._first.id)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `<id>:<base64 of 32 bytes>` or the word `clear`, several separated by commas. Raises InvalidKeyring."""
        entries = [entry.strip() for entry in text.split(",")]
        _refuse_repeated([entry.partition(":")[0] for entry in entries], "id")
        _refuse_repeated([entry.partition(":")[2] for entry in entries if ":" in entry], "key")
        return cls([_read_key(number, entry) for number, entry in enumerate(entries, start=1)])

    @classmethod
    def unencrypted(cls) -> Self:
        """Return the keyring of a service that has no keys."""
        return cls.parse(CLEAR)

    @property
    def first_id(self) -> str:
        """The id of the key that seals, or `clear`."""
        return self._first.id

    @property
    def first_prefix(self) -> bytes:
        """How everything begins that the first key seals, and nothing else."""
        return self._first.head

    @property
    def accepts_unencrypted(self) -> bool:
        """Whether content in the clear is opened."""
        return CLEAR in self._keys

    def encrypt(self, content: bytes, aad: str) -> bytes:
        """Return the content as it may be stored in an aad: a text that names one record of one kind."""
        self._sealed.inc()
        head = self._first.head
        if self._first.cipher is None:
            return head + content
        nonce = os.urandom(_NONCE_BYTES)
        return head + nonce + self._first.cipher.encrypt(nonce, content, head + aad.encode())

    def decrypt(self, sealed: bytes, aad: str) -> bytes:
        """Return the content that was sealed for this aad. Raises UnknownKey and NotAuthentic."""
        key_id = key_id_of(sealed)
        key = self._keys.get(key_id)
        if key is None:
            raise UnknownKey(key_id)
        begins = len(key.head)
        if key.cipher is None:
            return sealed[begins:]
        nonce, ciphertext = sealed[begins : begins + _NONCE_BYTES], sealed[begins + _NONCE_BYTES :]
        if len(ciphertext) < _TAG_BYTES:
            raise NotAuthentic(key_id)
        try:
            return key.cipher.decrypt(nonce, ciphertext, key.head + aad.encode())
        except InvalidTag:
            raise NotAuthentic(key_id) from None


def key_id_of(sealed: bytes) -> str:
    """Return the id of the key that a stored value says it is sealed with, or `clear`. Raises NotAuthentic."""
    if sealed.startswith(_FORM_CLEAR):
        return CLEAR
    if not sealed.startswith(_FORM_AES_256_GCM):
        raise NotAuthentic("")
    length = int.from_bytes(sealed[1:2])
    key_id = sealed[2 : 2 + length].decode("latin-1")
    if len(key_id) != length or not _may_name_a_key(key_id):
        raise NotAuthentic("")
    return key_id


def _may_name_a_key(text: str) -> bool:
    return text != CLEAR and _KEY_ID.fullmatch(text) is not None


def _read_key(number: int, entry: str) -> _Key:
    if entry == CLEAR:
        return _Key(CLEAR, None)
    key_id, colon, encoded = entry.partition(":")
    if not colon:
        raise InvalidKeyring(f"entry {number} must be <id>:<base64 of {_KEY_BYTES} bytes>, or the word {CLEAR}")
    if not _may_name_a_key(key_id):
        raise InvalidKeyring(f"the id of entry {number} must be 1 to 32 of A-Z a-z 0-9 . _ - and not {CLEAR}")
    return _Key(key_id, AESGCM(_read_secret(number, encoded)))


def _read_secret(number: int, encoded: str) -> bytes:
    try:
        secret = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):  # its message may quote; ValueError is for what is not ASCII
        raise InvalidKeyring(f"the key of entry {number} is not base64") from None
    if len(secret) != _KEY_BYTES:
        raise InvalidKeyring(f"the key of entry {number} has {len(secret)} bytes instead of {_KEY_BYTES}")
    return secret


def _refuse_repeated(values: Sequence[str], what: str) -> None:
    if len(set(values)) < len(values):
        raise InvalidKeyring(f"two entries have the same {what}")


def _valid_keyring(text: SecretStr) -> SecretStr:
    Keyring.parse(text.get_secret_value())
    return text


KeyringText = Annotated[SecretStr, AfterValidator(_valid_keyring)]
"""A keyring as a setting: checked when it is read, masked when it is printed."""


def warn_if_unencrypted(keyring: Keyring) -> None:
    """Tell the operator, at start, what a keyring leaves open."""
    if keyring.first_id == CLEAR:
        _log.warning("content is stored unencrypted")
    elif keyring.accepts_unencrypted:
        _log.warning("content that nobody sealed is accepted")
