"""Audit of a time: every succeeded intent of ours against the decisions, both ways, sums too (P3, P5)."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Protocol, TypeVar

from payments_gateway.audit.differences import Difference, differences_of
from payments_gateway.audit.pairing import Pair, paired
from payments_gateway.audit.retrying import Retrier
from payments_gateway.checkout.attempt_ids import AttemptIds
from payments_gateway.domain.attempts import IntentKind, IntentRef
from payments_gateway.domain.audit import (
    Listing,
    PaidIntent,
    PaidIntentsPort,
    RecordedPaymentsPort,
    Window,
)

T = TypeVar("T")

LOOKBACK: Final = timedelta(days=35)
"""Lists filter by creation, and an intent may succeed so long after it: the longest time to pay, and bank debits."""
MAX_SUSPECTS: Final = 500
"""Suspects that are looked at again, and differences that are named. More are only counted."""
_POLL_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Result of an audit."""

    created_from: datetime
    succeeded: int
    """Succeeded intents of ours at Stripe."""
    foreign: int
    """Succeeded intents of other software at Stripe: no decision, and no attempt id of ours."""
    purchases: int
    quarantined: int
    differences: tuple[Difference, ...]
    further: int
    """Intents with a difference that are not named: there were too many."""

    @property
    def agrees(self) -> bool:
        """True if there is no difference."""
        return not self.differences and not self.further


class _Source(Protocol[T]):
    async def page(self, window: Window, after: str | None) -> Listing[T]: ...


class Audit:
    """Compares Stripe with orders. It changes nothing.

    `grace_seconds` is the time that a difference gets to go away: payments and refunds are made while it looks.
    """

    def __init__(
        self,
        intents: PaidIntentsPort,
        payments: RecordedPaymentsPort,
        ids: AttemptIds,
        *,
        livemode: bool,
        grace_seconds: float,
        retrier: Retrier,
        monotonic: Callable[[], float],
    ) -> None:
        self._intents = intents
        self._payments = payments
        self._ids = ids
        self._livemode = livemode
        self._grace_seconds = grace_seconds
        self._retrier = retrier
        self._monotonic = monotonic

    async def run(self, since: datetime, on_progress: Callable[[int], None]) -> AuditReport:
        """Audit everything that may have been paid since a time. Raises StripeUnavailable and ServiceUnavailable."""
        created_from = (since - LOOKBACK).replace(microsecond=0)
        counts = Counter[str]()
        suspects: dict[str, Pair] = {}
        for kind in IntentKind:
            async for pair in self._pairs(Window(kind, created_from), counts, on_progress):
                if not self._counted(pair, counts) or not differences_of(*pair):
                    continue
                if len(suspects) < MAX_SUSPECTS:
                    suspects[_ref(pair).id] = pair
                else:
                    counts["further"] += 1
        return AuditReport(
            created_from=created_from,
            succeeded=counts["succeeded"],
            foreign=counts["foreign"],
            purchases=counts["purchases"],
            quarantined=counts["quarantined"],
            differences=tuple(await self._confirmed(suspects)),
            further=counts["further"],
        )

    def _pairs(self, window: Window, counts: Counter[str], on_progress: Callable[[int], None]) -> AsyncIterator[Pair]:
        def on_page(looked_at: int) -> None:
            counts["looked_at"] += looked_at
            on_progress(counts["looked_at"])

        return paired(
            self._listed(self._intents, window, on_page), self._listed(self._payments, window, lambda _looked_at: None)
        )

    async def _listed(self, source: _Source[T], window: Window, on_page: Callable[[int], None]) -> AsyncIterator[T]:
        after: str | None = None
        while True:
            page = await self._retrier.run(partial(source.page, window, after))
            on_page(page.looked_at)
            for each in page.found:
                yield each
            if page.next is None:
                return
            after = page.next

    def _counted(self, pair: Pair, counts: Counter[str]) -> bool:
        """Count a pair. False if it is none of ours: another mode's, or another software's."""
        intent, payment = pair
        if payment is not None and payment.livemode != self._livemode:
            return False
        if payment is None and not self._is_ours(intent):
            counts["foreign"] += 1
            return False
        counts["succeeded"] += intent is not None
        if payment is not None:
            counts["quarantined" if payment.quarantined else "purchases"] += 1
        return True

    def _is_ours(self, intent: PaidIntent | None) -> bool:
        return intent is not None and intent.attempt_id is not None and self._ids.is_ours(intent.attempt_id)

    async def _confirmed(self, suspects: dict[str, Pair]) -> list[Difference]:
        """Return the differences that are still there after the grace, by a second look at both sides."""
        ends_at = self._monotonic() + self._grace_seconds
        while waiting := [ref for ref, pair in suspects.items() if _may_go_away(pair)]:
            now_decided = await self._retrier.run(partial(self._payments.find, waiting))
            for intent_id, payment in now_decided.items():
                intent, _ = suspects[intent_id]
                if not differences_of(intent, payment):
                    del suspects[intent_id]
            if self._monotonic() >= ends_at:
                break
            await asyncio.sleep(min(_POLL_SECONDS, max(0.0, ends_at - self._monotonic())))
        return [difference for pair in suspects.values() for difference in await self._second_look(_ref(pair))]

    async def _second_look(self, ref: IntentRef) -> list[Difference]:
        intent = await self._retrier.run(partial(self._intents.find, ref))
        decided = await self._retrier.run(partial(self._payments.find, [ref.id]))
        return differences_of(intent, decided.get(ref.id))


def _ref(pair: Pair) -> IntentRef:
    intent, payment = pair
    if intent is not None:
        return intent.ref
    if payment is None:
        raise ValueError("a pair has at least one side")
    return payment.intent


def _may_go_away(pair: Pair) -> bool:
    """Return True for a difference that the next report of the payment, or of a refund, makes good."""
    return pair[0] is not None
