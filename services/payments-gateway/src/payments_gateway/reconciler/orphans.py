"""Sweep of orphans: payable intents of ours without an attempt, whose payment could only be quarantined.

checkout-session lost their attempts, or a gateway was killed between creating an intent and storing its attempt. Or
Stripe created an intent and failed to say so, and the attempt goes on with another one.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from prometheus_client import Counter

from payments_gateway.checkout.attempt_ids import AttemptIds
from payments_gateway.checkout.cancellation import Cancellation
from payments_gateway.domain.attempts import (
    KNOWN_KINDS,
    Attempt,
    AttemptsPort,
    CloseReason,
    IntentKind,
    IntentRef,
    UnreadableAttempt,
)
from payments_gateway.domain.intent_lists import IntentListsPort, IntentPage, ListPosition
from payments_gateway.domain.intents import IntentNotFound, IntentStatus, StripeIntent
from payments_gateway.domain.purchases import PaymentReport, ReportChannel
from payments_gateway.domain.stripe_errors import StripeUnavailable
from payments_gateway.payments.fulfilment import Fulfilment
from servicekit.json_logging import bind_attempt

_log = logging.getLogger(__name__)

ORPHANS: Final = Counter("holdfast_reconcile_orphans", "Payable intents without an attempt, by outcome.", ["outcome"])

_OLDEST: Final = timedelta(days=35)
"""Age up to which an attempt is stored, and its intent may be paid."""
_FULL_PASS_EVERY: Final = timedelta(days=1)
"""Intents that were seen with an attempt may have lost it since: all are looked at again."""
_OVERLAP: Final = timedelta(minutes=5)
_REPORT: Final = PaymentReport(ReportChannel.RECONCILER)


@dataclass(frozen=True, slots=True)
class _Orphan:
    attempt_id: str
    intent: IntentRef
    is_unbound: bool
    """True if the attempt is ended or has another intent."""


@dataclass(frozen=True, slots=True)
class _Range:
    """Times of creation that are still to be listed, for one kind of intents."""

    kind: IntentKind
    created_from: datetime
    created_to: datetime
    after: ListPosition | None = None


class OrphanSweep:
    """Cancels orphans that are older than `age`, which must exceed every pay-by.

    Each pass lists what grew old enough since the last one, and once a day everything.
    """

    def __init__(
        self,
        lists: IntentListsPort,
        attempts: AttemptsPort,
        cancellation: Cancellation,
        fulfilment: Fulfilment,
        ids: AttemptIds,
        *,
        age: timedelta,
        livemode: bool,
        now: Callable[[], datetime],
    ) -> None:
        self._lists = lists
        self._attempts = attempts
        self._cancellation = cancellation
        self._fulfilment = fulfilment
        self._ids = ids
        self._age = age
        self._livemode = livemode
        self._now = now
        self._ranges = deque[_Range]()
        self._covered_to: datetime | None = None
        """Time of creation up to which a pass has found no orphan that it could not cancel."""
        self._full_pass_at: datetime | None = None
        self._failed = False

    async def run(self) -> bool:
        """Look at one page; return True if the pass goes on. Raises ServiceUnavailable, StripeUnavailable."""
        if not self._ranges:
            self._begin_pass()
        part = self._ranges[0]
        page = await self._lists.page(part.kind, part.created_from, part.created_to, after=part.after)
        await self._cancel_orphans(page)
        self._ranges.popleft()
        if page.end is not None:
            self._ranges.appendleft(replace(part, after=page.end))
        elif not self._ranges and not self._failed:
            self._covered_to = part.created_to
        return bool(self._ranges)

    def _begin_pass(self) -> None:
        now = self._now()
        created_from = now - _OLDEST
        if self._covered_to is not None and self._full_pass_at is not None and now < self._full_pass_at:
            created_from = self._covered_to - _OVERLAP
        else:
            self._full_pass_at = now + _FULL_PASS_EVERY
        self._failed = False
        self._ranges.extend(_Range(kind, created_from, now - self._age) for kind in KNOWN_KINDS)

    async def _cancel_orphans(self, page: IntentPage) -> None:
        for intent in page.intents:
            orphan = await self._as_orphan(intent)
            if orphan is not None:
                await self._cancel(orphan)

    async def _as_orphan(self, intent: StripeIntent) -> _Orphan | None:
        """Return None unless the intent is payable, of our mode, proves to be ours, and is not that of an attempt.

        Other software and other shops on the account have intents too: only an id that one of our secrets made proves
        that one is ours (ADR 25).
        """
        attempt_id = intent.attempt_id
        if not intent.is_payable or intent.livemode != self._livemode:
            return None
        if attempt_id is None or not self._ids.is_ours(attempt_id):
            return None
        bind_attempt(attempt_id)
        found = await self._attempts.find(attempt_id)
        if isinstance(found, Attempt | UnreadableAttempt) and found.intent == intent.ref:
            return None
        return _Orphan(attempt_id, intent.ref, is_unbound=found is not None)

    async def _cancel(self, orphan: _Orphan) -> None:
        """Cancel an orphan. A failure is repeated with the next pass, and stops no other.

        A late retry of its request may store the attempt at this moment, with this intent or with another one. So the
        id is closed first, and nothing is deleted: what was stored before that comes due as any closed attempt (P4).
        """
        try:
            if not orphan.is_unbound:
                await self._attempts.close(orphan.attempt_id, CloseReason.PAY_BY_PASSED)
            intent = await self._cancellation.cancel_unbound(orphan.intent)
        except (StripeUnavailable, IntentNotFound):
            _log.warning("intent without an attempt could not be cancelled", exc_info=True)
            self._failed = True
            ORPHANS.labels("failed").inc()
            return
        if intent.status is IntentStatus.SUCCEEDED:  # the buyer paid at the last moment
            await self._fulfilment.fulfil(intent, _REPORT)
        _log.warning("intent without an attempt", extra={"intent": intent.ref.id, "status": intent.status.value})
        ORPHANS.labels(intent.status.value).inc()
