"""Stripe in memory: catalogue, customers, intents and subscriptions, as their ports' contracts have them."""

import asyncio
from dataclasses import replace

from payments_gateway.checkout.customers import EmailRefused
from payments_gateway.domain.attempts import IntentKind, IntentRef, Recurring
from payments_gateway.domain.catalogue import Catalogue, Price
from payments_gateway.domain.intents import (
    PAYABLE_STATUSES,
    CustomerMissing,
    IntentNotFound,
    IntentParams,
    IntentStatus,
    StripeIntent,
)
from payments_gateway.domain.money import Money
from payments_gateway.domain.stripe_billing import StripeInvoice, StripeSubscription, SubscriptionRefused
from payments_gateway.domain.stripe_errors import IdempotencyKeyExhausted, IdempotencyKeyReused, NotFoundAtStripe
from payments_gateway.domain.subscriptions import (
    ENDED_STATUSES,
    InvoiceStatus,
    Subscription,
    SubscriptionItem,
    SubscriptionStatus,
)
from payments_gateway.stripe_api.subscriptions import subscription_from_stripe

from .billing_samples import invoice_json, item_json, price_json, subscription_json
from .fakes import FakeClock
from .samples import INTENT_CREATED_AT


class FakeCatalogueSource:
    """Stripe's catalogue. Reads wait while `released` is not set."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.reads = 0
        self.looked_up: list[str] = []
        self.failure: Exception | None = None
        self.released = asyncio.Event()
        self.released.set()

    async def read(self) -> Catalogue:
        self.reads += 1
        await self.released.wait()
        if self.failure is not None:
            raise self.failure
        return self.catalogue

    async def find_price(self, price_id: str) -> Price | None:
        self.looked_up.append(price_id)
        await self.released.wait()
        if self.failure is not None:
            raise self.failure
        return self.catalogue.prices.get(price_id)


class FakeStripeCustomers:
    """Stripe's customers: one per idempotency key, until somebody deletes it."""

    def __init__(self) -> None:
        self._by_key: dict[str, str] = {}
        self._exhausted: dict[str, bool] = {}
        self.refused_emails: set[str] = set()
        self.emails: dict[str, str | None] = {}
        """By customer id, of every customer there is."""
        self.keys: list[str] = []
        """Every idempotency key used, in order."""

    async def create(self, key: str) -> str:
        self.keys.append(key)
        if key in self._exhausted:
            raise IdempotencyKeyExhausted(just_now=self._exhausted[key])
        if key not in self._by_key:
            self._by_key[key] = f"cus_{len(self._by_key) + 1}"
            self.emails[self._by_key[key]] = None
        return self._by_key[key]

    async def update_email(self, customer_id: str, email: str) -> None:
        if customer_id not in self.emails:
            raise CustomerMissing
        if email in self.refused_emails:
            raise EmailRefused
        self.emails[customer_id] = email

    def delete(self, customer_id: str) -> None:
        """Delete a customer, as somebody does in Stripe's dashboard."""
        del self.emails[customer_id]

    def exhaust(self, key: str, *, just_now: bool = False) -> None:
        """Let a key replay a failure, which is fresh if just_now."""
        self._exhausted[key] = just_now


