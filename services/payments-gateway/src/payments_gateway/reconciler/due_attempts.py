"""Sweep of due attempts: judges each by its intent at Stripe (P2, P3)."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final

from payments_gateway.domain.attempts import KNOWN_KINDS, IntentKind
from payments_gateway.domain.due_attempts import DueAttempt
from payments_gateway.domain.errors import ConflictRetriesExhausted
from payments_gateway.domain.intents import IntentNotFound, IntentReader, StripeIntent
from payments_gateway.domain.stripe_errors import StripeUnavailable
from payments_gateway.reconciler.claims import Claims
from payments_gateway.reconciler.intent_search import Found, IntentSearch
from payments_gateway.reconciler.judgement import JUDGED, Judgement
from servicekit.json_logging import bind_attempt
from servicekit.unavailable import ServiceUnavailable

_log = logging.getLogger(__name__)

_SOON: Final = timedelta(seconds=30)
"""Delay of an attempt that could not be judged now."""
_LATER: Final = timedelta(minutes=5)
"""Delay of an attempt of a newer version, until a reconciler of that version may run."""
_AT_ONCE: Final = 8
"""Attempts that are judged at the same time."""
_CANCEL_SECONDS: Final = 20.0
"""Time that cancels may take in a row. After a crowd's pay-by there are as many as there were buyers, each a request of
its own, and payments whose webhook was lost must not wait for them."""
_CURRENT_SECONDS: Final = 5.0
"""Time for which a list's word on an intent is good enough to cancel it. A buyer may have begun a bank debit since, and
in rare cases Stripe cancels one that is at the bank (ADR 43)."""
_MAX_FAILED_READS: Final = 3
"""Reads of single intents that may fail in a row before Stripe counts as away."""
_PASSING: Final = (ServiceUnavailable, StripeUnavailable, ConflictRetriesExhausted)


class DueAttemptsSweep:
    """Judges due attempts, so that nothing paid is lost and nothing unpaid stays payable."""

    def __init__(
        self,
        claims: Claims,
        search: IntentSearch,
        intents: IntentReader,
        judgement: Judgement,
        monotonic: Callable[[], float],
    ) -> None:
        self._claims = claims
        self._search = search
        self._intents = intents
        self._judgement = judgement
        self._monotonic = monotonic
        self._to_cancel = deque[tuple[DueAttempt, StripeIntent, float]]()
        """With the monotonic time at which Stripe's word was new."""
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def run(self) -> bool:
        """Judge what is due now, then cancel for a while; return True if work is left."""
        try:
            claimed, more = await self._claims.claim()
            await self._leave([each for each in claimed if each.intent.kind is IntentKind.UNKNOWN])
            for kind in KNOWN_KINDS:
                await self._judge_kind(kind, [each for each in claimed if each.intent.kind is kind])
            await self._cancel_for_a_while()
        except Exception:
            self._to_cancel.clear()
            with suppress(ServiceUnavailable):  # then they come due when their leases end
                await self._claims.release(_SOON)
            raise
        return more or bool(self._to_cancel)

    async def _leave(self, attempts: Sequence[DueAttempt]) -> None:
        """Leave attempts of a newer version to an updated reconciler: none is closed, cancelled or deleted."""
        for due in attempts:
            bind_attempt(due.attempt_id)
            _log.error("due attempt of a newer version")
            JUDGED.labels("newer_version").inc()
        await self._claims.finish({due.attempt_id: _LATER for due in attempts})

    async def _judge_kind(self, kind: IntentKind, attempts: Sequence[DueAttempt]) -> None:
        found_ids = set[str]()
        async for found in self._search.find(kind, attempts):
            found_ids.update(due.attempt_id for due, _ in found)
            await self._judge_page(found)
            await self._claims.renew()
        await self._judge_singly([each for each in attempts if each.attempt_id not in found_ids])

    async def _judge_page(self, found: Found) -> None:
        """Judge the attempts of a page. One that fails is judged again soon, and stops no other."""
        read_at = self._monotonic()
        later = [each for each in found if self._judgement.must_cancel(*each)]
        self._to_cancel.extend((*each, read_at) for each in later)
        postponed = {due.attempt_id for due, _ in later}
        now = [each for each in found if each[0].attempt_id not in postponed]
        delays = await asyncio.gather(*(self._judge(due, intent) for due, intent in now))
        await self._claims.finish({due.attempt_id: delay for (due, _), delay in zip(now, delays, strict=True)})

    async def _judge_singly(self, attempts: Sequence[DueAttempt]) -> None:
        """Retrieve intents that lists do not show, and judge their attempts."""
        failed = 0
        for due in attempts:
            try:
                intent = await self._intents.retrieve(due.intent)
            except IntentNotFound:
                await self._claims.finish({due.attempt_id: self._judgement.missing(due)})
            except StripeUnavailable:
                failed += 1
                if failed == _MAX_FAILED_READS:
                    raise
                await self._claims.finish({due.attempt_id: _SOON})
                continue
            else:
                await self._judge_page([(due, intent)])
            failed = 0
            await self._claims.renew()

    async def _cancel_for_a_while(self) -> None:
        ends_at = self._monotonic() + _CANCEL_SECONDS
        while self._to_cancel and self._monotonic() < ends_at:
            due, intent, read_at = self._to_cancel.popleft()
            is_current = self._monotonic() - read_at <= _CURRENT_SECONDS
            await self._claims.finish({due.attempt_id: await self._judge(due, intent if is_current else None)})
            await self._claims.renew()

    async def _judge(self, due: DueAttempt, intent: StripeIntent | None) -> timedelta:
        """Judge an attempt by its intent, which is retrieved if None is given; return the delay to its next check."""
        async with self._slots:
            try:
                return await self._judgement.judge(due, intent or await self._intents.retrieve(due.intent))
            except IntentNotFound:
                return self._judgement.missing(due)
            except _PASSING as failure:
                bind_attempt(due.attempt_id)
                _log.warning("attempt could not be judged now", extra={"reason": type(failure).__name__})
            except Exception:  # noqa: BLE001 — logged: one attempt must not stop the others
                bind_attempt(due.attempt_id)
                _log.exception("attempt could not be judged")
        JUDGED.labels("failed").inc()
        return _SOON
