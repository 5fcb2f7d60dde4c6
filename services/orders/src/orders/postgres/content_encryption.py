"""The form in which quarantined content is stored: sealed for the intent that it belongs to (ADR 11)."""

import logging
from typing import Final

from prometheus_client import Counter

from orders.domain.checkout import AttemptContent, UnreadableCause, UnreadableContent
from servicekit.encryption import Keyring, NotAuthentic, Unreadable

_log = logging.getLogger(__name__)

UNREADABLE: Final = Counter(
    "orders_quarantined_content_unreadable", "Quarantined contents that could not be read, by why.", ["cause"]
)


class ContentSealer:
    """Seals content with the first key of a keyring, and opens it with whichever sealed it."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    @property
    def key_id(self) -> str:
        """The id of the key that seals."""
        return self._keyring.first_id

    @property
    def head(self) -> bytes:
        """How everything begins that this key seals, and nothing else."""
        return self._keyring.first_prefix

    def seal(self, intent_id: str, content: AttemptContent) -> bytes:
        """Return the content as it is stored."""
        return self._keyring.encrypt(content.serialized, _aad(intent_id))

    def open(self, intent_id: str, user_id: str | None, stored: bytes) -> AttemptContent | UnreadableContent:
        """Return the content; if it cannot be read, what there is to say about it, and tell the operator."""
        try:
            return AttemptContent(user_id, self._keyring.decrypt(stored, _aad(intent_id)))
        except Unreadable as unreadable:
            cause = _cause(unreadable)
            UNREADABLE.labels(cause.value).inc()
            told = {"intent": intent_id, "key_id": unreadable.key_id, "cause": cause.value}
            _log.error("quarantined content cannot be read", extra=told)
            return UnreadableContent(unreadable.key_id, cause)


def _aad(intent_id: str) -> str:
    return f"orders payment {intent_id}"


def _cause(unreadable: Unreadable) -> UnreadableCause:
    return UnreadableCause.NOT_AUTHENTIC if isinstance(unreadable, NotAuthentic) else UnreadableCause.UNKNOWN_KEY
