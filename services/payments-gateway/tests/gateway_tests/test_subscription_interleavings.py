import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle

from hypothesis import given, settings
from hypothesis import strategies as st

from payments_gateway.domain.attempts import IntentKind, IntentRef
from payments_gateway.domain.errors import ConflictRetriesExhausted
from payments_gateway.domain.purchases import Payment
from payments_gateway.domain.subscriptions import Subscription, SubscriptionStatus
from payments_gateway.domain.webhook_events import SubscriptionChanged
from payments_gateway.subscriptions.activation import Activation
from payments_gateway.subscriptions.sync import SubscriptionSync

from .billing_samples import CLUB_CONTEXT
from .fake_subscriptions import FakeBilling, FakeSubscriptions
from .fakes import FakeClock, Wire
from .samples import ATTEMPT_ID

LIVING = [SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE, SubscriptionStatus.UNPAID, SubscriptionStatus.PAUSED]


class SlowWire(Wire):
    """Lets every call take as long as the example says, before its effect and after."""

    def __init__(self, pauses: Iterator[int]) -> None:
        super().__init__()
        self._pauses = pauses

    @asynccontextmanager
    async def call(self, name: str) -> AsyncIterator[None]:
        """Stand around one call's effect."""
        await take(next(self._pauses))
        async with super().call(name):
            yield
        await take(next(self._pauses))


async def take(turns: int) -> None:
    """Let the others go on for so many turns."""
    for _ in range(turns):
        await asyncio.sleep(0)


@dataclass(frozen=True)
class Change:
    """What becomes of the subscription at Stripe, how often it is told, and when the next change comes."""

    status: SubscriptionStatus
    ends: bool
    deliveries: int
    then_turns: int


changes = st.lists(
    st.builds(
        Change,
        status=st.sampled_from(LIVING),
        ends=st.booleans(),
        deliveries=st.integers(1, 3),
        then_turns=st.integers(0, 12),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(changes=changes, pauses=st.lists(st.integers(0, 20), min_size=1, max_size=30), bound=st.booleans())
def test_the_row_ends_as_stripes_object_ends(changes: list[Change], pauses: list[int], bound: bool) -> None:  # noqa: FBT001 — drawn
    """Deliveries repeat, overlap with the changes, finish in any order, and may come before the row is bound."""
    row, billing = asyncio.run(_told_of_all(changes, pauses, bound=bound))

    assert row.state == billing.made["sub_1"].state


async def _told_of_all(changes: list[Change], pauses: list[int], *, bound: bool) -> tuple[Subscription, FakeBilling]:
    clock = FakeClock()
    wire = SlowWire(cycle(pauses))
    rows = FakeSubscriptions(wire, clock.now)
    billing = FakeBilling(wire, clock)
    activation = Activation(rows, billing, now=clock.now)
    gateways = cycle([SubscriptionSync(rows, billing, activation, livemode=False) for _ in range(2)])
    payment = Payment(IntentRef("seti_1", IntentKind.SETUP), ATTEMPT_ID, None, livemode=False, payment_method_id="pm_1")
    [subscription_id] = rows.begin_all(payment, CLUB_CONTEXT)

    under_way = [asyncio.create_task(activation.activate(subscription_id))]
    while (bound and not rows.rows[subscription_id].is_bound) or not billing.made:
        await take(1)
    told = SubscriptionChanged("sub_1", subscription_id, None, livemode=False)
    for change in changes:
        billing.change("sub_1", status=change.status, cancel_at_period_end=change.ends)
        under_way += [asyncio.create_task(_delivered(next(gateways), told, rows)) for _ in range(change.deliveries)]
        await take(change.then_turns)
    await asyncio.gather(*under_way)
    return rows.rows[subscription_id], billing


async def _delivered(life: SubscriptionSync, told: SubscriptionChanged, rows: FakeSubscriptions) -> Subscription:
    """Deliver until the webhook is answered with 200, as Stripe does."""
    while True:
        try:
            await life.on_event(told)
        except ConflictRetriesExhausted:
            continue
        return rows.rows[str(told.subscription_id)]
