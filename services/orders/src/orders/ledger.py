"""The port to where decisions, orders and quarantined payments are kept: one unit of work at a time."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol
from uuid import UUID

from orders.checkout import AttemptContent, CheckoutContext
from orders.decisions import Decision, Purchase, QuarantinedPayment, QuarantineReason
from orders.order import Order
from orders.pages import Cursor
from orders.payments import Payment, Source
from orders.subscription_ledger import SubscriptionLedger


class DatabaseUnavailable(Exception):
    """The database cannot be reached, or could not do the work now; the same call may succeed later."""


class DatabaseReadOnly(DatabaseUnavailable):
    """The database answers, but takes no writes: a standby, or a primary whose disk is full."""


class Ledger(SubscriptionLedger, Protocol):
    """One transaction on what was bought. What is not committed never happened."""

    async def decide_purchase(self, payment: Payment, context: CheckoutContext, source: Source, at: datetime) -> bool:
        """Make the intent a purchase. False when it, or another intent of its attempt, was decided before (P3)."""

    async def decide_quarantine(self, quarantined: QuarantinedPayment) -> bool:
        """Quarantine the intent. False when it was decided before (P3)."""

    async def promote(self, payment: Payment, context: CheckoutContext, source: Source, at: datetime) -> bool:
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
