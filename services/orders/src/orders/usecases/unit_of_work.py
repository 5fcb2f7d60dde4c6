"""The port to where decisions, orders and quarantined payments are kept: one unit of work at a time."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol
from uuid import UUID

from orders.domain.checkout import AttemptContent, CheckoutContext
from orders.domain.orders import Order
from orders.domain.pagination import Cursor
from orders.domain.payments import Payment, PaymentReport
from orders.domain.purchases import Decision, Purchase, QuarantinedPayment, QuarantineReason
from orders.domain.subscriptions import Sighting, StripeState, Subscription, SubscriptionInvoice


class SubscriptionLedger(Protocol):
    """What a transaction can do with subscriptions and customers."""

    async def add_subscriptions(self, subscriptions: Sequence[Subscription]) -> None:
        """Write an attempt's subscriptions with their items, in the order of the cart."""

    async def subscription(self, subscription_id: UUID) -> Subscription | None:
        """Return one subscription with its newest invoices."""

    async def hold_subscription(self, subscription_id: UUID) -> None:
        """Lock it, so that what is answered unchanged is kept as what is written is: on the standbys too."""

    async def subscription_bound_to(self, stripe_subscription_id: str) -> Subscription | None:
        """Return the subscription that is bound to a Stripe subscription, with its newest invoices."""

    async def subscriptions_of(self, user_id: str, before: Cursor | None, limit: int) -> list[Subscription]:
        """Return a user's subscriptions older than the cursor, newest first, without their invoices."""

    async def begin_activation(self, subscription_id: UUID, abandon_generation: int, at: datetime) -> None:
        """Note the first begin of a generation; advance the generation first, if it is the one to abandon.

        Changes nothing, not even the version, where the generation was begun already, or the subscription is bound.
        """

    async def bind(self, subscription_id: UUID, expected_version: int, state: StripeState, at: datetime) -> bool:
        """Bind the subscription and write the state. False unless it is unbound and still has the version.

        Raises StripeSubscriptionMismatch where another subscription is bound to the same Stripe subscription.
        """

    async def fail_activation(self, subscription_id: UUID, expected_version: int, failure: str, at: datetime) -> bool:
        """Note that Stripe refused for good and advance the generation.

        False unless it is unbound, has the version, and is pending or was begun again.
        """

    async def apply_state(self, subscription_id: UUID, sighting: Sighting, at: datetime) -> bool:
        """Write the state. False unless the subscription still has the version and is bound to that Stripe one."""

    async def put_invoice(self, subscription_id: UUID, invoice: SubscriptionInvoice, at: datetime) -> bool:
        """Write an invoice. False where it is another subscription's."""

    async def add_customer(self, user_id: str, stripe_customer_id: str, at: datetime) -> bool:
        """Make a Stripe customer the user's. False where the user has one, or somebody else has this one."""

    async def replace_customer(self, user_id: str, replaced: str, stripe_customer_id: str, at: datetime) -> bool:
        """Replace the user's customer. False where the named one is not the user's, or somebody else has this one."""

    async def customer_of(self, user_id: str) -> str | None:
        """Return the id of a user's Stripe customer."""


class DatabaseUnavailable(Exception):
    """The database cannot be reached, or could not do the work now; the same call may succeed later."""


class DatabaseReadOnly(DatabaseUnavailable):
    """The database answers, but takes no writes: a standby, or a primary whose disk is full."""


class Ledger(SubscriptionLedger, Protocol):
    """One transaction on what was bought. What is not committed never happened."""

    async def decide_purchase(
        self, payment: Payment, context: CheckoutContext, report: PaymentReport, at: datetime
    ) -> bool:
        """Make the intent a purchase. False when it, or another intent of its attempt, was decided before (P3)."""

    async def decide_quarantine(self, quarantined: QuarantinedPayment) -> bool:
        """Quarantine the intent. False when it was decided before (P3)."""

    async def promote(self, payment: Payment, context: CheckoutContext, report: PaymentReport, at: datetime) -> bool:
        """Turn an unresolved `attempt_missing` quarantine into the purchase.

        False when it is no such quarantine any more, or another intent holds the attempt's purchase.
        """

    async def complete(self, intent_id: str, reason: QuarantineReason, content: AttemptContent) -> None:
        """Put the content into a quarantine that has none.

        An unresolved `attempt_missing` takes the reason too; any other keeps its own.
        """

    async def decision_on(self, intent_id: str) -> Decision | None:
        """Return the decision that stands for an intent."""

    async def add_order(self, order: Order) -> bool:
        """Write an order with its items. False when its number is taken."""

    async def announce_purchase(self, purchase: Purchase, at: datetime) -> None:
        """Write the purchase to the outbox: ids and sums only (P7)."""

    async def announce_quarantine(self, quarantined: QuarantinedPayment) -> None:
        """Write the quarantine to the outbox: ids and sums only (P7)."""

    async def purchase_of(self, attempt_id: str) -> Purchase | None:
        """Return the purchase an attempt became."""

    async def order(self, order_id: UUID) -> Order | None:
        """Return one order."""

    async def orders_of(self, user_id: str, before: Cursor | None, limit: int) -> list[Order]:
        """Return a user's orders older than the cursor, newest first."""

    async def quarantined_payments(self, before: Cursor | None, limit: int) -> list[QuarantinedPayment]:
        """Return quarantined payments older than the cursor, newest first."""

    async def commit(self) -> None:
        """Make it all happened."""


BeginUnit = Callable[[], AbstractAsyncContextManager[Ledger]]
"""Begins a unit of work; leaving it without `commit` rolls it back."""
