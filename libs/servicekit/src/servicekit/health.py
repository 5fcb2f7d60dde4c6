"""Readiness: a service that is not ready gets no requests. Liveness depends on no other service."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from servicekit.cancellation import raise_if_cancelled

_log = logging.getLogger(__name__)

ReadinessCheck = Callable[[], Awaitable[None]]
"""Raises NotReady with the reason if the service is not ready."""

_CHECK_INTERVAL_SECONDS: Final = 1.0
_CHECK_TIMEOUT_SECONDS: Final = 5.0
_HUNG_AFTER_SECONDS: Final = 30.0
"""A process without a readiness check for so long hangs: a check is given up after a fraction of this."""

_STOPPING: Final = "stopping"


class NotReady(Exception):
    """The service must get no requests; the message is the reason, for the log."""


class Readiness:
    """Result of the readiness checks, which run in order, `interval_seconds` after the last round ended.

    A round that takes longer than `timeout_seconds` counts as not ready.
    """

    def __init__(
        self,
        checks: Sequence[ReadinessCheck],
        *,
        interval_seconds: float = _CHECK_INTERVAL_SECONDS,
        timeout_seconds: float = _CHECK_TIMEOUT_SECONDS,
    ) -> None:
        self._checks = checks
        self._interval_seconds = interval_seconds
        self._timeout_seconds = timeout_seconds
        self._stopping = False
        self._reason: str | None = "not checked yet"
        self._checked_at = time.monotonic()

    @property
    def seconds_since_check(self) -> float:
        """Seconds since the last round ended; it grows when the process hangs."""
        return time.monotonic() - self._checked_at

    @property
    def is_alive(self) -> bool:
        """False if the process hangs."""
        return self.seconds_since_check < _HUNG_AFTER_SECONDS

    @property
    def probes(self) -> dict[str, Callable[[], bool]]:
        """Health probes by HTTP path, for orchestrators."""
        return {"/livez": lambda: self.is_alive, "/readyz": lambda: self.is_alive and self.reason is None}

    @property
    def reason(self) -> str | None:
        """Reason for not being ready; None when ready."""
        return self._reason

    async def check(self) -> bool:
        """Run every check now; log a changed result or reason. Always False after stop."""
        failure = await self._first_failure()
        self._checked_at = time.monotonic()
        before, self._reason = self._reason, _STOPPING if self._stopping else _reason(failure)
        if self._reason != before:
            _log_result(self._reason, failure)
        return self._reason is None

    def stop(self) -> None:
        """Be not ready for good: the process is about to end."""
        self._stopping = True
        self._reason = _STOPPING

    async def watch(self, notify: Callable[[bool], Awaitable[None]]) -> None:
        """Check forever and pass each result on. Ends by cancellation, also by one that a check has dropped."""
        while True:
            ready = await self.check()
            raise_if_cancelled()
            await notify(ready)
            await asyncio.sleep(self._interval_seconds)

    async def _first_failure(self) -> Exception | None:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                for check in self._checks:
                    await check()
        except Exception as failure:  # noqa: BLE001 — a check that breaks must not end the watching
            return failure
        return None


def _reason(failure: Exception | None) -> str | None:
    if failure is None:
        return None
    return str(failure) if isinstance(failure, NotReady) else f"check failed: {type(failure).__name__}"


def _log_result(reason: str | None, failure: Exception | None) -> None:
    if failure is None:
        _log.info("ready")
    elif isinstance(failure, NotReady):
        _log.warning("not ready", extra={"reason": reason})
    else:
        _log.error("not ready", extra={"reason": reason}, exc_info=failure)
