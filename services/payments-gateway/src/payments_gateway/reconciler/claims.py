"""Due attempts that this process has claimed and not judged yet."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final

from payments_gateway.domain.due_attempts import DueAttempt, DueAttemptsPort
from payments_gateway.reconciler.sweeps import BACKLOG

_PAGE_SIZE: Final = 1000
_MAX_CLAIMED: Final = 100_000
"""Attempts claimed at once, some 50 MB. The more are claimed, the fewer requests their lists take."""


class Claims:
    """Claims attempts, renews their leases, and sets their next checks.

    After a lease another process takes over what a killed one had claimed. It only saves calls (ADR 39). `monotonic` is
    a clock in seconds.
    """

    def __init__(self, due: DueAttemptsPort, sweep: str, *, lease: timedelta, monotonic: Callable[[], float]) -> None:
        self._due = due
        self._held = dict[str, DueAttempt]()
        self._backlog = BACKLOG.labels(sweep)
        self._lease = lease
        self._monotonic = monotonic
        self._renewed_at = monotonic()

    async def claim(self) -> tuple[Sequence[DueAttempt], bool]:
        """Claim what is due; return it, and True if more may be due."""
        claimed: list[DueAttempt] = []
        more = True
        while more and len(self._held) < _MAX_CLAIMED:
            page = await self._due.claim(_PAGE_SIZE, self._lease)
            claimed += page
            self._held.update((each.attempt_id, each) for each in page)
            more = len(page) == _PAGE_SIZE
        self._backlog.set(len(self._held))
        return claimed, more

    async def renew(self) -> None:
        """Renew the leases before they end."""
        if self._monotonic() - self._renewed_at >= self._lease.total_seconds() / 3:
            self._renewed_at = self._monotonic()
            await self._due.reschedule(dict.fromkeys(self._held, self._lease))

    async def finish(self, delays: Mapping[str, timedelta]) -> None:
        """Set the next check of judged attempts. Deleted ones have none."""
        await self._due.reschedule(delays)
        for attempt_id in delays:
            self._held.pop(attempt_id, None)
        self._backlog.set(len(self._held))

    async def release(self, delay: timedelta) -> None:
        """Let every attempt that is not judged come due soon, instead of at the end of its lease."""
        held = list(self._held)
        self._held.clear()
        self._backlog.set(0)
        await self._due.reschedule(dict.fromkeys(held, delay))
