"""Saving an attempt: the step of initiate after which, and only after which, a client secret may leave (P2)."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from checkout_session.domain.attempts import (
    Attempt,
    AttemptClosed,
    AttemptNotFound,
    AttemptStore,
    Intent,
    Saved,
    Tombstone,
)
from servicekit.violations import FieldViolation, InvalidRequest


class RequestHashMismatch(Exception):
    """The id is stored with the hash of another request."""

    def __init__(self) -> None:
        super().__init__("the attempt is stored with another request hash")


class AttemptTooLarge(Exception):
    """The content is over the limit."""

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(f"the attempt takes {size_bytes} bytes, {limit_bytes} are allowed")


class PayByPassed(InvalidRequest):
    """A new attempt could no longer be paid at the moment it is created."""

    def __init__(self) -> None:
        super().__init__([FieldViolation("context.pay_by", "must lie after the attempt's creation")])


@dataclass(frozen=True, slots=True)
class Draft:
    """An attempt as its caller sends it."""

    attempt_id: str
    request_hash: bytes
    intent: Intent
    user_id: str
    content: bytes
    pay_by: datetime


class AttemptSaver:
    """Saves drafts as attempts."""

    def __init__(self, store: AttemptStore, *, clock: Callable[[], datetime], max_attempt_bytes: int) -> None:
        """Prepare to save into a store. The clock gives the time of creation, with its time zone."""
        self._store = store
        self._clock = clock
        self._max_attempt_bytes = max_attempt_bytes

    async def save(self, draft: Draft) -> Saved:
        """Store the draft, or answer the attempt that its id has already.

        Raises AttemptTooLarge, PayByPassed, RequestHashMismatch, and what the store raises.
        """
        if len(draft.content) > self._max_attempt_bytes:
            raise AttemptTooLarge(len(draft.content), self._max_attempt_bytes)
        now = self._clock()
        saved = await (self._store.save(_created(draft, now)) if draft.pay_by > now else self._replayed(draft))
        # Compared here and not by the store: the hash of a stored attempt never changes, so there is no race to lose.
        if saved.attempt.request_hash != draft.request_hash:
            raise RequestHashMismatch
        return saved

    async def _replayed(self, draft: Draft) -> Saved:
        """Answer a repeat that arrives after its pay-by: every rpc may be repeated as it was, however late."""
        try:
            found = await self._store.find(draft.attempt_id)
        except AttemptNotFound:
            raise PayByPassed from None
        if isinstance(found, Tombstone) or found.close_reason is not None:
            raise AttemptClosed
        return await self._store.save(found)  # only a save tells whether it is kept as durably as is asked (ADR 9)


def _created(draft: Draft, now: datetime) -> Attempt:
    return Attempt(
        attempt_id=draft.attempt_id,
        request_hash=draft.request_hash,
        intent=draft.intent,
        user_id=draft.user_id,
        content=draft.content,
        created_at=now,
    )
