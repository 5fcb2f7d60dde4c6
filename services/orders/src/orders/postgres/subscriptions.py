"""Subscriptions and customers on PostgreSQL: Core statements, a fixed number of them for each call."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Executable, Row, exc
from sqlalchemy.ext.asyncio import AsyncConnection

from orders.domain.pagination import Cursor
from orders.domain.subscriptions import (
    Sighting,
    StripeState,
    StripeSubscriptionMismatch,
    Subscription,
    SubscriptionInvoice,
    SubscriptionStatus,
)
from orders.postgres import subscription_statements as statements
from orders.postgres.connection import constraint_of
from orders.postgres.rows import below
from orders.postgres.statements import SUBSCRIPTIONS
from orders.postgres.subscription_rows import (
    invoice_of,
    invoice_values,
    state_values,
    subscription_item_values,
    subscription_of,
    subscription_values,
)
from orders.postgres.subscription_tables import ONE_ROW_PER_STRIPE_SUBSCRIPTION


class PostgresSubscriptionLedger:
    """What a transaction can do with subscriptions and customers. Implements SubscriptionLedger."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add_subscriptions(self, subscriptions: Sequence[Subscription]) -> None:
        """Insert them all at once, then all their items."""
        if not subscriptions:
            return
        rows = [subscription_values(each, position) for position, each in enumerate(subscriptions)]
        await self._connection.execute(statements.ADD_SUBSCRIPTIONS, rows)
        items = [values for each in subscriptions for values in subscription_item_values(each)]
        await self._connection.execute(statements.ADD_SUBSCRIPTION_ITEMS, items)

    async def subscription(self, subscription_id: UUID) -> Subscription | None:
        """Use three statements."""
        return await self._one(statements.FIND_SUBSCRIPTION, {"wanted_id": subscription_id})

    async def hold_subscription(self, subscription_id: UUID) -> None:
        """Use one statement."""
        await self._connection.execute(statements.HOLD_SUBSCRIPTION, {"wanted_id": subscription_id})

    async def subscription_bound_to(self, stripe_subscription_id: str) -> Subscription | None:
        """Use three statements."""
        return await self._one(statements.FIND_BOUND, {"bound_to": stripe_subscription_id})

    async def subscriptions_of(self, user_id: str, before: Cursor | None, limit: int) -> list[Subscription]:
        """Use two statements, however many subscriptions."""
        statement = statements.LIST_SUBSCRIPTIONS.limit(limit)
        if before is not None:
            place = (SUBSCRIPTIONS.c.created_at, SUBSCRIPTIONS.c.id)
            statement = statement.where(below(place, before.at, UUID(before.id)))
        return await self._all(statement, {"user_id": user_id}, with_invoices=False)

    async def begin_activation(self, subscription_id: UUID, abandon_generation: int, at: datetime) -> None:
        """Update under the guard that there is something to note."""
        values = {
            "wanted_id": subscription_id,
            "abandoned_generation": abandon_generation,
            "activation_began_at": at,
            "updated_at": at,
        }
        await self._connection.execute(statements.BEGIN_ACTIVATION, values)

    async def bind(self, subscription_id: UUID, expected_version: int, state: StripeState, at: datetime) -> bool:
        """Update under the guard of the version, in a savepoint: another row may be bound to it."""
        values = {
            **_guard(subscription_id, expected_version),
            **state_values(state, expected_version + 1, at),
            "stripe_subscription_id": state.stripe_subscription_id,
            "activation_failure": None,
        }
        try:
            async with self._connection.begin_nested():
                return await self._hits(statements.BIND, values)
        except exc.IntegrityError as error:
            if constraint_of(error) != ONE_ROW_PER_STRIPE_SUBSCRIPTION:
                raise
            raise StripeSubscriptionMismatch from None

    async def fail_activation(self, subscription_id: UUID, expected_version: int, failure: str, at: datetime) -> bool:
        """Update under the guard of the version."""
        values = {
            **_guard(subscription_id, expected_version),
            "status": SubscriptionStatus.ACTIVATION_FAILED,
            "activation_failure": failure,
            "activation_began_at": None,
            "version": expected_version + 1,
            "updated_at": at,
        }
        return await self._hits(statements.FAIL_ACTIVATION, values)

    async def apply_state(self, subscription_id: UUID, sighting: Sighting, at: datetime) -> bool:
        """Update under the guard of the version."""
        values = {
            **_guard(subscription_id, sighting.expected_version),
            **state_values(sighting.state, sighting.expected_version + 1, at),
            "bound_to": sighting.state.stripe_subscription_id,
        }
        return await self._hits(statements.APPLY_STATE, values)

    async def put_invoice(self, subscription_id: UUID, invoice: SubscriptionInvoice, at: datetime) -> bool:
        """Insert or update under the guard that it is not another subscription's."""
        values = {**invoice_values(invoice), "subscription_id": subscription_id, "updated_at": at}
        return await self._hits(statements.PUT_INVOICE, values)

    async def add_customer(self, user_id: str, stripe_customer_id: str, at: datetime) -> bool:
        """Insert the row, unless a constraint stands in the way."""
        values = {"user_id": user_id, "stripe_customer_id": stripe_customer_id, "created_at": at, "updated_at": at}
        return await self._hits(statements.ADD_CUSTOMER, values)

    async def replace_customer(self, user_id: str, replaced: str, stripe_customer_id: str, at: datetime) -> bool:
        """Update under the guard that it is still the named one, in a savepoint: somebody else may have the new one."""
        values = {
            "wanted_user": user_id,
            "replaced": replaced,
            "stripe_customer_id": stripe_customer_id,
            "updated_at": at,
        }
        try:
            async with self._connection.begin_nested():
                return await self._hits(statements.REPLACE_CUSTOMER, values)
        except exc.IntegrityError:
            return False

    async def customer_of(self, user_id: str) -> str | None:
        """Use one statement."""
        found = await self._connection.execute(statements.FIND_CUSTOMER, {"wanted_user": user_id})
        return found.scalar_one_or_none()

    async def _subscriptions_of_attempt(self, attempt_id: str) -> tuple[Subscription, ...]:
        return tuple(await self._all(statements.FIND_OF_ATTEMPT, {"attempt_id": attempt_id}))

    async def _hits(self, statement: Executable, values: dict[str, Any]) -> bool:
        return (await self._connection.execute(statement, values)).first() is not None

    async def _one(self, statement: Executable, values: dict[str, Any]) -> Subscription | None:
        found = await self._all(statement, values)
        return found[0] if found else None

    async def _all(
        self, statement: Executable, values: dict[str, Any], *, with_invoices: bool = True
    ) -> list[Subscription]:
        rows = (await self._connection.execute(statement, values)).all()
        ids = [row.id for row in rows]
        items = await self._by_subscription(statements.FIND_SUBSCRIPTION_ITEMS, ids)
        invoices = await self._by_subscription(statements.FIND_INVOICES, ids if with_invoices else [])
        return [
            subscription_of(row, items[row.id], [invoice_of(each) for each in invoices.get(row.id, [])]) for row in rows
        ]

    async def _by_subscription(self, statement: Executable, ids: list[UUID]) -> dict[UUID, list[Row[Any]]]:
        found: dict[UUID, list[Row[Any]]] = {subscription_id: [] for subscription_id in ids}
        if ids:
            for row in await self._connection.execute(statement, {"subscription_ids": ids}):
                found[row.subscription_id].append(row)
        return found


def _guard(subscription_id: UUID, expected_version: int) -> dict[str, Any]:
    return {"wanted_id": subscription_id, "expected_version": expected_version}
