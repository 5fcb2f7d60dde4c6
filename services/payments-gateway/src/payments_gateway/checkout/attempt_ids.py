"""Attempt ids: random, or derived from the caller's Idempotency-Key, so that a retry finds its attempt."""

import hashlib
import hmac
import json
import uuid

from payments_gateway.domain.callers import Caller
from servicekit.violations import FieldViolation, InvalidRequest

_MAX_KEY_CHARACTERS = 255
_UUID4 = 4


class AttemptIds:
    """Generates attempt ids."""

    def __init__(self, secret: bytes) -> None:
        """Derive with a keyed hash, so that nobody can compute another caller's attempt id from a key."""
        self._secret = secret

    def derive(self, caller: Caller, idempotency_key: str | None) -> str:
        """Return the attempt id of a request: random without a key, always the same for a caller's key.

        Raises InvalidRequest for an unacceptable key. A guest's key must be a random UUID: guests share one namespace,
        so a guessable key would give one guest access to another's checkout.
        """
        if idempotency_key is None:
            return str(uuid.uuid4())
        _check_key(caller, idempotency_key)
        material = json.dumps([caller.user_id, idempotency_key]).encode()
        digest = hmac.digest(self._secret, material, hashlib.sha256)
        return str(uuid.UUID(bytes=digest[:16], version=_UUID4))


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
