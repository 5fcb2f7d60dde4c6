"""The reconciler's sweeps over fake ports, beside a gateway that shares them."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from payments_gateway.checkout.cancellation import Cancellation
from payments_gateway.domain.attempts import Attempt, IntentKind
from payments_gateway.domain.due_attempts import DueAttempt
from payments_gateway.domain.intent_lists import IntentPage, ListPosition
from payments_gateway.domain.intents import StripeIntent
from payments_gateway.reconciler.claims import Claims
from payments_gateway.reconciler.due_attempts import DueAttemptsSweep
from payments_gateway.reconciler.intent_search import IntentSearch
from payments_gateway.reconciler.judgement import Judgement
from payments_gateway.reconciler.orphans import OrphanSweep

from .assembly import PAY_BY, Gateway
from .fakes import FakeClock, wired
from .samples import ATTEMPT_ID

LEASE = timedelta(minutes=1)
ORPHAN_AGE = PAY_BY + timedelta(hours=1)
_PAGE_SIZE = 100


class FakeDueAttempts:
    """checkout-session's index of attempts by next check."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._known: dict[str, DueAttempt] = {}
        self.checks: dict[str, datetime] = {}
        """Next check by attempt id."""

    async def claim(self, limit: int, lease: timedelta) -> Sequence[DueAttempt]:
        now = self._clock.now()
        due = [attempt_id for attempt_id, check in self.checks.items() if check <= now][:limit]
        self.checks.update(dict.fromkeys(due, now + lease))
        return [self._known[attempt_id] for attempt_id in due]

    async def reschedule(self, delays: Mapping[str, timedelta]) -> None:
        self.checks.update({each: self._clock.now() + delay for each, delay in delays.items() if each in self.checks})

    def put(self, due: DueAttempt) -> None:
        """Add an attempt that is due now."""
        self._known[due.attempt_id] = due
        self.checks[due.attempt_id] = self._clock.now()


class FakeIntentLists:
    """Stripe's lists of intents, a hundred a page."""

    def __init__(self) -> None:
        self._listed: list[StripeIntent] = []
        """Oldest first."""
        self.requests = 0

    async def page(
        self, kind: IntentKind, created_from: datetime, created_to: datetime, *, after: ListPosition | None = None
    ) -> IntentPage:
        self.requests += 1
        low = bisect_left(self._listed, created_from, key=lambda each: each.created_at)
        high = bisect_right(self._listed, created_to, key=lambda each: each.created_at)
        if after is not None:
            high = min(high, self._place(after))
        shown: list[StripeIntent] = []
        for place in range(high - 1, low - 1, -1):
            if self._listed[place].ref.kind is kind:
                shown.append(self._listed[place])
            if len(shown) > _PAGE_SIZE:
                break
        shown, more = shown[:_PAGE_SIZE], len(shown) > _PAGE_SIZE
        return IntentPage(tuple(shown), ListPosition(shown[-1].ref.id, shown[-1].created_at) if more else None)

    def _place(self, position: ListPosition) -> int:
        place = bisect_left(self._listed, position.created_at, key=lambda each: each.created_at)
        while self._listed[place].ref.id != position.intent_id:
            place += 1
        return place

    def put(self, intent: StripeIntent, created_at: datetime) -> None:
        """Add an intent, which is not older than those before it."""
        self._listed.append(replace(intent, created_at=created_at))


class Reconciler:
    """A reconciler beside a gateway. Its Stripe lists intents as they are when `list_intents` is called."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.clock = gateway.clock
        self.due = FakeDueAttempts(gateway.clock)
        self.lists = FakeIntentLists()
        lists = wired(gateway.wire, "lists", self.lists)
        cancellation = Cancellation(gateway.attempts, gateway.intents)
        self.sweep = DueAttemptsSweep(
            Claims(wired(gateway.wire, "due", self.due), "due_attempts", lease=LEASE, monotonic=gateway.clock.seconds),
            IntentSearch(lists),
            gateway.intents,
            Judgement(gateway.attempts, cancellation, gateway.fulfilment, gateway.clock.now),
            gateway.clock.seconds,
        )
        self.orphans = OrphanSweep(
            lists,
            gateway.attempts,
            cancellation,
            gateway.fulfilment,
            gateway.ids,
            age=ORPHAN_AGE,
            livemode=False,
            now=gateway.clock.now,
        )

    def stored(self, attempt_id: str = ATTEMPT_ID, *, content_exists: bool = True) -> Attempt:
        """Store an attempt that is due now, and return it."""
        stored = self.gateway.stored_attempt(attempt_id=attempt_id)
        self.make_due(stored, content_exists=content_exists)
        return stored

    def make_due(self, attempt: Attempt, *, content_exists: bool = True) -> None:
        """Let a stored attempt come due."""
        self.due.put(
            DueAttempt(
                attempt.attempt_id,
                attempt.intent,
                self.clock.now(),
                attempt.context.pay_by,
                attempt.close_reason,
                content_exists,
            )
        )

    def list_intents(self) -> None:
        """Let Stripe list every intent as created now."""
        for intent in self.gateway.intents.all():
            self.lists.put(intent, self.clock.now())

    def next_check(self, attempt_id: str = ATTEMPT_ID) -> timedelta:
        """Return the time until an attempt's next check."""
        return self.due.checks[attempt_id] - self.clock.now()
