"""Subscriptions and customers in memory, as part of a unit of work in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from orders.domain.pagination import Cursor
from orders.domain.subscriptions import (
    MOST_INVOICES,
    Activation,
    Sighting,
    StripeState,
    StripeSubscriptionMismatch,
    Subscription,
    SubscriptionInvoice,
    SubscriptionStatus,
)


@dataclass
class SubscriptionBook:
    """What was committed. A subscription's invoices are kept apart from it."""

    rows: dict[UUID, Subscription] = field(default_factory=dict)
    invoices: dict[str, tuple[UUID, SubscriptionInvoice]] = field(default_factory=dict)
    customers: dict[str, str] = field(default_factory=dict)

    def copy(self) -> "SubscriptionBook":
        """Return a copy to work on."""
        return SubscriptionBook(dict(self.rows), dict(self.invoices), dict(self.customers))


class MemorySubscriptionLedger:
    """What a unit of work can do with subscriptions and customers."""

    def __init__(self, book: SubscriptionBook) -> None:
        self._subscriptions = book

    async def add_subscriptions(self, subscriptions: Sequence[Subscription]) -> None:
        """Keep them in the order of the cart."""
        self._subscriptions.rows.update({each.id: each for each in subscriptions})

    async def subscription(self, subscription_id: UUID) -> Subscription | None:
        """Return one with its newest invoices."""
        row = self._subscriptions.rows.get(subscription_id)
        return None if row is None else self._with_invoices(row)

    async def subscription_bound_to(self, stripe_subscription_id: str) -> Subscription | None:
        """Return the one that is bound."""
        rows = self._subscriptions.rows.values()
        return next(
            (self._with_invoices(row) for row in rows if row.stripe_subscription_id == stripe_subscription_id), None
        )

    async def subscriptions_of(self, user_id: str, before: Cursor | None, limit: int) -> list[Subscription]:
        """Return the newest first."""
        rows = [row for row in self._subscriptions.rows.values() if row.user_id == user_id]
        rows.sort(key=lambda row: (row.created_at, row.id), reverse=True)
        if before is not None:
            rows = [row for row in rows if (row.created_at, row.id) < (before.at, UUID(before.id))]
        return rows[:limit]

    async def hold_subscription(self, subscription_id: UUID) -> None:
        """Do nothing: there are no standbys."""

    async def begin_activation(self, subscription_id: UUID, abandon_generation: int, at: datetime) -> None:
        """Keep the rule of the statement's condition."""
        row = self._subscriptions.rows.get(subscription_id)
        if row is None or row.state is not None:
            return
        abandoned = row.activation.generation == abandon_generation
        if abandoned or row.activation.began_at is None:
            generation = row.activation.generation + abandoned
            self._write(row, activation=replace(row.activation, generation=generation, began_at=at))

    async def bind(self, subscription_id: UUID, expected_version: int, state: StripeState, at: datetime) -> bool:  # noqa: ARG002 - the port's
        """Keep the rules of the condition and the unique index."""
        row = self._unwritten(subscription_id, expected_version)
        if row is None or row.state is not None:
            return False
        if await self.subscription_bound_to(state.stripe_subscription_id) is not None:
            raise StripeSubscriptionMismatch
        self._write(row, state=state, status=state.status, activation=replace(row.activation, failure=None))
        return True

    async def fail_activation(self, subscription_id: UUID, expected_version: int, failure: str, at: datetime) -> bool:  # noqa: ARG002 - the port's
        """Keep the rule of the statement's condition."""
        row = self._unwritten(subscription_id, expected_version)
        if row is None or row.state is not None:
            return False
        if row.status is not SubscriptionStatus.PENDING and row.activation.began_at is None:
            return False
        spent = Activation(row.activation.generation + 1, None, failure)
        self._write(row, status=SubscriptionStatus.ACTIVATION_FAILED, activation=spent)
        return True

    async def apply_state(self, subscription_id: UUID, sighting: Sighting, at: datetime) -> bool:  # noqa: ARG002 - the port's
        """Keep the rule of the statement's condition."""
        row = self._unwritten(subscription_id, sighting.expected_version)
        if row is None or not row.is_bound_to(sighting.state):
            return False
        self._write(row, state=sighting.state, status=sighting.state.status)
        return True

    async def put_invoice(self, subscription_id: UUID, invoice: SubscriptionInvoice, at: datetime) -> bool:  # noqa: ARG002 - the port's
        """Keep the rule of the statement's condition."""
        owner, _ = self._subscriptions.invoices.get(invoice.stripe_invoice_id, (subscription_id, invoice))
        if owner != subscription_id:
            return False
        self._subscriptions.invoices[invoice.stripe_invoice_id] = (subscription_id, invoice)
        return True

    async def add_customer(self, user_id: str, stripe_customer_id: str, at: datetime) -> bool:  # noqa: ARG002 - the port's
        """Keep the rules of both unique indexes."""
        customers = self._subscriptions.customers
        if user_id in customers or stripe_customer_id in customers.values():
            return False
        customers[user_id] = stripe_customer_id
        return True

    async def replace_customer(self, user_id: str, replaced: str, stripe_customer_id: str, at: datetime) -> bool:  # noqa: ARG002 - the port's
        """Keep the rules of the condition and the unique index."""
        customers = self._subscriptions.customers
        taken = {customer for user, customer in customers.items() if user != user_id}
        if customers.get(user_id) != replaced or stripe_customer_id in taken:
            return False
        customers[user_id] = stripe_customer_id
        return True

    async def customer_of(self, user_id: str) -> str | None:
        """Return the user's customer."""
        return self._subscriptions.customers.get(user_id)

    def of_attempt(self, attempt_id: str) -> tuple[Subscription, ...]:
        """Return an attempt's subscriptions, in the order of the cart."""
        rows = self._subscriptions.rows.values()
        return tuple(self._with_invoices(row) for row in rows if row.checkout_attempt_id == attempt_id)

    def _unwritten(self, subscription_id: UUID, expected_version: int) -> Subscription | None:
        row = self._subscriptions.rows.get(subscription_id)
        return row if row is not None and row.version == expected_version else None

    def _write(self, row: Subscription, **changes: object) -> None:
        written: Subscription = replace(row, version=row.version + 1, **changes)  # type: ignore[arg-type]  # any field, by name
        self._subscriptions.rows[row.id] = written

    def _with_invoices(self, row: Subscription) -> Subscription:
        mine = [invoice for owner, invoice in self._subscriptions.invoices.values() if owner == row.id]
        mine.sort(key=lambda invoice: (invoice.created_at, invoice.stripe_invoice_id), reverse=True)
        return replace(row, invoices=tuple(mine[:MOST_INVOICES]))
