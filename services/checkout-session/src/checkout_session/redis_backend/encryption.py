"""Encryption of stored attempts: the contract's message, bound to the attempt's id (ADR 11)."""

import logging
from typing import Final

from google.protobuf.message import DecodeError
from prometheus_client import Counter

from checkout.session.v1 import checkout_session_pb2 as pb
from checkout_session.domain.attempts import Attempt, AttemptUnreadable
from checkout_session.proto_mapping import attempt_from_proto, attempt_to_proto
from servicekit.encryption import Keyring, Unreadable, key_id_of

_log = logging.getLogger(__name__)

UNREADABLE: Final = Counter(
    "holdfast_attempts_unreadable", "Stored attempts that could not be read, by cause.", ["cause"]
)


class AttemptEncryption:
    """Encrypts attempts with the first key of a keyring, and decrypts them with any."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def encrypt(self, attempt: Attempt) -> bytes:
        """Return the stored form of an attempt."""
        return self._keyring.encrypt(attempt_to_proto(attempt).SerializeToString(), _aad(attempt.attempt_id))

    def decrypt(self, attempt_id: str, stored: bytes) -> Attempt:
        """Return the attempt that is stored under an id. Raises AttemptUnreadable, and logs the cause."""
        try:
            message = pb.Attempt.FromString(self._keyring.decrypt(stored, _aad(attempt_id)))
        except Unreadable as unreadable:
            raise _reported(attempt_id, type(unreadable).__name__, unreadable.key_id) from unreadable
        except DecodeError as malformed:
            raise _reported(attempt_id, type(malformed).__name__, key_id_of(stored)) from malformed
        if message.attempt_id != attempt_id:  # encrypted content cannot be moved, unencrypted content can
            raise _reported(attempt_id, "OtherAttempt", key_id_of(stored))
        return attempt_from_proto(message)


def _aad(attempt_id: str) -> str:
    return f"checkout-session attempt {attempt_id}"


def _reported(attempt_id: str, cause: str, key_id: str) -> AttemptUnreadable:
    UNREADABLE.labels(cause).inc()
    fields = {"cause": cause, "key_id": key_id, "unreadable_attempt": attempt_id[:8]}
    _log.error("stored attempt cannot be decrypted", extra=fields)
    return AttemptUnreadable(key_id)
