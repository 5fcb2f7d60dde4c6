"""The gateway's real parts over fake ports, put together as its bootstrap does."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from payments_gateway.checkout.attempt_ids import AttemptIds
from payments_gateway.checkout.catalogue_cache import CatalogueCache
from payments_gateway.checkout.complete import CompleteCheckout
from payments_gateway.checkout.customers import Customers
from payments_gateway.checkout.initiate import Initiate
from payments_gateway.checkout.payment_guard import PaymentGuard
from payments_gateway.checkout.status import CheckoutStatusReader
from payments_gateway.checkout.supersede import Supersede
from payments_gateway.domain.attempts import Attempt, IntentRef
from payments_gateway.domain.stripe_billing import StripeSubscriptionsPort
from payments_gateway.payments.fulfilment import Fulfilment
from payments_gateway.refunds.mirror import ChargeRefunds, StripeMirror
from payments_gateway.subscriptions.activation import Activation
from payments_gateway.subscriptions.cancel import SubscriptionCancel
from payments_gateway.subscriptions.incomplete_payments import IncompletePayments
from payments_gateway.subscriptions.sync import SubscriptionSync
from payments_gateway.webhook_dispatcher import WebhookDispatcher

from .fake_adjustments import FakeDisputeCopies, FakeRefundCopies, FakeStripeDisputes, FakeStripeRefunds
from .fake_customers import FakeCustomerRepository, FakeStripeCustomers
from .fake_subscriptions import FakeBilling, FakeSubscriptions
from .fakes import FakeAttempts, FakeCatalogueSource, FakeClock, FakeIntents, FakeOrders, Wire
from .samples import ATTEMPT_ID, CONTEXT, SHOP, attempt

PAY_BY = timedelta(hours=24)


class Gateway:
    """Everything behind the HTTP edge."""

    def __init__(self, wired: Callable[[Wire], StripeSubscriptionsPort] | None = None) -> None:
        """Put it together; with another Billing than the fake one if wired gives one."""
        self.clock = FakeClock()
        self.wire = Wire()
        self.attempts = FakeAttempts(self.wire)
        self.intents = FakeIntents(self.wire)
        self.accounts = FakeStripeCustomers(self.wire)
        self.register = FakeCustomerRepository(self.wire)
        self.subscriptions = FakeSubscriptions(self.wire, self.clock.now)
        self.billing = FakeBilling(self.wire, self.clock)
        billing = wired(self.wire) if wired else self.billing
        self.orders = FakeOrders(self.wire, self.clock, self.subscriptions)
        self.source = FakeCatalogueSource(SHOP)
        self.ids = AttemptIds(b"attempt-id-secret-of-the-tests..")
        self.catalogue = CatalogueCache(
            self.source, refresh_seconds=3600, max_age_seconds=7200, pause_seconds=0.01, monotonic=self.clock.seconds
        )
        self.activation = Activation(self.subscriptions, billing, now=self.clock.now)
        self.fulfilment = Fulfilment(self.attempts, self.orders, self.activation, livemode=False)
        payment_guard = PaymentGuard(self.fulfilment, self.orders)
        self.supersede = Supersede(self.attempts, self.intents, payment_guard)
        self.initiate = Initiate(
            ids=self.ids,
            catalogue=self.catalogue,
            intents=self.intents,
            customers=Customers(self.accounts, self.register),
            attempts=self.attempts,
            supersede=self.supersede,
            payment_guard=payment_guard,
            pay_by=PAY_BY,
            now=self.clock.now,
        )
        self.stripe_refunds, self.stripe_disputes = FakeStripeRefunds(self.wire), FakeStripeDisputes(self.wire)
        self.refund_copies, self.dispute_copies = FakeRefundCopies(self.wire), FakeDisputeCopies(self.wire)
        self.sync = SubscriptionSync(self.subscriptions, billing, self.activation, livemode=False)
        self.other_sync = SubscriptionSync(self.subscriptions, billing, self.activation, livemode=False)
        self.incomplete_payments = IncompletePayments(billing)
        self.cancels = SubscriptionCancel(self.subscriptions, billing, self.sync)
        refunds = StripeMirror("refund", self.stripe_refunds, self.refund_copies, livemode=False)
        self.dispatcher = WebhookDispatcher(
            fulfilment=self.fulfilment,
            refunds=refunds,
            charge_refunds=ChargeRefunds(refunds, self.stripe_refunds),
            disputes=StripeMirror("dispute", self.stripe_disputes, self.dispute_copies, livemode=False),
            subscriptions=self.sync,
        )
        self.browser_return = CompleteCheckout(self.attempts, self.orders, self.intents, self.fulfilment)
        self.statuses = CheckoutStatusReader(self.attempts, self.orders, self.intents, self.incomplete_payments)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Gateway"]:
        """Give the gateway with its catalogue read."""
        async with self.catalogue.refresh_in_background():
            await until(lambda: self.source.reads == 1)
            yield self

    def stored_attempt(self, *, user_id: str | None = None, attempt_id: str = ATTEMPT_ID) -> Attempt:
        """Store an attempt with an intent of its own, and return it."""
        stored = attempt(self.intents.another(attempt_id, CONTEXT.total), user_id=user_id, attempt_id=attempt_id)
        self.attempts.put(stored)
        return stored

    def status_of(self, ref: IntentRef) -> str:
        """Show an intent's status at Stripe."""
        return next(intent.status.value for intent in self.intents.all() if intent.ref == ref)


async def until(holds: Callable[[], bool], *, seconds: float = 5) -> None:
    """Return once it holds; fail when it does not in time."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 — nothing here could signal an event
            await asyncio.sleep(0.001)
