"""Encryption of stored content: AES-256-GCM under named keys, bound to its record by associated data (ADR 11).

A stored value begins with a byte that names its format. Format 0 is unencrypted content. Format 1 goes on with the
length of the key's id in one byte, the id, a random 96-bit nonce, and the ciphertext with its 128-bit tag. The bytes
before the nonce are authenticated together with the associated data (`aad`), so no value can be moved to another record
and no prefix can be changed.

Nonces are random: one key must encrypt no more than 2^32 values (NIST SP 800-38D, 8.3). That is 136 years at one a
second and 16 months at a hundred. The metric `holdfast_encryptions_total` counts them.
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
"""Stands in a keyring for no key: content is stored unencrypted. It is rotated like a key, so encryption is introduced
in the way in which a key is replaced, and a keyring without this word refuses unencrypted content."""

ENCRYPTIONS: Final = Counter(
    "holdfast_encryptions", "Values encrypted, by key id. No key may encrypt more than 2^32.", ["key_id"]
)

_FORMAT_CLEAR: Final = b"\0"
_FORMAT_AES_256_GCM: Final = b"\1"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_KEY_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,32}")


class InvalidKeyring(ValueError):
    """The text of a keyring is not valid. Names the entry and the fault, and quotes nothing."""


class Unreadable(Exception):
    """A stored value cannot be decrypted. Names the id of its key, never content."""

    def __init__(self, explanation: str, key_id: str) -> None:
        super().__init__(explanation)
        self.key_id = key_id


class UnknownKey(Unreadable):
    """The keyring lacks the value's key, or the word `clear` for an unencrypted value. It may get it back."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"encrypted with key {key_id}, which is not in the keyring", key_id)


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
    def prefix(self) -> bytes:
        """First bytes of every value under this key, and of no other."""
        return _FORMAT_CLEAR if self.cipher is None else _FORMAT_AES_256_GCM + bytes([len(self.id)]) + self.id.encode()


class Keyring:
    """Named keys: the first encrypts, all decrypt."""

    def __init__(self, keys: Sequence[_Key]) -> None:
        self._first = keys[0]
        self._keys = {key.id: key for key in keys}
        self._encryptions = ENCRYPTIONS.labels(self._first.id)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `<id>:<base64 of 32 bytes>` or the word `clear`, several separated by commas. Raises InvalidKeyring."""
        entries = [entry.strip() for entry in text.split(",")]
        _require_unique([entry.partition(":")[0] for entry in entries], "id")
        _require_unique([entry.partition(":")[2] for entry in entries if ":" in entry], "key")
        return cls([_parse_key(number, entry) for number, entry in enumerate(entries, start=1)])

    @classmethod
    def unencrypted(cls) -> Self:
        """Return the keyring of a service that has no keys."""
        return cls.parse(CLEAR)

    @property
    def first_id(self) -> str:
        """Id of the key that encrypts, or `clear`."""
        return self._first.id

    @property
    def first_prefix(self) -> bytes:
        """First bytes of every value under the key that encrypts, and of no other."""
        return self._first.prefix

    @property
    def accepts_unencrypted(self) -> bool:
        """True if unencrypted content is read."""
        return CLEAR in self._keys

    def encrypt(self, content: bytes, aad: str) -> bytes:
        """Encrypt content for storage. `aad` names one record of one kind."""
        self._encryptions.inc()
        prefix = self._first.prefix
        if self._first.cipher is None:
            return prefix + content
        nonce = os.urandom(_NONCE_BYTES)
        return prefix + nonce + self._first.cipher.encrypt(nonce, content, prefix + aad.encode())

    def decrypt(self, stored: bytes, aad: str) -> bytes:
        """Decrypt a value that was encrypted with this aad. Raises UnknownKey and NotAuthentic."""
        key_id = key_id_of(stored)
        key = self._keys.get(key_id)
        if key is None:
            raise UnknownKey(key_id)
        rest = stored[len(key.prefix) :]
        if key.cipher is None:
            return rest
        nonce, ciphertext = rest[:_NONCE_BYTES], rest[_NONCE_BYTES:]
        if len(ciphertext) < _TAG_BYTES:
            raise NotAuthentic(key_id)
        try:
            return key.cipher.decrypt(nonce, ciphertext, key.prefix + aad.encode())
        except InvalidTag:
            raise NotAuthentic(key_id) from None


def key_id_of(stored: bytes) -> str:
    """Return the id of the key that a stored value names, or `clear`. Raises NotAuthentic."""
    if stored.startswith(_FORMAT_CLEAR):
        return CLEAR
    if not stored.startswith(_FORMAT_AES_256_GCM):
        raise NotAuthentic("")
    length = int.from_bytes(stored[1:2])
    key_id = stored[2 : 2 + length].decode("latin-1")
    if len(key_id) != length or not _is_key_id(key_id):
        raise NotAuthentic("")
    return key_id


def _is_key_id(text: str) -> bool:
    return text != CLEAR and _KEY_ID.fullmatch(text) is not None


def _parse_key(number: int, entry: str) -> _Key:
    if entry == CLEAR:
        return _Key(CLEAR, None)
    key_id, colon, encoded = entry.partition(":")
    if not colon:
        raise InvalidKeyring(f"entry {number} must be <id>:<base64 of {_KEY_BYTES} bytes>, or the word {CLEAR}")
    if not _is_key_id(key_id):
        raise InvalidKeyring(f"the id of entry {number} must be 1 to 32 of A-Z a-z 0-9 . _ - and not {CLEAR}")
    return _Key(key_id, AESGCM(_parse_secret(number, encoded)))


def _parse_secret(number: int, encoded: str) -> bytes:
    try:
        secret = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):  # its message may quote; ValueError is raised for text that is not ASCII
        raise InvalidKeyring(f"the key of entry {number} is not base64") from None
    if len(secret) != _KEY_BYTES:
        raise InvalidKeyring(f"the key of entry {number} has {len(secret)} bytes instead of {_KEY_BYTES}")
    return secret


def _require_unique(values: Sequence[str], noun: str) -> None:
    if len(set(values)) < len(values):
        raise InvalidKeyring(f"two entries have the same {noun}")


def _validate_keyring(text: SecretStr) -> SecretStr:
    Keyring.parse(text.get_secret_value())
    return text


KeyringText = Annotated[SecretStr, AfterValidator(_validate_keyring)]
"""Keyring as a setting: validated when it is read, masked when it is printed."""


def warn_if_unencrypted(keyring: Keyring) -> None:
    """Log at start that content is stored, or accepted, unencrypted."""
    if keyring.first_id == CLEAR:
        _log.warning("content is stored unencrypted")
    elif keyring.accepts_unencrypted:
        _log.warning("unencrypted content is accepted")
