"""Attempts whose check time has come, and the port through which reconcilers claim them (P3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from payments_gateway.domain.attempts import CloseReason, IntentRef


@dataclass(frozen=True, slots=True)
class DueAttempt:
    """An attempt to judge by its intent. Known without its content, which may have expired or be unreadable."""

    attempt_id: str
    intent: IntentRef
    created_at: datetime
    pay_by: datetime
    close_reason: CloseReason | None
    """None while the attempt is open."""
    content_exists: bool
    """False if the content expired and only its entry in the index is left."""


class DueAttemptsPort(Protocol):
    """Index of attempts by next check time, in checkout-session. Every method may raise ServiceUnavailable."""

    async def claim(self, limit: int, lease: timedelta) -> Sequence[DueAttempt]:
        """Return at most `limit` due attempts, and move their next check by the lease.

        Fewer than `limit` only if no more are due. The lease only saves calls: an attempt may be handed out twice.
        """

    async def reschedule(self, delays: Mapping[str, timedelta]) -> None:
        """Set the next check of attempts, as a delay from now by id. Deleted attempts are skipped."""
