"""The checkout attempt, its tombstone, and the port of the store that keeps both."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class CloseReason(StrEnum):
    """Reason for which an attempt takes no further saves."""

    SUPERSEDED = "superseded"
    PAY_BY_PASSED = "pay_by_passed"


class DeleteReason(StrEnum):
    """Reason for which an attempt's content was deleted (P4)."""

    RECORDED = "recorded"
    QUARANTINED = "quarantined"
    CANCELLED = "cancelled"


class IntentKind(StrEnum):
    """Stripe's two intent resources."""

    PAYMENT = "payment"
    SETUP = "setup"


@dataclass(frozen=True, slots=True)
class Intent:
    """A Stripe intent, by id."""

    id: str
    kind: IntentKind


@dataclass(frozen=True, slots=True)
class Attempt:
    """A checkout attempt. Its content never changes; only a close reason and a successor may be added, once each."""

    attempt_id: str
    request_hash: bytes
    """SHA-256 of the client's request, taken before pricing. Tells a retry from another request."""
    intent: Intent
    """The intent that pays for this attempt."""
    user_id: str
    """The owner; empty for a guest. Outlives the content, in the tombstone."""
    content: bytes
    """The checkout context as the caller sent it; opaque to the store."""
    created_at: datetime
    pay_by: datetime
    """Time after which a reconciler cancels the intent; part of the content too."""
    close_reason: CloseReason | None = None
    """None while the attempt is open."""
    successor: str = ""
    """Id of the attempt that superseded it; empty for none."""


@dataclass(frozen=True, slots=True)
class UnreadableAttempt:
    """A stored attempt whose content cannot be decrypted now, and what is stored beside the content.

    Whoever can write to the store can change these fields. They are used only while the content cannot be read.
    """

    attempt_id: str
    user_id: str
    """The owner; empty for a guest."""
    intent: Intent
    encrypted_content: bytes = field(repr=False)
    """The stored bytes as they are."""
    key_id: str
    """Id of the key that they are encrypted with; empty if they do not tell."""
    close_reason: CloseReason | None
    """None while the attempt is open."""
    successor: str
    """Id of the attempt that superseded it; empty for none."""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Remainder of a deleted attempt, without content."""

    attempt_id: str
    reason: DeleteReason
    close_reason: CloseReason | None
    """Set if the attempt was closed before it was deleted."""
    user_id: str
    """The owner; empty for a guest and for an id that was never saved."""
    deleted_at: datetime
    """Rounded down to the second."""
    successor: str
    """Id of the attempt that superseded it; empty for none."""


FoundAttempt = Attempt | Tombstone | UnreadableAttempt


@dataclass(frozen=True, slots=True)
class ClosedAttempt:
    """Result of a close: what stands under the id then."""

    found: FoundAttempt | None
    """None if the id was never saved."""
    successor: str
    """Successor that stands, which may be another one than was asked for; empty for none."""


@dataclass(frozen=True, slots=True)
class Saved:
    """Result of a save: the attempt as stored, which may differ from the one sent."""

    attempt: Attempt
    replayed: bool
    """True if the id was stored before."""


class AttemptNotFound(Exception):
    """No attempt and no tombstone has this id."""

    def __init__(self) -> None:
        super().__init__("no attempt has this id")


class AttemptClosed(Exception):
    """The attempt was closed or deleted and takes no saves."""

    def __init__(self) -> None:
        super().__init__("the attempt is closed")


class AttemptUnreadable(Exception):
    """The stored content cannot be decrypted: its key is not configured, or it was changed.

    The attempt is neither lost nor deleted. It can be read again once the key is back.
    """

    def __init__(self, key_id: str) -> None:
        super().__init__("the stored attempt cannot be read")
        self.key_id = key_id
        """Id of the key that the content is encrypted with; empty if the content does not tell."""


class StoreUnavailable(Exception):
    """The store did not answer in time. The call may have had its effect; repeating it is safe."""

    def __init__(self) -> None:
        super().__init__("the attempt store is unavailable")


class AttemptStore(Protocol):
    """Store of attempts and tombstones.

    Concurrent changes to one attempt are serialized, and each is atomic. Every method may be repeated. Every method
    raises StoreUnavailable. Only `save` raises AttemptUnreadable: it must not answer an attempt that nobody can read.
    """

    async def save(self, attempt: Attempt) -> Saved:
        """Store an open attempt and add it to the due index. If its id is stored already, the stored attempt wins.

        Raises AttemptClosed if the id was closed or deleted, even if it was never stored.
        """
        ...

    async def find(self, attempt_id: str) -> FoundAttempt:
        """Return the attempt, or the tombstone that its deletion left. Raises AttemptNotFound."""
        ...

    async def close(self, attempt_id: str, reason: CloseReason, successor: str = "") -> ClosedAttempt:
        """Refuse further saves of this id, keep the content, and make a stored attempt due at once.

        The first reason stays, and so does the first successor. A deleted attempt stays deleted and can still get a
        successor.
        """
        ...

    async def delete(self, attempt_id: str, reason: DeleteReason) -> None:
        """Delete the content and the entry in the due index, and leave a tombstone. The first reason stays."""
        ...
