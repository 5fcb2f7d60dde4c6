"""Audit of a time: every succeeded intent of ours against the decisions, both ways, sums too (P3, P5)."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Protocol, TypeVar

from payments_gateway.audit.differences import Difference, differences_of
from payments_gateway.audit.looks import Looks
from payments_gateway.audit.ownership import Ownership
from payments_gateway.audit.pairing import Pair, paired
from payments_gateway.audit.retrying import Retrier
from payments_gateway.checkout.attempt_ids import AttemptIds
from payments_gateway.domain.attempts import KNOWN_KINDS, AttemptsPort
from payments_gateway.domain.audit import (
    Listing,
    PaidIntentsPort,
    RecordedPaymentsPort,
    Window,
)

T = TypeVar("T")

LOOKBACK: Final = timedelta(days=35)
"""Lists filter by creation, and an intent may succeed so long after it: the longest time to pay, and bank debits."""
MAX_SUSPECTS: Final = 500
"""Intents with a difference that are looked at again at once, and those that are named. More are only counted."""


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Result of an audit."""

    created_from: datetime
    succeeded: int
    """Succeeded intents of ours at Stripe."""
    foreign: int
    """Succeeded intents of other software at Stripe: no decision, no attempt id of ours, and no attempt."""
    purchases: int
    quarantined: int
    differences: tuple[Difference, ...]
    further: int
    """Intents with a difference that are not named: there were too many. Most are not looked at again."""

    @property
    def agrees(self) -> bool:
        """True if there is no difference."""
        return not self.differences and not self.further


class _Source(Protocol[T]):
    async def page(self, window: Window, after: str | None) -> Listing[T]: ...


@dataclass(slots=True)
class _Findings:
    """Intents with a difference: those that are to be looked at again, and those whose difference stands."""

    suspects: list[Pair] = field(default_factory=list)
    standing: list[Pair] = field(default_factory=list)
    further: int = 0


class Audit:
    """Compares Stripe with orders. It changes nothing.

    `grace_seconds` is the time that a difference gets to go away: payments and refunds are made while it looks.
    """

    def __init__(
        self,
        intents: PaidIntentsPort,
        payments: RecordedPaymentsPort,
        attempts: AttemptsPort,
        ids: AttemptIds,
        *,
        livemode: bool,
        grace_seconds: float,
        retrier: Retrier,
        monotonic: Callable[[], float],
    ) -> None:
        self._intents = intents
        self._payments = payments
        self._ownership = Ownership(ids, attempts, retrier)
        self._looks = Looks(intents, payments, retrier, grace_seconds, monotonic)
        self._livemode = livemode
        self._retrier = retrier

    async def run(self, since: datetime, on_progress: Callable[[int], None]) -> AuditReport:
        """Audit everything that may have been paid since a time. Raises StripeUnavailable and ServiceUnavailable."""
        created_from = (since - LOOKBACK).replace(microsecond=0)
        counts = Counter[str]()
        findings = _Findings()
        for kind in KNOWN_KINDS:
            pairs = self._pairs(Window(kind, created_from), counts, on_progress)
            async for pair, is_ours in self._ownership.judged(pairs):
                if self._counted(pair, counts, is_ours=is_ours) and differences_of(*pair):
                    await self._suspect(pair, findings)
        await self._look_again(findings)
        return AuditReport(
            created_from=created_from,
            succeeded=counts["succeeded"],
            foreign=counts["foreign"],
            purchases=counts["purchases"],
            quarantined=counts["quarantined"],
            differences=tuple(each for pair in findings.standing for each in differences_of(*pair)),
            further=findings.further,
        )

    async def _suspect(self, pair: Pair, findings: _Findings) -> None:
        if len(findings.standing) == MAX_SUSPECTS:
            findings.further += 1  # The audit has its result: whether this one stands, too, changes nothing.
            return
        findings.suspects.append(pair)
        if len(findings.suspects) == MAX_SUSPECTS:
            await self._look_again(findings)

    async def _look_again(self, findings: _Findings) -> None:
        standing = findings.standing + await self._looks.standing(findings.suspects)
        findings.standing = standing[:MAX_SUSPECTS]
        findings.further += len(standing[MAX_SUSPECTS:])
        findings.suspects = []

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

    def _counted(self, pair: Pair, counts: Counter[str], *, is_ours: bool) -> bool:
        """Count a pair. False if it is none of ours: another mode's, or another software's."""
        intent, payment = pair
        if payment is not None and payment.livemode != self._livemode:
            return False
        if not is_ours:
            counts["foreign"] += 1
            return False
        counts["succeeded"] += intent is not None
        if payment is not None:
            counts["quarantined" if payment.quarantined else "purchases"] += 1
        return True
