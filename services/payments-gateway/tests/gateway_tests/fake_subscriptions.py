"""orders' subscriptions and Stripe Billing in memory: they keep the contracts, and fail where a test asks them to."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from payments_gateway.domain.attempts import CheckoutContext, Interval, LineItem, Recurring
from payments_gateway.domain.errors import VersionConflict
from payments_gateway.domain.purchases import Payment
from payments_gateway.domain.stripe_billing import (
    StripeInvoice,
    StripeSubscription,
    StripeSubscriptionsPort,
    SubscriptionRefused,
)
from payments_gateway.domain.stripe_errors import IdempotencyKeyExhausted, NotFoundAtStripe
from payments_gateway.domain.subscriptions import (
    ENDED_STATUSES,
    InvoiceStatus,
    StripeSubscriptionMismatch,
    StripeSubscriptionState,
    Subscription,
    SubscriptionInvoice,
    SubscriptionItem,
    SubscriptionNotFound,
    SubscriptionPage,
    SubscriptionStatus,
)
from servicekit.violations import FieldViolation, InvalidRequest

from .fakes import FakeClock, Wire


class FakeSubscriptions:
    """`SubscriptionsPort` in memory."""

    def __init__(self, wire: Wire, now: Callable[[], datetime]) -> None:
        self._wire = wire
        self._now = now
        self.rows: dict[str, Subscription] = {}

    def begin_all(self, payment: Payment, context: CheckoutContext) -> tuple[str, ...]:
        """Record what a purchase began, one row for each billing interval; return their ids."""
        periods: dict[tuple[Interval, int], list[tuple[LineItem, Recurring]]] = {}
        for line in context.items:
            if line.recurring is not None:
                period = (line.recurring.interval, line.recurring.interval_count)
                periods.setdefault(period, []).append((line, line.recurring))
        return tuple(self._begin(payment, context, lines) for lines in periods.values())

    def _begin(self, payment: Payment, context: CheckoutContext, lines: list[tuple[LineItem, Recurring]]) -> str:
        assert context.stripe_customer_id is not None
        assert payment.payment_method_id is not None
        subscription_id = str(uuid.UUID(int=len(self.rows) + 1, version=4))
        self.rows[subscription_id] = Subscription(
            id=subscription_id,
            checkout_attempt_id=payment.attempt_id,
            user_id=context.user_id,
            stripe_customer_id=context.stripe_customer_id,
            payment_method_id=payment.payment_method_id,
            recurring=lines[0][1],
            items=tuple(
                SubscriptionItem(line.price_id, line.product_id, line.name, line.quantity, line.unit_price)
                for line, _ in lines
            ),
            version=1,
            created_at=self._now(),
            status=SubscriptionStatus.PENDING,
        )
        return subscription_id

    async def get_subscription(self, subscription_id: str) -> Subscription:
        """Return one subscription, by our id."""
        async with self._wire.call("subscriptions.get_subscription"):
            return self._row(subscription_id)

    def _row(self, subscription_id: str) -> Subscription:
        if subscription_id not in self.rows:
            raise SubscriptionNotFound
        return self.rows[subscription_id]

    async def get_subscription_by_stripe_id(self, stripe_subscription_id: str) -> Subscription:
        """Return the subscription that is bound to a Stripe subscription."""
        async with self._wire.call("subscriptions.get_subscription_by_stripe_id"):
            for row in self.rows.values():
                if row.stripe_subscription_id == stripe_subscription_id:
                    return row
            raise SubscriptionNotFound

    async def list_subscriptions(self, user_id: str, *, page_size: int, page_token: str | None) -> SubscriptionPage:
        """Return a page of a user's subscriptions; its token is the place of the next one."""
        async with self._wire.call("subscriptions.list_subscriptions"):
            if page_token is not None and not page_token.isdecimal():
                raise InvalidRequest([FieldViolation("page_token", "is not one that was given out")])
            theirs = [row for row in self.rows.values() if row.user_id == user_id][::-1]
            start = int(page_token or 0)
            stop = start + page_size
            return SubscriptionPage(tuple(theirs[start:stop]), str(stop) if len(theirs) > stop else None)

    async def begin_activation(self, subscription_id: str, *, abandon_generation: int | None = None) -> Subscription:
        """Note the moment of a generation's first begin."""
        async with self._wire.call("subscriptions.begin_activation"):
            row = self._row(subscription_id)
            if row.is_bound:
                return row
            if abandon_generation == row.activation_generation:
                row = replace(row, activation_generation=row.activation_generation + 1, activation_began_at=None)
            if row.activation_began_at is None:
                row = self._write(replace(row, activation_began_at=self._now()))
            return row

    async def activate(
        self,
        subscription_id: str,
        expected_version: int,
        state: StripeSubscriptionState,
        invoice: SubscriptionInvoice | None,
    ) -> Subscription:
        """Bind the subscription."""
        async with self._wire.call("subscriptions.activate"):
            row = self._row(subscription_id)
            if row.stripe_subscription_id == state.stripe_subscription_id:
                return row
            if row.is_bound or self._bound(state.stripe_subscription_id):
                raise StripeSubscriptionMismatch
            return self._seen(row, expected_version, state, invoice)

    async def fail_activation(self, subscription_id: str, expected_version: int, failure: str) -> Subscription:
        """Note that Stripe refused for good."""
        async with self._wire.call("subscriptions.fail_activation"):
            row = self._row(subscription_id)
            if row.status is not SubscriptionStatus.PENDING:
                return row
            if row.version != expected_version:
                raise VersionConflict
            return self._write(
                replace(
                    row,
                    status=SubscriptionStatus.ACTIVATION_FAILED,
                    activation_failure=failure,
                    activation_generation=row.activation_generation + 1,
                    activation_began_at=None,
                )
            )

    async def apply_state(
        self,
        subscription_id: str,
        expected_version: int,
        state: StripeSubscriptionState,
        invoice: SubscriptionInvoice | None,
    ) -> Subscription:
        """Write a state that was read at Stripe."""
        async with self._wire.call("subscriptions.apply_state"):
            row = self._row(subscription_id)
            if row.stripe_subscription_id != state.stripe_subscription_id:
                raise StripeSubscriptionMismatch
            return self._seen(row, expected_version, state, invoice)

    def touch(self, subscription_id: str) -> None:
        """Let somebody else write the row."""
        self._write(self.rows[subscription_id])

    def _bound(self, stripe_subscription_id: str) -> bool:
        return any(row.stripe_subscription_id == stripe_subscription_id for row in self.rows.values())

    def _seen(
        self,
        row: Subscription,
        expected_version: int,
        state: StripeSubscriptionState,
        invoice: SubscriptionInvoice | None,
    ) -> Subscription:
        if row.version != expected_version:
            raise VersionConflict
        others = tuple(one for one in row.invoices if invoice is None or one.id != invoice.id)
        return self._write(
            replace(
                row,
                status=state.status,
                stripe_subscription_id=state.stripe_subscription_id,
                state=state,
                invoices=(invoice, *others) if invoice else others,
                activation_failure=None,
            )
        )

    def _write(self, row: Subscription) -> Subscription:
        self.rows[row.id] = replace(row, version=row.version + 1)
        return self.rows[row.id]


