"""Deletions of attempts whose purchase a webhook has recorded, in batches beside its answer (ADR 56).

A batch that fails is dropped, and so is what waits when the process is killed: those attempts stay in the due index,
and the reconciler deletes each at its next check.
"""

import logging
from collections.abc import Sequence
from typing import Final

from prometheus_client import Counter, Gauge

from payments_gateway.domain.attempts import AttemptsPort, DeleteReason
from payments_gateway.write_behind import WriteBehind
from servicekit.unavailable import ServiceUnavailable

_log = logging.getLogger(__name__)

DELETIONS: Final = Counter(
    "holdfast_attempt_deletions", "Attempts to be deleted after a webhook's answer, by outcome.", ["outcome"]
)
WAITING: Final = Gauge("holdfast_attempt_deletions_waiting", "Recorded attempts that this process has yet to delete.")

_FLUSH_SECONDS: Final = 0.2
"""Short: until then a browser that returns costs a request to Stripe and another RecordPurchase."""


class AttemptDeletions(WriteBehind[str]):
    """Buffer of the ids of recorded attempts."""

    def __init__(self, attempts: AttemptsPort, *, flush_seconds: float = _FLUSH_SECONDS) -> None:
        super().__init__(flush_seconds=flush_seconds)
        self._attempts = attempts

    async def delete(self, attempt_id: str) -> None:
        """Delete an attempt, only after its purchase is committed (P4). Raises ServiceUnavailable if that is now.

        It is deleted soon, or now if too many wait.
        """
        if self.offer(attempt_id):
            WAITING.inc()
        else:
            await self._attempts.delete(attempt_id, DeleteReason.RECORDED)

    async def _write(self, batch: Sequence[str]) -> None:
        try:
            await self._attempts.delete_all(batch, DeleteReason.RECORDED)
        except ServiceUnavailable as unavailable:
            _log.warning("attempts left to the reconciler", extra={"count": len(batch), "reason": str(unavailable)})
            DELETIONS.labels("dropped").inc(len(batch))
        else:
            DELETIONS.labels("deleted").inc(len(batch))
        finally:
            WAITING.dec(len(batch))
