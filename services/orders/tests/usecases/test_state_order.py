"""A subscription's row never goes back to an older state, and ends with Stripe's last one, in any interleaving."""

import itertools
import secrets
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from orders.domain.checkout import AttemptContent, BillingInterval, CheckoutContext, Contact, LineItem, Money, Recurring
from orders.domain.payments import Intent, IntentKind, Payment
from orders.domain.purchases import Purchase
from orders.domain.subscriptions import BilledItem, StripeSnapshot, StripeState, Subscription, SubscriptionStatus
from orders.postgres.unit_of_work import PostgresUnitOfWorkFactory
from orders.usecases.purchase_writer import PurchaseWriter
from orders.usecases.purchases import PaidAttempt, PurchaseRecorder
from orders.usecases.subscriptions import SubscriptionReader, SubscriptionWriter
from orders.usecases.unit_of_work import UnitOfWorkFactory, VersionConflict
from servicekit.encryption import Keyring

from .test_unit_of_work import AT, REPORT

WORKERS = 3
_numbers = itertools.count(1)


@dataclass
class StripeSubscription:
    """Subscription at Stripe, whose period end moves by a day with each change."""

    stripe_id: str
    day: int = 0

    def state(self) -> StripeState:
        """Return the current state."""
        period_end = AT + timedelta(days=self.day)
        return StripeState(
            stripe_subscription_id=self.stripe_id,
            status=SubscriptionStatus.ACTIVE,
            current_period_end=period_end,
            trial_end=None,
            cancel_at_period_end=False,
            cancel_at=None,
            canceled_at=None,
            ended_at=None,
            latest_invoice_id=None,
            items=(
                BilledItem("si_1", "price_1", "prod_1", "", 1, self.day, "eur", BillingInterval.MONTH, 1, period_end),
            ),
            pause_collection=None,
            discounts=(),
            default_payment_method_id=None,
            collection_method="charge_automatically",
        )


class Worker:
    """Handles an event in three steps: read the version, read the state at Stripe, write; again after a conflict."""

    def __init__(self, begin: UnitOfWorkFactory, at_stripe: StripeSubscription, subscription_id: UUID) -> None:
        self._writer = SubscriptionWriter(begin, lambda: AT)
        self._reader = SubscriptionReader(begin)
        self._at_stripe = at_stripe
        self._id = subscription_id
        self._version: int | None = None
        self._state: StripeState | None = None

    async def step(self) -> bool:
        """Do one step; True when it has written."""
        if self._version is None:
            self._version = (await self._reader.get(self._id)).version
        elif self._state is None:
            self._state = self._at_stripe.state()
        else:
            snapshot = StripeSnapshot(self._version, self._state, None)
            self._version = self._state = None
            return await self._write(snapshot)
        return False

    async def _write(self, snapshot: StripeSnapshot) -> bool:
        try:
            await self._writer.apply(self._id, snapshot)
        except VersionConflict:
            return False
        return True


async def bound(begin: UnitOfWorkFactory) -> tuple[Subscription, StripeSubscription]:
    """Record a subscription and bind it."""
    number = next(_numbers)
    item = LineItem("price_1", "prod_1", "Mug", 1, Money(500, "eur"), Recurring(BillingInterval.MONTH, 1, 0))
    contact = Contact("Ada", "ada@shop.example", None)
    context = CheckoutContext(None, contact, None, None, (item,), Money(0, "eur"), "cus_1")
    intent = Intent(f"seti_{number}", IntentKind.SETUP)
    payment = Payment(intent, f"attempt-{number}", None, livemode=True, intent_created_at=AT, payment_method_id="pm_1")
    recorder = PurchaseRecorder(begin, lambda: AT, PurchaseWriter(uuid4, secrets.randbelow))
    purchase = (await recorder.record(PaidAttempt(payment, context, AttemptContent(None, b""), REPORT))).decision
    assert isinstance(purchase, Purchase)
    at_stripe = StripeSubscription(f"sub_{number}")
    snapshot = StripeSnapshot(1, at_stripe.state(), None)
    subscription_writer = SubscriptionWriter(begin, lambda: AT)
    return await subscription_writer.activate(purchase.subscriptions[0].id, snapshot), at_stripe


@settings(
    max_examples=25,
    deadline=None,
    # The engine is shared: each example records a subscription of its own.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    before=st.lists(st.integers(0, WORKERS), max_size=20),
    after=st.lists(st.integers(0, WORKERS), max_size=12),
    last=st.permutations(range(WORKERS + 1)),
)
async def test_a_row_never_goes_back_and_ends_with_stripes_last_state(
    engine: AsyncEngine, before: list[int], after: list[int], last: list[int]
) -> None:
    """Any interleaving of changes at Stripe with workers. The last change has a worker that starts after it."""
    begin = PostgresUnitOfWorkFactory(engine, Keyring.unencrypted())
    subscription, at_stripe = await bound(begin)
    workers = [Worker(begin, at_stripe, subscription.id) for _ in range(WORKERS + 1)]
    days = [0]

    async def step(worker: int) -> bool:
        written = await workers[worker].step()
        if written:
            state = (await SubscriptionReader(begin).get(subscription.id)).state
            assert state is not None
            assert state.current_period_end is not None
            days.append((state.current_period_end - AT).days)
            assert [item.unit_amount_minor for item in state.items] == days[-1:]
        return written

    for worker in before:
        if worker == WORKERS:
            at_stripe.day += 1
        else:
            await step(worker)
    for worker in after:
        await step(worker)
    for worker in last:
        while not await step(worker):
            pass

    assert days == sorted(days)
    assert days[-1] == at_stripe.day
