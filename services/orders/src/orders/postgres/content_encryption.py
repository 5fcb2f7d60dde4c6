"""Encryption of quarantined content, bound to its intent (ADR 11)."""

import logging
from typing import Final

from prometheus_client import Counter

from orders.domain.checkout import AttemptContent, UnreadableCause, UnreadableContent
from servicekit.encryption import Keyring, NotAuthentic, Unreadable

_log = logging.getLogger(__name__)

UNREADABLE: Final = Counter(
    "holdfast_quarantined_content_unreadable", "Quarantined contents that could not be decrypted, by cause.", ["cause"]
)


class ContentCipher:
    """Encrypts content with the first key of a keyring, and decrypts it with the key that it names."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    @property
    def key_id(self) -> str:
        """Id of the key that encrypts."""
        return self._keyring.first_id

    @property
    def prefix(self) -> bytes:
        """First bytes of everything that this key encrypts, and of nothing else."""
        return self._keyring.first_prefix

    def encrypt(self, intent_id: str, content: AttemptContent) -> bytes:
        """Return the content in the form in which it is stored."""
        return self._keyring.encrypt(content.serialized, _aad(intent_id))

    def decrypt(self, intent_id: str, user_id: str | None, stored: bytes) -> AttemptContent | UnreadableContent:
        """Return the content, or the cause why it cannot be decrypted, which is logged and counted."""
        try:
            return AttemptContent(user_id, self._keyring.decrypt(stored, _aad(intent_id)))
        except Unreadable as unreadable:
            cause = _cause(unreadable)
            UNREADABLE.labels(cause.value).inc()
            extra = {"intent": intent_id, "key_id": unreadable.key_id, "cause": cause.value}
            _log.error("quarantined content cannot be decrypted", extra=extra)
            return UnreadableContent(unreadable.key_id, cause)


def _aad(intent_id: str) -> str:
    return f"orders payment {intent_id}"


def _cause(unreadable: Unreadable) -> UnreadableCause:
    return UnreadableCause.NOT_AUTHENTIC if isinstance(unreadable, NotAuthentic) else UnreadableCause.UNKNOWN_KEY