class FakeIntents:
    """Stripe's intents: one per idempotency key, and a buyer who acts when a test says so."""

    def __init__(self) -> None:
        self._intents: dict[str, StripeIntent] = {}
        self._params: dict[str, IntentParams] = {}
        self._by_key: dict[str, str] = {}
        self._params_of_key: dict[str, IntentParams] = {}
        self._exhausted: dict[str, bool] = {}
        self.missing_customers: set[str | None] = set()
        self._status_instead_of_cancel: IntentStatus | None = None
        self._cancelable = PAYABLE_STATUSES | {IntentStatus.REQUIRES_CAPTURE}

    async def create(self, attempt_id: str, params: IntentParams, *, generation: int) -> StripeIntent:
        key = f"{attempt_id}:{generation}"
        if key in self._exhausted:
            raise IdempotencyKeyExhausted(just_now=self._exhausted[key])
        if self._params_of_key.setdefault(key, params) != params:
            raise IdempotencyKeyReused
        if key in self._by_key:
            return replace(self._intents[self._by_key[key]], replayed=True)
        if params.customer_id in self.missing_customers:
            raise CustomerMissing
        self._by_key[key] = self._create(attempt_id, params)
        return self._intents[self._by_key[key]]

    def _create(self, attempt_id: str, params: IntentParams) -> str:
        is_payment = params.kind is IntentKind.PAYMENT
        intent_id = f"{'pi' if is_payment else 'seti'}_{len(self._intents) + 1}"
        intent = StripeIntent(
            ref=IntentRef(intent_id, params.kind),
            status=IntentStatus.REQUIRES_PAYMENT_METHOD,
            attempt_id=attempt_id,
            received=Money(0, params.amount.currency) if is_payment else None,
            livemode=False,
            client_secret=f"{intent_id}_secret_hush",
            created_at=INTENT_CREATED_AT,
        )
        self.put(intent, params)
        return intent_id

    async def retrieve(self, ref: IntentRef, *, with_customer: bool = False) -> StripeIntent:
        known = self._known(ref)
        return replace(known, customer_deleted=with_customer and known.customer_deleted)

    async def cancel(self, ref: IntentRef) -> StripeIntent:
        if self._status_instead_of_cancel is not None:
            return self.change(ref, status=self._status_instead_of_cancel)
        if self._known(ref).status in self._cancelable:
            self.change(ref, status=IntentStatus.CANCELED)
        return self._known(ref)

    def _known(self, ref: IntentRef) -> StripeIntent:
        if ref.id not in self._intents or self._intents[ref.id].ref != ref:
            raise IntentNotFound
        return self._intents[ref.id]

    def refuse_cancels(self, status: IntentStatus) -> None:
        """Refuse to cancel an intent: it gets this status instead."""
        self._status_instead_of_cancel = status

    def let_debits_be_cancelled(self) -> None:
        """Cancel processing intents too, as Stripe does in rare cases."""
        self._cancelable |= {IntentStatus.PROCESSING}

    def change(self, ref: IntentRef, **changes: object) -> StripeIntent:
        """Change an intent's fields, and return it."""
        self._intents[ref.id] = replace(self._intents[ref.id], **changes)  # type: ignore[arg-type]  # any field
        return self._intents[ref.id]

    def pay(self, ref: IntentRef, received: Money | None = None) -> StripeIntent:
        """Let the buyer pay, the intent's amount by default; return the intent as the event shows it."""
        amount = self._params[ref.id].amount if ref.kind is IntentKind.PAYMENT else None
        return self.change(ref, status=IntentStatus.SUCCEEDED, received=received or amount)

    def put(self, intent: StripeIntent, params: IntentParams | None = None) -> None:
        """Store an intent as it is."""
        self._intents[intent.ref.id] = intent
        self._params[intent.ref.id] = params or IntentParams(intent.ref.kind, Money(0, "usd"), "cus_1")

    def another(self, attempt_id: str, amount: Money) -> IntentRef:
        """Create an intent that names an attempt but is not stored with it."""
        return self._intents[self._create(attempt_id, IntentParams(IntentKind.PAYMENT, amount, None))].ref

    def exhaust(self, attempt_id: str, generation: int, *, just_now: bool = False) -> None:
        """Let a key replay a failure, which is fresh if just_now."""
        self._exhausted[f"{attempt_id}:{generation}"] = just_now

    def forget(self, ref: IntentRef) -> None:
        """Be another account, which has no such intent."""
        del self._intents[ref.id]

    def forget_keys(self) -> None:
        """Forget every idempotency key, as Stripe does after a day."""
        self._by_key.clear()
        self._params_of_key.clear()

    def params_of(self, ref: IntentRef) -> IntentParams:
        """Return the parameters that an intent was created with."""
        return self._params[ref.id]

    def all(self) -> list[StripeIntent]:
        """Return every intent in the order of creation."""
        return list(self._intents.values())


class FakePortalSessions:
    """Stripe's customer portal."""

    def __init__(self) -> None:
        self.opened: list[tuple[str, str | None]] = []
        """Customer and return URL of each session."""

    async def create(self, customer_id: str, return_url: str | None) -> str:
        self.opened.append((customer_id, return_url))
        return f"https://billing.example/p/session/{len(self.opened)}_hush"


