"""The gateway's use cases over fake ports, built as the bootstrap builds them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final, Generic

from payments_gateway.checkout.attempt_ids import AttemptIds
from payments_gateway.checkout.cancellation import Cancellation
from payments_gateway.checkout.catalogue_cache import CatalogueCache
from payments_gateway.checkout.complete import CompleteCheckout
from payments_gateway.checkout.customers import Customers
from payments_gateway.checkout.expiry import Expiry
from payments_gateway.checkout.initiate import Initiate
from payments_gateway.checkout.payment_guard import PaymentGuard
from payments_gateway.checkout.status import CheckoutStatusReader
from payments_gateway.checkout.supersede import Supersede
from payments_gateway.domain.attempts import Attempt, IntentRef
from payments_gateway.domain.intents import IntentReader, StripeIntent
from payments_gateway.domain.money import Money
from payments_gateway.domain.purchases import PaymentDecision, PaymentReport, ReportChannel
from payments_gateway.domain.refunds import Dispute, MirroredT, Refund, RefundOwner
from payments_gateway.domain.stripe_billing import StripeSubscriptionsPort
from payments_gateway.domain.stripe_errors import NotFoundAtStripe
from payments_gateway.domain.webhook_events import DisputeChanged, RefundChanged
from payments_gateway.events.event_log import EventLog
from payments_gateway.payments.deletions import AttemptDeletions
from payments_gateway.payments.fulfilment import Fulfilment
from payments_gateway.refunds.mirror import RefundLists, StripeMirror
from payments_gateway.subscriptions.activation import Activation
from payments_gateway.subscriptions.cancel import SubscriptionCancel
from payments_gateway.subscriptions.open_payments import OpenPayments
from payments_gateway.subscriptions.portal import CustomerPortal
from payments_gateway.subscriptions.sync import SubscriptionSync
from payments_gateway.webhook_dispatcher import WebhookDispatcher

from .fake_services import FakeAttempts, FakeCustomerRepository, FakeMirrorRepository, FakeOrders, FakePaymentRefunds
from .fake_stripe import FakeBilling, FakeCatalogueSource, FakeIntents, FakePortalSessions, FakeStripeCustomers
from .fake_stripe_events import FakeStripeEvents, FakeUnsupportedObjects
from .fake_subscriptions import FakeSubscriptions
from .fakes import FakeClock, Wire, until, wired
from .samples import ATTEMPT_ID, ATTEMPT_ID_SECRET, CONTEXT, SHOP, attempt

PAY_BY: Final = timedelta(hours=24)
PORTAL_RETURN_URL: Final = "https://shop.example/account"
CREATION_TAKES: Final = timedelta(seconds=30)
WEBHOOK: Final = PaymentReport(ReportChannel.WEBHOOK, "evt_1")


class Gateway:
    """Everything behind the HTTP edge."""

    def __init__(
        self,
        billing: StripeSubscriptionsPort | None = None,
        wire: Wire | None = None,
        payments: IntentReader | None = None,
    ) -> None:
        """Use another Stripe Billing with its payments, or another wire, if given."""
        self.clock = FakeClock()
        self.wire = wire or Wire()
        self.attempts = wired(self.wire, "attempts", FakeAttempts())
        self.intents = wired(self.wire, "intents", FakeIntents())
        self.stripe_customers = wired(self.wire, "stripe_customers", FakeStripeCustomers())
        self.customers = wired(self.wire, "customers", FakeCustomerRepository())
        self.subscriptions = wired(self.wire, "subscriptions", FakeSubscriptions(self.clock.now))
        self.fake_billing = FakeBilling(self.clock, self.intents)
        self.billing: StripeSubscriptionsPort = wired(self.wire, "billing", billing or self.fake_billing)
        self.orders = wired(self.wire, "orders", FakeOrders(self.clock.now, self.subscriptions))
        self.source = FakeCatalogueSource(SHOP)
        self.ids = AttemptIds([ATTEMPT_ID_SECRET])
        self.catalogue = CatalogueCache(
            self.source,
            refresh_seconds=3600,
            max_age_seconds=7200,
            pause_seconds=0.01,
            unknown_seconds=0.5,
            monotonic=self.clock.seconds,
        )
        self.open_payments = OpenPayments(self.billing, wired(self.wire, "payments", payments or self.intents))
        self.activation = Activation(self.subscriptions, self.billing, self.open_payments, now=self.clock.now)
        self.refunds = wired(self.wire, "refunds", FakePaymentRefunds(self.orders))
        self.deletions = AttemptDeletions(self.attempts)
        self.fulfilment = Fulfilment(
            self.attempts,
            self.orders,
            self.refunds,
            self.activation,
            self.ids,
            deletions=self.deletions,
            livemode=False,
            now=self.clock.now,
        )
        self._payment_guard = PaymentGuard(self.fulfilment, self.orders)
        cancellation = Cancellation(self.attempts, self.intents)
        self._expiry = Expiry(cancellation, self.clock.now)
        self.supersede = Supersede(self.attempts, self.intents, cancellation, self._payment_guard)
        self.initiate = self.another_initiate(self.ids)
        self.unsupported = FakeUnsupportedObjects()
        self.sync = self.another_sync()
        self.portal_sessions = wired(self.wire, "portal_sessions", FakePortalSessions())
        self.portal = CustomerPortal(self.subscriptions, self.portal_sessions, return_url=PORTAL_RETURN_URL)
        self.cancels = SubscriptionCancel(
            self.subscriptions,
            self.billing,
            self.open_payments,
            self.activation,
            self.sync,
            creation_takes=CREATION_TAKES,
            now=self.clock.now,
        )
        refunds = StripeMirror(
            "refund",
            _NoStripeObjects[Refund](),
            FakeMirrorRepository[Refund](),
            self.attempts,
            self.ids,
            unsupported=self.unsupported,
            changed=RefundChanged,
            livemode=False,
        )
        self.dispatcher = WebhookDispatcher(
            fulfilment=self.fulfilment,
            intents=self.intents,
            refunds=refunds,
            refund_lists=RefundLists(refunds, _NoStripeObjects[Refund](), self.unsupported),
            disputes=StripeMirror(
                "dispute",
                _NoStripeObjects[Dispute](),
                FakeMirrorRepository[Dispute](),
                self.attempts,
                self.ids,
                unsupported=self.unsupported,
                changed=DisputeChanged,
                livemode=False,
            ),
            subscriptions=self.sync,
            livemode=False,
        )
        self.events = FakeStripeEvents()
        self.event_log = EventLog(self.events)
        self.complete = CompleteCheckout(self.attempts, self.orders, self.intents, self._expiry, self.fulfilment)
        self.statuses = CheckoutStatusReader(self.attempts, self.orders, self.intents, self._expiry, self.open_payments)

    def another_initiate(self, ids: AttemptIds) -> Initiate:
        """Return the use case as a gateway process with these ids has it."""
        return Initiate(
            ids=ids,
            catalogue=self.catalogue,
            intents=self.intents,
            customers=Customers(self.stripe_customers, self.customers, b"secret"),
            attempts=self.attempts,
            supersede=self.supersede,
            expiry=self._expiry,
            payment_guard=self._payment_guard,
            pay_by=PAY_BY,
            now=self.clock.now,
        )

    def another_sync(self) -> SubscriptionSync:
        """Return a sync as another gateway process has it, with locks of its own."""
        return SubscriptionSync(self.subscriptions, self.billing, self.activation, self.unsupported, livemode=False)

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

    def paid_attempt(self, *, user_id: str | None = None, received: Money | None = None) -> StripeIntent:
        """Store an attempt and let the buyer pay it; return its intent."""
        return self.intents.pay(self.stored_attempt(user_id=user_id).intent, received)

    async def fulfil(self, intent: StripeIntent) -> PaymentDecision | None:
        """Fulfil an intent as the webhook does."""
        decision = await self.fulfilment.fulfil(intent, WEBHOOK)
        await self.deletions.flush()
        return decision

    def status_of(self, ref: IntentRef) -> str:
        """Return an intent's status at Stripe."""
        return next(intent.status.value for intent in self.intents.all() if intent.ref == ref)


class _NoStripeObjects(Generic[MirroredT]):
    """Stripe without any refund or dispute: tests of mirrors ask a simulator."""

    async def retrieve(self, _object_id: str) -> MirroredT:
        raise NotFoundAtStripe

    async def list_refund_ids(self, _owner: RefundOwner, _owner_id: str) -> list[str]:
        raise NotFoundAtStripe