class FakeBilling:
    """`StripeSubscriptionsPort` in memory: one subscription for each idempotency key, paid at once."""

    def __init__(self, wire: Wire, clock: FakeClock) -> None:
        self._wire = wire
        self._clock = clock
        self._by_key: dict[str, str] = {}
        self._refusals: dict[str, str] = {}
        self.spent: set[str] = set()
        self.made: dict[str, StripeSubscription] = {}

    async def create(self, subscription: Subscription) -> StripeSubscription:
        """Make the subscription once for each key."""
        async with self._wire.call("billing.create"):
            key = f"{subscription.id}:{subscription.activation_generation}"
            if key in self.spent:
                raise IdempotencyKeyExhausted
            if code := self._refusals.get(subscription.items[0].price_id):
                raise SubscriptionRefused(code)
            if key not in self._by_key:
                self._by_key[key] = self._make(subscription)
            return self.made[self._by_key[key]]

    def _make(self, subscription: Subscription) -> str:
        number = len(self.made) + 1
        now = self._clock.now()
        invoice = SubscriptionInvoice(
            id=f"in_{number}",
            status=InvoiceStatus.PAID,
            billing_reason="subscription_create",
            total=subscription.amount,
            amount_paid=subscription.amount,
            attempt_count=1,
            created_at=now,
            period_start=now,
            period_end=now,
            next_payment_attempt=None,
        )
        state = StripeSubscriptionState(
            stripe_subscription_id=f"sub_{number}",
            status=SubscriptionStatus.ACTIVE,
            current_period_end=now + timedelta(days=30),
            trial_end=None,
            cancel_at_period_end=False,
            cancel_at=None,
            canceled_at=None,
            ended_at=None,
            latest_invoice_id=invoice.id,
        )
        self.made[f"sub_{number}"] = StripeSubscription(
            state, subscription.id, livemode=False, latest_invoice=invoice, client_secret=f"in_{number}_secret_hush"
        )
        return f"sub_{number}"

    async def find_existing(self, subscription: Subscription) -> StripeSubscription | None:
        """Find what was made for a subscription."""
        async with self._wire.call("billing.find_existing"):
            return next((one for one in self.made.values() if one.subscription_id == subscription.id), None)

    async def retrieve(self, stripe_subscription_id: str, *, with_client_secret: bool = False) -> StripeSubscription:
        """Show a subscription as it stands now."""
        async with self._wire.call("billing.retrieve"):
            found = self._known(stripe_subscription_id)
            return found if with_client_secret else replace(found, client_secret=None)

    async def retrieve_invoice(self, stripe_invoice_id: str) -> StripeInvoice:
        """Show an invoice."""
        async with self._wire.call("billing.retrieve_invoice"):
            for one in self.made.values():
                if one.latest_invoice is not None and one.latest_invoice.id == stripe_invoice_id:
                    return StripeInvoice(one.latest_invoice, one.id)
            raise NotFoundAtStripe

    async def cancel_at_period_end(self, stripe_subscription_id: str, *, ends: bool) -> StripeSubscription:
        """Let it end with its period, or not."""
        async with self._wire.call("billing.cancel_at_period_end"):
            found = self._known(stripe_subscription_id)
            if found.state.status in ENDED_STATUSES:
                raise SubscriptionRefused("invalid_request")
            at = found.state.current_period_end if ends else None
            self.change(found.id, cancel_at_period_end=ends, cancel_at=at)
            return self.made[found.id]

    async def cancel_now(self, stripe_subscription_id: str) -> StripeSubscription:
        """End it."""
        async with self._wire.call("billing.cancel_now"):
            found = self._known(stripe_subscription_id)
            if found.state.status not in ENDED_STATUSES:
                self.change(found.id, status=SubscriptionStatus.CANCELED, ended_at=self._clock.now())
            return self.made[found.id]

    def _known(self, stripe_subscription_id: str) -> StripeSubscription:
        if stripe_subscription_id not in self.made:
            raise NotFoundAtStripe
        return self.made[stripe_subscription_id]

    def change(self, stripe_subscription_id: str, **changes: object) -> None:
        """Let something become of a subscription."""
        found = self.made[stripe_subscription_id]
        self.made[found.id] = replace(found, state=replace(found.state, **changes))  # type: ignore[arg-type]  # any field

    def leave_open(self, stripe_subscription_id: str) -> None:
        """Let the first charge wait for the buyer."""
        found = self.made[stripe_subscription_id]
        assert found.latest_invoice is not None
        invoice = replace(found.latest_invoice, status=InvoiceStatus.OPEN)
        state = replace(found.state, status=SubscriptionStatus.INCOMPLETE)
        self.made[found.id] = replace(found, state=state, latest_invoice=invoice)

    def refuse(self, price_id: str, code: str) -> None:
        """Refuse to begin anything with a price."""
        self._refusals[price_id] = code


