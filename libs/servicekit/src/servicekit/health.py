"""Readiness: whether a service should be sent work. Liveness asks nothing of others; readiness does."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from servicekit.cancellation import raise_if_cancelled

_log = logging.getLogger(__name__)

ReadinessCheck = Callable[[], Awaitable[None]]
"""Returns if ready, raises NotReady with the reason if not."""

_CHECK_EVERY_SECONDS: Final = 1.0
_CHECK_WITHIN_SECONDS: Final = 5.0


class NotReady(Exception):
    """The service must not be sent work; the message says why, for the log."""


class Readiness:
    """Runs the checks again and again and tells a listener when the verdict changes."""

    def __init__(
        self,
        checks: Sequence[ReadinessCheck],
        *,
        every_seconds: float = _CHECK_EVERY_SECONDS,
        within_seconds: float = _CHECK_WITHIN_SECONDS,
    ) -> None:
        """Check in this order, every_seconds after the last round ended; a round that hangs counts as not ready."""
        self._checks = checks
        self._every_seconds = every_seconds
        self._within_seconds = within_seconds
        self._reason: str | None = "not checked yet"
        self._checked_at = time.monotonic()

    @property
    def seconds_since_check(self) -> float:
        """How long ago the last round ended; it grows when the process hangs."""
        return time.monotonic() - self._checked_at

    @property
    def reason(self) -> str | None:
        """Why the service is not ready; None when it is."""
        return self._reason

    async def check(self) -> bool:
        """Run every check now; log when the verdict or its reason changed."""
        objection = await self._first_objection()
        self._checked_at = time.monotonic()
        before, self._reason = self._reason, _reason_of(objection)
        if self._reason != before:
            _log_verdict(self._reason, objection)
        return self._reason is None

    async def watch(self, tell: Callable[[bool], Awaitable[None]]) -> None:
        """Check for ever, telling each verdict. Ends by cancellation, also by one that a check has dropped."""
        while True:
            ready = await self.check()
            raise_if_cancelled()
            await tell(ready)
            await asyncio.sleep(self._every_seconds)

    async def _first_objection(self) -> Exception | None:
        try:
            async with asyncio.timeout(self._within_seconds):
                for check in self._checks:
                    await check()
        except Exception as objection:  # noqa: BLE001 — a check that breaks is an answer too, and must not end the watching
            return objection
        return None


def _reason_of(objection: Exception | None) -> str | None:
    if objection is None:
        return None
    if isinstance(objection, NotReady):
        return str(objection)
    return f"check failed: {type(objection).__name__}"


def _log_verdict(reason: str | None, objection: Exception | None) -> None:
    if objection is None:
        _log.info("ready")
    elif isinstance(objection, NotReady):
        _log.warning("not ready", extra={"reason": reason})
    else:
        _log.error("not ready", extra={"reason": reason}, exc_info=objection)
