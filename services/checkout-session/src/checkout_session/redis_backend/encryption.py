"""The form in which attempts are stored: the contract's message, sealed for the attempt's id (ADR 11)."""

import logging
from typing import Final

from google.protobuf.message import DecodeError
from prometheus_client import Counter

from checkout.session.v1 import checkout_session_pb2 as pb
from checkout_session.domain.attempts import Attempt, AttemptUnreadable
from checkout_session.messages import attempt_from_message, attempt_to_message
from servicekit.encryption import Keyring, Unreadable

_log = logging.getLogger(__name__)

UNREADABLE: Final = Counter(
    "checkout_session_attempts_unreadable", "Stored attempts that could not be read, by why.", ["cause"]
)


class AttemptSealer:
    """Seals attempts with the first key of a keyring, and opens them with whichever sealed them."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def seal(self, attempt: Attempt) -> bytes:
        """Return an attempt as it is stored."""
        return self._keyring.encrypt(attempt_to_message(attempt).SerializeToString(), _aad(attempt.attempt_id))

    def open(self, attempt_id: str, stored: bytes) -> Attempt:
        """Return the attempt that is stored under an id. Raises AttemptUnreadable, and tells the operator why."""
        try:
            message = pb.Attempt.FromString(self._keyring.decrypt(stored, _aad(attempt_id)))
        except Unreadable as unreadable:
            raise _told(attempt_id, type(unreadable).__name__, unreadable.key_id) from unreadable
        except DecodeError as garbled:
            raise _told(attempt_id, type(garbled).__name__, "") from garbled
        if message.attempt_id != attempt_id:  # what is sealed cannot be moved; what is in the clear can
            raise _told(attempt_id, "OtherAttempt", "")
        return attempt_from_message(message)


def _aad(attempt_id: str) -> str:
    return f"checkout-session attempt {attempt_id}"


def _told(attempt_id: str, cause: str, key_id: str) -> AttemptUnreadable:
    UNREADABLE.labels(cause).inc()
    told = {"cause": cause, "key_id": key_id, "unreadable_attempt": attempt_id[:8]}
    _log.error("a stored attempt cannot be read", extra=told)
    return AttemptUnreadable()
