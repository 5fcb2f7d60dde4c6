"""Saving of an attempt: the step of initiate that must succeed before the client secret is released (P2)."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from checkout_session.domain.attempts import (
    Attempt,
    AttemptClosed,
    AttemptNotFound,
    AttemptStore,
    AttemptUnreadable,
    Intent,
    Saved,
    Tombstone,
    UnreadableAttempt,
)
from servicekit.violations import FieldViolation, InvalidRequest


class RequestHashMismatch(Exception):
    """The id is stored with the hash of another request."""

    def __init__(self) -> None:
        super().__init__("the attempt is stored with another request hash")


class AttemptTooLarge(Exception):
    """The content is over the size limit."""

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(f"the attempt takes {size_bytes} bytes, {limit_bytes} are allowed")


class PayByPassed(InvalidRequest):
    """The pay-by of a new attempt is not in the future."""

    def __init__(self) -> None:
        super().__init__([FieldViolation("context.pay_by", "must lie after the attempt's creation")])


@dataclass(frozen=True, slots=True)
class Draft:
    """An attempt as the caller sends it."""

    attempt_id: str
    request_hash: bytes
    intent: Intent
    user_id: str
    content: bytes
    pay_by: datetime

    def created_at(self, moment: datetime) -> Attempt:
        """Return the attempt that this draft becomes."""
        return Attempt(
            attempt_id=self.attempt_id,
            request_hash=self.request_hash,
            intent=self.intent,
            user_id=self.user_id,
            content=self.content,
            created_at=moment,
            pay_by=self.pay_by,
        )


class AttemptSaver:
    """Saves drafts as attempts. `now` gives the time of creation."""

    def __init__(self, store: AttemptStore, *, now: Callable[[], datetime], max_attempt_bytes: int) -> None:
        self._store = store
        self._now = now
        self._max_attempt_bytes = max_attempt_bytes

    async def save(self, draft: Draft) -> Saved:
        """Store the draft, or return the attempt that its id has already.

        Raises AttemptTooLarge, PayByPassed, RequestHashMismatch, and the errors of the store.
        """
        if len(draft.content) > self._max_attempt_bytes:
            raise AttemptTooLarge(len(draft.content), self._max_attempt_bytes)
        now = self._now()
        saved = await (self._store.save(draft.created_at(now)) if draft.pay_by > now else self._replay(draft))
        # Compared here and not in the store: the hash of a stored attempt never changes, so there is no race.
        if saved.attempt.request_hash != draft.request_hash:
            raise RequestHashMismatch
        return saved

    async def _replay(self, draft: Draft) -> Saved:
        """Answer a repeat that arrives after its pay-by: every rpc may be repeated, however late."""
        try:
            found = await self._store.find(draft.attempt_id)
        except AttemptNotFound:
            raise PayByPassed from None
        if isinstance(found, Tombstone) or found.close_reason is not None:
            raise AttemptClosed
        if isinstance(found, UnreadableAttempt):
            raise AttemptUnreadable(found.key_id)
        return await self._store.save(found)  # only a save confirms that it is stored durably (ADR 9)
