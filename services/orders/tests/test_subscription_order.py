"""However deliveries meet, repeat and linger, a subscription's row never goes back and ends as Stripe's object ends."""

import itertools
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orders.domain.subscriptions import Sighting, StripeState, Subscription, VersionMismatch
from orders.postgres.connection import open_engine
from orders.postgres.purchases import PostgresUnits
from orders.usecases.purchases import PurchaseRecorder
from orders.usecases.subscriptions import SubscriptionLife, SubscriptionReader
from orders.usecases.unit_of_work import BeginUnit
from servicekit.encryption import Keyring

from .memory_ledger import MemoryUnits
from .test_ledgers import LIMITS, START, Clock
from .test_subscription_ledgers import one, state

WORKERS = 3
_numbers = itertools.count(1)


@pytest.fixture(params=["memory", "postgres"])
async def begin(request: pytest.FixtureRequest) -> AsyncIterator[BeginUnit]:
    """Give an empty ledger of each kind."""
    if request.param == "memory":
        yield MemoryUnits().begin
        return
    engine = open_engine(request.getfixturevalue("database_url"), LIMITS)
    yield PostgresUnits(engine, Keyring.unencrypted()).begin
    await engine.dispose()


@dataclass
class Stripe:
    """The truth: a subscription whose period goes on by a day with each change."""

    stripe_id: str
    day: int = 0

    def show(self) -> StripeState:
        """Show it as it is now."""
        return replace(state(self.stripe_id), current_period_end=START + timedelta(days=self.day))


class Delivery:
    """One that is worked on step by step: read the version, ask Stripe, write; overtaken, from the beginning."""

    def __init__(self, begin: BeginUnit, stripe: Stripe, subscription_id: UUID) -> None:
        self._life = SubscriptionLife(begin, Clock())
        self._reader = SubscriptionReader(begin)
        self._stripe = stripe
        self._id = subscription_id
        self._version: int | None = None
        self._shown: StripeState | None = None

    async def step(self) -> bool:
        """Go one step on; True when it has written."""
        if self._version is None:
            self._version = (await self._reader.by_id(self._id)).version
        elif self._shown is None:
            self._shown = self._stripe.show()
        else:
            sighting = Sighting(self._version, self._shown, None)
            self._version = self._shown = None
            return await self._write(sighting)
        return False

    async def _write(self, sighting: Sighting) -> bool:
        try:
            await self._life.apply(self._id, sighting)
        except VersionMismatch:
            return False
        return True


async def bound(begin: BeginUnit) -> tuple[Subscription, Stripe]:
    """Begin a subscription and bind it."""
    number = next(_numbers)
    first = await one(PurchaseRecorder(begin, Clock(), uuid4, secrets.randbelow), f"attempt-{number}")
    stripe = Stripe(f"sub_{number}")
    sighting = Sighting(first.version, stripe.show(), None)
    return await SubscriptionLife(begin, Clock()).activate(first.id, sighting), stripe


@settings(
    max_examples=25,
    deadline=None,
    # The ledger is shared: each example begins a subscription of its own in it.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    before=st.lists(st.integers(0, WORKERS), max_size=20),
    after=st.lists(st.integers(0, WORKERS), max_size=12),
    last=st.permutations(range(WORKERS + 1)),
)
async def test_a_row_never_goes_back_and_ends_as_stripes_object_ends(
    begin: BeginUnit, before: list[int], after: list[int], last: list[int]
) -> None:
    """Any interleaving of changes with deliveries that read, ask and write at their own pace.

    The last change has a delivery of its own, which begins when all that came before may be at any step.
    """
    subscription, stripe = await bound(begin)
    reader = SubscriptionReader(begin)
    deliveries = [Delivery(begin, stripe, subscription.id) for _ in range(WORKERS + 1)]
    days = [0]

    async def go_on(who: int) -> bool:
        wrote = await deliveries[who].step()
        if wrote:
            days.append(_day_of(await reader.by_id(subscription.id)))
        return wrote

    for who in before:
        if who == WORKERS:
            stripe.day += 1
        else:
            await go_on(who)
    for who in after:
        await go_on(who)
    for who in last:
        while not await go_on(who):
            pass

    assert days == sorted(days)
    assert days[-1] == stripe.day


def _day_of(subscription: Subscription) -> int:
    assert subscription.state is not None
    assert subscription.state.current_period_end is not None
    return (subscription.state.current_period_end - START).days
