"""Both sides of an audit, in memory, in pages that are smaller than a second's intents."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, Generic, TypeVar

from payments_gateway.audit.audit import Audit, AuditReport
from payments_gateway.audit.retrying import Retrier
from payments_gateway.checkout.attempt_ids import AttemptIds
from payments_gateway.domain.attempts import IntentKind, IntentRef
from payments_gateway.domain.audit import Listing, PaidIntent, RecordedPayment, Window
from payments_gateway.domain.money import Money

from ..fake_services import FakeAttempts
from ..samples import ATTEMPT_ID, ATTEMPT_ID_SECRET, INTENT_CREATED_AT

NOW: Final = INTENT_CREATED_AT + timedelta(hours=1)
PRICE: Final = Money(1250, "usd")
NOTHING: Final = Money(0, "usd")

T = TypeVar("T")


def paid(number: int = 1, **changes: Any) -> PaidIntent:
    """Return an intent that succeeded, with a number of its own."""
    ref = IntentRef(f"pi_{number:06}", IntentKind.PAYMENT)
    return replace(PaidIntent(ref, INTENT_CREATED_AT, ATTEMPT_ID, PRICE, NOTHING), **changes)


def set_up(number: int = 1, **changes: Any) -> PaidIntent:
    """Return a SetupIntent that succeeded."""
    ref = IntentRef(f"seti_{number:06}", IntentKind.SETUP)
    return replace(PaidIntent(ref, INTENT_CREATED_AT, ATTEMPT_ID, None, None), **changes)


def decided(intent: PaidIntent, **changes: Any) -> RecordedPayment:
    """Return the decision that agrees with an intent, with changes."""
    refunded = () if intent.refunded in (None, NOTHING) else (intent.refunded,)
    decision = RecordedPayment(
        intent=intent.ref,
        attempt_id=ATTEMPT_ID,
        received=intent.received or NOTHING,
        livemode=False,
        intent_created_at=intent.created_at,
        quarantined=False,
        refunded=refunded,
    )
    return replace(decision, **changes)


class _Listed(Generic[T]):
    """A list in pages of three, the last created first, in any order within a second."""

    def __init__(self, rows: Sequence[T], second_of: Callable[[T], datetime], ref_of: Callable[[T], IntentRef]) -> None:
        shuffled = random.Random(1).sample(list(rows), len(rows))  # noqa: S311 - any order will do
        self.rows = sorted(shuffled, key=second_of, reverse=True)
        self.ref_of = ref_of
        self.second_of = second_of
        self.failures: list[Exception] = []
        self.asked = 0

    async def page(self, window: Window, after: str | None) -> Listing[T]:
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        await asyncio.sleep(0)
        start = int(after or 0)
        rows = [
            row
            for row in self.rows
            if self.ref_of(row).kind is window.kind and window.created_from <= self.second_of(row)
        ]
        page = rows[start : start + 3]
        return Listing(page, str(start + 3) if len(rows) > start + 3 else None, looked_at=len(page))


class Intents(_Listed[PaidIntent]):
    """`PaidIntentsPort`."""

    def __init__(self, *rows: PaidIntent) -> None:
        super().__init__(rows, lambda row: row.created_at, lambda row: row.ref)
        self.late: list[PaidIntent] = []
        """Those that succeed after their page was read."""
        self.after_find: list[Callable[[], None]] = []
        """Called one by one, each when an intent was found and before its decision is."""

    async def find(self, ref: IntentRef) -> PaidIntent | None:
        found = next((row for row in (*self.late, *self.rows) if row.ref == ref), None)
        if self.after_find:
            self.after_find.pop(0)()
        return found


class Payments(_Listed[RecordedPayment]):
    """`RecordedPaymentsPort`."""

    def __init__(self, *rows: RecordedPayment) -> None:
        super().__init__(rows, lambda row: row.intent_created_at, lambda row: row.intent)
        self.late: list[RecordedPayment] = []
        """Those that are decided after their page was read."""

    async def find(self, intent_ids: Sequence[str]) -> Mapping[str, RecordedPayment]:
        return {row.intent.id: row for row in (*self.rows, *self.late) if row.intent.id in intent_ids}


async def audit(
    intents: Intents,
    payments: Payments,
    attempts: FakeAttempts | None = None,
    *,
    since: timedelta = timedelta(days=7),
    pauses: Sequence[float] = (),
) -> AuditReport:
    """Audit without a grace."""
    use_case = Audit(
        intents,
        payments,
        attempts or FakeAttempts(),
        AttemptIds([ATTEMPT_ID_SECRET]),
        livemode=False,
        grace_seconds=0,
        retrier=Retrier(pauses),
        monotonic=lambda: 0.0,
    )
    return await use_case.run(NOW - since, lambda _looked_at: None)
