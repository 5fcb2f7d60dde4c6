"""Attempts whose check time has come, and the port of the index that hands them out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from checkout_session.domain.attempts import CloseReason, Intent


@dataclass(frozen=True, slots=True)
class DueAttempt:
    """An attempt to judge by its intent. Known without its content, which may have expired or be unreadable."""

    attempt_id: str
    intent: Intent
    created_at: datetime
    """Rounded down to the second."""
    pay_by: datetime
    """Rounded up to the second."""
    close_reason: CloseReason | None
    """None while the attempt is open."""
    content_exists: bool
    """False if the content expired."""


class DueAttempts(Protocol):
    """Index of the stored attempts by next check time. Every method raises StoreUnavailable."""

    async def claim(self, limit: int, lease: timedelta) -> Sequence[DueAttempt]:
        """Return at most `limit` due attempts, and move their next check by the lease.

        Fewer than `limit` if no more are due, or if a server failed after others had answered. Renews the lifetime of
        what it returns. An attempt may be handed out twice, and one whose answer is lost comes due after the lease.
        """
        ...

    async def reschedule(self, delays: Mapping[str, timedelta]) -> None:
        """Set the next check of attempts, as a delay from now by id. Deleted attempts are skipped."""
        ...
