"""The checkout attempt: what a buyer is about to pay for, what remains of it later, and the store that keeps both."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class CloseReason(StrEnum):
    """Why an attempt takes no further saves."""

    SUPERSEDED = "superseded"
    PAY_BY_PASSED = "pay_by_passed"


class DeleteReason(StrEnum):
    """Why an attempt's content is gone (P4)."""

    RECORDED = "recorded"
    QUARANTINED = "quarantined"
    CANCELLED = "cancelled"


class IntentKind(StrEnum):
    """Which of Stripe's two intent resources an id names."""

    PAYMENT = "payment"
    SETUP = "setup"


@dataclass(frozen=True, slots=True)
class Intent:
    """A Stripe intent, by id."""

    id: str
    kind: IntentKind


@dataclass(frozen=True, slots=True)
class Attempt:
    """A checkout attempt. Its content never changes; only a close reason may be added, once."""

    attempt_id: str
    request_hash: bytes
    """SHA-256 over what the client sent, taken before pricing. Tells a retry from another request."""
    intent: Intent
    """The intent this attempt is paid with."""
    user_id: str
    """Whose attempt it is; empty for a guest's. Outlives the content, in the tombstone."""
    content: bytes
    """The checkout context as the caller sent it, opaque here: the store keeps it, the caller reads it."""
    created_at: datetime
    close_reason: CloseReason | None = None
    """None while the attempt is open."""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What remains of a deleted attempt."""

    attempt_id: str
    reason: DeleteReason
    close_reason: CloseReason | None
    """Set when the attempt was closed before it was deleted."""
    user_id: str
    """Whose attempt it was; empty for a guest's and for an id that was never saved."""
    deleted_at: datetime
    """To the second."""


@dataclass(frozen=True, slots=True)
class Saved:
    """The outcome of a save: the attempt as stored, which need not be the one sent."""

    attempt: Attempt
    replayed: bool
    """True when the id was stored before."""


class AttemptNotFound(Exception):
    """Neither an attempt nor a tombstone bears this id."""

    def __init__(self) -> None:
        super().__init__("no attempt has this id")


class AttemptClosed(Exception):
    """The attempt was closed or deleted and takes no saves."""

    def __init__(self) -> None:
        super().__init__("the attempt is closed")


class AttemptUnreadable(Exception):
    """The attempt is stored, but its content cannot be read now: its key is not known here, or it was changed.

    It is neither lost nor deleted, and can be read again once the key is back.
    """

    def __init__(self) -> None:
        super().__init__("the stored attempt cannot be read")


class StoreUnavailable(Exception):
    """The store did not do what was asked, or not in time. It may have had its effect; repeating the call is safe."""

    def __init__(self) -> None:
        super().__init__("the attempt store is unavailable")


class AttemptStore(Protocol):
    """Keeps attempts and tombstones.

    Of changes to one attempt at the same moment, the store carries out one after the other, whole. Every verb may be
    repeated. Every verb raises StoreUnavailable; those that answer an attempt raise AttemptUnreadable. Closing and
    deleting need no content, and so no key.
    """

    async def save(self, attempt: Attempt) -> Saved:
        """Store an open attempt and put it into the due index, unless its id is stored: then the stored one stands.

        Raises AttemptClosed if the id was closed or deleted, whether it was ever stored or not.
        """
        ...

    async def find(self, attempt_id: str) -> Attempt | Tombstone:
        """Return the attempt, or the tombstone that its deletion left. Raises AttemptNotFound."""
        ...

    async def close(self, attempt_id: str, reason: CloseReason) -> None:
        """Bar further saves of this id, keep the content, and make a stored attempt due at once.

        The first reason stays. Closing a deleted attempt changes nothing.
        """
        ...

    async def delete(self, attempt_id: str, reason: DeleteReason) -> None:
        """Remove the content and the entry in the due index, and leave a tombstone. The first reason stays."""
        ...
