"""Readiness: whether a service should be sent work. Liveness asks nothing of others; readiness does."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

_log = logging.getLogger(__name__)

ReadinessCheck = Callable[[], Awaitable[None]]
"""Returns if ready, raises NotReady with the reason if not. Bounds its own time."""

_CHECK_EVERY_SECONDS: Final = 1.0


class NotReady(Exception):  # noqa: N818 — named for what happened
    """The service must not be sent work; the message says why, for the log."""


class Readiness:
    """Runs the checks again and again and tells a listener when the verdict changes."""

    def __init__(self, checks: Sequence[ReadinessCheck], *, every_seconds: float = _CHECK_EVERY_SECONDS) -> None:
        self._checks = checks
        self._every_seconds = every_seconds
        self._reason: str | None = "not checked yet"

    @property
    def reason(self) -> str | None:
        """Why the service is not ready; None when it is."""
        return self._reason

    async def check(self) -> bool:
        """Run every check now; log when the verdict or its reason changed."""
        before, self._reason = self._reason, await self._first_objection()
        if self._reason != before:
            _log.log(
                logging.WARNING if self._reason else logging.INFO,
                "not ready" if self._reason else "ready",
                extra={"reason": self._reason} if self._reason else None,
            )
        return self._reason is None

    async def watch(self, tell: Callable[[bool], Awaitable[None]]) -> None:
        """Check for ever, telling each verdict. Ends by cancellation."""
        while True:
            await tell(await self.check())
            await asyncio.sleep(self._every_seconds)

    async def _first_objection(self) -> str | None:
        try:
            for check in self._checks:
                await check()
        except NotReady as objection:
            return str(objection)
        except Exception as failure:  # noqa: BLE001 — a check that breaks is an answer too, and must not end the watching
            _log.exception("readiness check failed")
            return f"check failed: {type(failure).__name__}"
        return None