class WiredBilling:
    """Another Billing, whose calls pass the wire as well."""

    def __init__(self, wire: Wire, billing: StripeSubscriptionsPort) -> None:
        self._wire = wire
        self._billing = billing

    async def create(self, subscription: Subscription) -> StripeSubscription:
        """Make the subscription."""
        async with self._wire.call("billing.create"):
            return await self._billing.create(subscription)

    async def find_existing(self, subscription: Subscription) -> StripeSubscription | None:
        """Find what was made for a subscription."""
        async with self._wire.call("billing.find_existing"):
            return await self._billing.find_existing(subscription)

    async def retrieve(self, stripe_subscription_id: str, *, with_client_secret: bool = False) -> StripeSubscription:
        """Show a subscription."""
        async with self._wire.call("billing.retrieve"):
            return await self._billing.retrieve(stripe_subscription_id, with_client_secret=with_client_secret)

    async def retrieve_invoice(self, stripe_invoice_id: str) -> StripeInvoice:
        """Show an invoice."""
        async with self._wire.call("billing.retrieve_invoice"):
            return await self._billing.retrieve_invoice(stripe_invoice_id)

    async def cancel_at_period_end(self, stripe_subscription_id: str, *, ends: bool) -> StripeSubscription:
        """Let it end with its period, or not."""
        async with self._wire.call("billing.cancel_at_period_end"):
            return await self._billing.cancel_at_period_end(stripe_subscription_id, ends=ends)

    async def cancel_now(self, stripe_subscription_id: str) -> StripeSubscription:
        """End it."""
        async with self._wire.call("billing.cancel_now"):
            return await self._billing.cancel_now(stripe_subscription_id)
