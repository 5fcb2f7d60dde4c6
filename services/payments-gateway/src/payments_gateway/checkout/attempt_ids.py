"""Attempt ids, which prove that one of our secrets made them (ADR 25)."""

import hashlib
import hmac
import json
import secrets
import uuid
from collections.abc import Sequence
from typing import Final

from payments_gateway.domain.attempts import is_attempt_id
from payments_gateway.domain.callers import Caller
from payments_gateway.domain.errors import ForgedAttemptId
from servicekit.violations import FieldViolation, InvalidRequest

_MAX_KEY_CHARACTERS = 255
_UUID4 = 4
_PAYLOAD_BYTES: Final = 10
_MAC_BITS: Final = 42
"""With the payload, the 122 bits of a UUID that its version and variant leave free."""
_PAYLOAD_DOMAIN: Final = b"holdfast attempt id payload\0"
_MAC_DOMAIN: Final = b"holdfast attempt id mac\0"
_VERSION: Final = 0x8
_VARIANT: Final = 0b10


class AttemptIds:
    """Generates and checks attempt ids: UUIDs of version 8 (RFC 9562).

    80 bits are random, or derived from the caller's Idempotency-Key, so that a retry finds its attempt. The other 42
    are a MAC over them.
    """

    def __init__(self, secrets: Sequence[bytes]) -> None:
        """Generate with the first secret, and accept ids of all: there are two during a rotation."""
        self._secrets = tuple(secrets)

    def derive(self, caller: Caller, idempotency_key: str | None) -> str:
        """Return the attempt id of a request: random without a key, always the same for a caller's key.

        Raises InvalidRequest for an unacceptable key. A guest's key must be a random UUID: guests share one namespace,
        so a guessable key would give one guest access to another's checkout.
        """
        if idempotency_key is None:
            return _attempt_id(self._secrets[0], secrets.token_bytes(_PAYLOAD_BYTES))
        _check_key(caller, idempotency_key)
        return _derived(self._secrets[0], caller, idempotency_key)

    def derive_with_other_secrets(self, caller: Caller, idempotency_key: str) -> list[str]:
        """Return the ids that gateways with the secrets in another order derive: an attempt may be stored there."""
        return [_derived(secret, caller, idempotency_key) for secret in self._secrets[1:]]

    def is_ours(self, attempt_id: str) -> bool:
        """Return True if one of the secrets made the id."""
        if not is_attempt_id(attempt_id):
            return False
        given = uuid.UUID(attempt_id).bytes
        payload = _payload_of(given)
        return any(hmac.compare_digest(_uuid(secret, payload).bytes, given) for secret in self._secrets)

    def ensure_ours(self, attempt_id: str) -> None:
        """Raise ForgedAttemptId for an id that none of the secrets made."""
        if not self.is_ours(attempt_id):
            raise ForgedAttemptId


def _derived(secret: bytes, caller: Caller, key: str) -> str:
    # A keyed hash, so that nobody can compute another caller's attempt id from a key.
    material = _PAYLOAD_DOMAIN + json.dumps([caller.user_id, key]).encode()
    return _attempt_id(secret, hmac.digest(secret, material, hashlib.sha256)[:_PAYLOAD_BYTES])


def _attempt_id(secret: bytes, payload: bytes) -> str:
    return str(_uuid(secret, payload))


def _uuid(secret: bytes, payload: bytes) -> uuid.UUID:
    """Return the payload and its MAC as a UUID: 48 bits, version, 12 bits, variant, 62 bits."""
    digest = hmac.digest(secret, _MAC_DOMAIN + payload, hashlib.sha256)
    mac = int.from_bytes(digest, "big") >> (8 * len(digest) - _MAC_BITS)
    free = int.from_bytes(payload, "big") << _MAC_BITS | mac
    high, middle, low = free >> 74, free >> 62 & 0xFFF, free & ((1 << 62) - 1)
    return uuid.UUID(int=high << 80 | _VERSION << 76 | middle << 64 | _VARIANT << 62 | low)


def _payload_of(attempt_id: bytes) -> bytes:
    """Return the first 80 of the free bits."""
    number = int.from_bytes(attempt_id, "big")
    high, middle, low = number >> 80, number >> 64 & 0xFFF, number & ((1 << 62) - 1)
    return (high << 32 | middle << 20 | low >> _MAC_BITS).to_bytes(_PAYLOAD_BYTES, "big")


def _check_key(caller: Caller, key: str) -> None:
    if caller.user_id is None and not _is_random_uuid(key):
        raise InvalidRequest([FieldViolation("Idempotency-Key", "must be a random UUID (version 4) for a guest")])
    if not 0 < len(key) <= _MAX_KEY_CHARACTERS or not (key.isascii() and key.isprintable()):
        raise InvalidRequest(
            [FieldViolation("Idempotency-Key", f"must be 1 to {_MAX_KEY_CHARACTERS} printable ASCII characters")]
        )


def _is_random_uuid(key: str) -> bool:
    try:
        parsed = uuid.UUID(key)
    except ValueError:
        return False
    return parsed.version == _UUID4 and str(parsed) == key.lower()