class FakeBilling:
    """Stripe's subscriptions: one per idempotency key, paid at once."""

    def __init__(self, clock: FakeClock, intents: FakeIntents) -> None:
        """Put the intents of open invoices among the others."""
        self._clock = clock
        self._intents = intents
        self._by_key: dict[str, str] = {}
        self.created: dict[str, StripeSubscription] = {}
        self.refusals: list[bool] = []
        """For each of the next new subscriptions: True refuses it, and stores nothing under the key."""

    async def create(self, subscription: Subscription) -> StripeSubscription:
        key = f"{subscription.id}:{subscription.activation_generation}"
        if key not in self._by_key and self.refusals and self.refusals.pop(0):
            raise SubscriptionRefused("resource_missing")
        if key not in self._by_key:
            self._by_key[key] = self._create(subscription)
        return self.created[self._by_key[key]]

    def _create(self, subscription: Subscription) -> str:
        number, now = len(self.created) + 1, int(self._clock.seconds())
        amount = sum(item.unit_price.minor_units * item.quantity for item in subscription.items)
        invoice = invoice_json(id=f"in_{number}", status="paid", total=amount, amount_paid=amount, created=now)
        fields = subscription_json(
            f"sub_{number}",
            status="active",
            metadata={"subscriptionId": subscription.id},
            items={"data": [_item_json(item, subscription.recurring, now + 30 * 86400) for item in subscription.items]},
            latest_invoice=invoice,
        )
        created = replace(subscription_from_stripe(fields), client_secret=f"pi_of_sub_{number}_secret_hush")
        self.created[created.id] = created
        return created.id

    async def find_existing(self, subscription: Subscription) -> str | None:
        return next((each.id for each in self.created.values() if each.subscription_id == subscription.id), None)

    async def retrieve(self, stripe_subscription_id: str, *, with_client_secret: bool = False) -> StripeSubscription:
        found = self._known(stripe_subscription_id)
        is_open = found.latest_invoice is not None and found.latest_invoice.status is InvoiceStatus.OPEN
        return found if with_client_secret and is_open else replace(found, client_secret=None)

    async def find_by_item(self, stripe_item_id: str) -> str:
        for each in self.created.values():
            if any(item.stripe_item_id == stripe_item_id for item in each.state.items):
                return each.id
        raise NotFoundAtStripe

    async def retrieve_invoice(self, stripe_invoice_id: str) -> StripeInvoice:
        for each in self.created.values():
            if each.latest_invoice is not None and each.latest_invoice.id == stripe_invoice_id:
                return StripeInvoice(each.latest_invoice, each.id)
        raise NotFoundAtStripe

    async def cancel_at_period_end(self, stripe_subscription_id: str, *, ends: bool) -> StripeSubscription:
        found = self._known(stripe_subscription_id)
        if found.state.status in ENDED_STATUSES:
            raise SubscriptionRefused("invalid_request")
        at = found.state.current_period_end if ends else None
        return self.change(found.id, cancel_at_period_end=ends, cancel_at=at)

    async def cancel_now(self, stripe_subscription_id: str) -> StripeSubscription:
        found = self._known(stripe_subscription_id)
        if found.state.status in ENDED_STATUSES:
            return found
        return self.change(found.id, status=SubscriptionStatus.CANCELED, ended_at=self._clock.now())

    def _known(self, stripe_subscription_id: str) -> StripeSubscription:
        if stripe_subscription_id not in self.created:
            raise NotFoundAtStripe
        return self.created[stripe_subscription_id]

    def change(self, stripe_subscription_id: str, **changes: object) -> StripeSubscription:
        """Change fields of a subscription's state, and return it."""
        found = self.created[stripe_subscription_id]
        state = replace(found.state, **changes)  # type: ignore[arg-type]  # any field
        self.created[found.id] = replace(found, state=state)
        return self.created[found.id]

    def leave_open(
        self,
        stripe_subscription_id: str,
        status: SubscriptionStatus = SubscriptionStatus.INCOMPLETE,
        payment: IntentStatus = IntentStatus.REQUIRES_PAYMENT_METHOD,
    ) -> None:
        """Leave the latest invoice open, by default its payment waits for the buyer."""
        found = self.change(stripe_subscription_id, status=status)
        assert found.latest_invoice is not None
        ref = IntentRef(f"pi_of_{found.id}", IntentKind.PAYMENT)
        received = Money(0, found.latest_invoice.total.currency)
        self._intents.put(
            StripeIntent(ref, payment, None, received, livemode=False, client_secret=None, created_at=INTENT_CREATED_AT)
        )
        unpaid = replace(found.latest_invoice, status=InvoiceStatus.OPEN, amount_paid=received)
        self.created[found.id] = replace(found, latest_invoice=unpaid)


def _item_json(item: SubscriptionItem, recurring: Recurring, period_end: int) -> dict[str, object]:
    price = price_json(
        item.price_id,
        {"id": item.product_id, "name": item.name},
        unit_amount=item.unit_price.minor_units,
        currency=item.unit_price.currency,
        recurring={"interval": recurring.interval.value, "interval_count": recurring.interval_count},
    )
    return item_json(f"si_{item.price_id}", price=price, quantity=item.quantity, current_period_end=period_end)
