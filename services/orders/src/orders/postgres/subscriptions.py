"""Subscriptions on PostgreSQL, with a fixed number of statements for each method."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Executable, Row, exc, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from orders.domain.checkout import CheckoutContext
from orders.domain.pagination import Cursor
from orders.domain.subscriptions import (
    ENDED_STATUSES,
    StripeSnapshot,
    StripeState,
    StripeSubscriptionMismatch,
    Subscription,
    SubscriptionInvoice,
    SubscriptionStatus,
    UnfinishedSubscription,
)
from orders.postgres import subscription_statements as statements
from orders.postgres.connection import affected, constraint_of
from orders.postgres.rows import after_cursor
from orders.postgres.statements import SUBSCRIPTIONS
from orders.postgres.subscription_rows import (
    billed_items_to_rows,
    invoice_to_row,
    state_to_row,
    subscription_from_row,
    subscription_items_to_rows,
    subscription_to_row,
)
from orders.postgres.subscription_tables import ONE_ROW_PER_STRIPE_SUBSCRIPTION


class PostgresSubscriptionRepository:
    """Implements SubscriptionRepository."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, subscriptions: Sequence[Subscription], context: CheckoutContext) -> None:
        """Insert all subscriptions at once, then all their items."""
        if not subscriptions:
            return
        rows = [subscription_to_row(each, context, position) for position, each in enumerate(subscriptions)]
        await self._connection.execute(statements.INSERT_SUBSCRIPTIONS, rows)
        items = [row for each in subscriptions for row in subscription_items_to_rows(each)]
        await self._connection.execute(statements.INSERT_SUBSCRIPTION_ITEMS, items)

    async def lock(self, subscription_id: UUID) -> None:
        """Use one statement."""
        await self._connection.execute(statements.LOCK_SUBSCRIPTION, {"key_id": subscription_id})

    async def find(self, subscription_id: UUID) -> Subscription | None:
        """Use three statements."""
        return await self._find(statements.SELECT_SUBSCRIPTION, {"key_id": subscription_id})

    async def find_by_stripe_id(self, stripe_subscription_id: str) -> Subscription | None:
        """Use three statements."""
        return await self._find(statements.SELECT_BY_STRIPE_ID, {"bound_to": stripe_subscription_id})

    async def list_of_attempt(self, attempt_id: str) -> list[Subscription]:
        """Use three statements, however many subscriptions there are."""
        return await self._list(statements.SELECT_OF_ATTEMPT, {"attempt_id": attempt_id})

    async def list_of_user(self, user_id: str, after: Cursor | None, limit: int) -> list[Subscription]:
        """Use two statements, however many subscriptions there are."""
        statement = statements.SELECT_OF_USER.limit(limit)
        if after is not None:
            keyset = (SUBSCRIPTIONS.c.created_at, SUBSCRIPTIONS.c.id)
            statement = statement.where(after_cursor(keyset, after.at, UUID(after.id)))
        return await self._list(statement, {"user_id": user_id}, with_invoices=False)

    async def list_unfinished(
        self, created_before: datetime, after: Cursor | None, limit: int
    ) -> list[UnfinishedSubscription]:
        """Use one statement, on the index of those that are not activated."""
        statement = statements.SELECT_UNFINISHED.limit(limit)
        if after is not None:
            keyset = tuple_(SUBSCRIPTIONS.c.created_at, SUBSCRIPTIONS.c.id)
            statement = statement.where(keyset > tuple_(after.at, UUID(after.id)))
        rows = await self._connection.execute(statement, {"created_before": created_before})
        return [UnfinishedSubscription(row.id, row.created_at) for row in rows]

    async def begin_activation(self, subscription_id: UUID, abandon_generation: int, at: datetime) -> None:
        """Update the row if there is anything to record."""
        values = {"key_id": subscription_id, "abandoned_generation": abandon_generation, "began_at": at}
        await self._connection.execute(statements.BEGIN_ACTIVATION, values)

    async def bind(self, subscription_id: UUID, snapshot: StripeSnapshot) -> bool:
        """Update the row in a savepoint: another row may be bound to the same Stripe subscription."""
        values = {
            **_key(subscription_id, snapshot.expected_version),
            **state_to_row(snapshot.state, snapshot.expected_version + 1),
            "stripe_subscription_id": snapshot.state.stripe_subscription_id,
            "activation_failure": None,
            "has_ended": snapshot.state.status in ENDED_STATUSES,
        }
        try:
            async with self._connection.begin_nested():
                bound = await affected(self._connection, statements.BIND, values)
        except exc.IntegrityError as error:
            if constraint_of(error) != ONE_ROW_PER_STRIPE_SUBSCRIPTION:
                raise
            raise StripeSubscriptionMismatch from None
        return bound and await self._replace_billed_items(subscription_id, snapshot.state)

    async def cancel_pending(self, subscription_id: UUID, expected_version: int, at: datetime) -> bool:
        """Update the row if it has the version."""
        values = {**_key(subscription_id, expected_version), "cancel_requested_at": at}
        return await affected(self._connection, statements.CANCEL_PENDING, values)

    async def fail_activation(self, subscription_id: UUID, expected_version: int, failure: str, at: datetime) -> bool:
        """Update the row if it has the version."""
        values = {
            **_key(subscription_id, expected_version),
            "status": SubscriptionStatus.ACTIVATION_FAILED,
            "activation_failure": failure,
            "activation_failed_at": at,
            "activation_began_at": None,
            "version": expected_version + 1,
        }
        return await affected(self._connection, statements.FAIL_ACTIVATION, values)

    async def retry_activation(
        self, subscription_id: UUID, expected_version: int | None, payment_method_id: str | None
    ) -> bool:
        """Update the row if its activation failed."""
        values = {
            "key_id": subscription_id,
            "expected_version": expected_version,
            "payment_method_id": payment_method_id,
        }
        return await affected(self._connection, statements.RETRY_ACTIVATION, values)

    async def apply_state(self, subscription_id: UUID, snapshot: StripeSnapshot) -> bool:
        """Update the row if it has the version, and replace its items in the same transaction."""
        values = {
            **_key(subscription_id, snapshot.expected_version),
            **state_to_row(snapshot.state, snapshot.expected_version + 1),
            "bound_to": snapshot.state.stripe_subscription_id,
        }
        applied = await affected(self._connection, statements.APPLY_STATE, values)
        return applied and await self._replace_billed_items(subscription_id, snapshot.state)

    async def put_invoice(self, subscription_id: UUID, invoice: SubscriptionInvoice) -> bool:
        """Insert the invoice, or update it if it is not another subscription's."""
        row = {**invoice_to_row(invoice), "subscription_id": subscription_id}
        return await affected(self._connection, statements.PUT_INVOICE, row)

    async def _replace_billed_items(self, subscription_id: UUID, state: StripeState) -> bool:
        await self._connection.execute(statements.DELETE_BILLED_ITEMS, {"key_id": subscription_id})
        if rows := billed_items_to_rows(subscription_id, state):
            await self._connection.execute(statements.INSERT_BILLED_ITEMS, rows)
        return True

    async def _find(self, statement: Executable, values: dict[str, Any]) -> Subscription | None:
        found = await self._list(statement, values)
        return found[0] if found else None

    async def _list(
        self, statement: Executable, values: dict[str, Any], *, with_invoices: bool = True
    ) -> list[Subscription]:
        rows = (await self._connection.execute(statement, values)).all()
        ids = [row.id for row in rows]
        items = await self._by_subscription(statements.SELECT_ITEMS, ids)
        invoices = await self._by_subscription(statements.SELECT_INVOICES, ids if with_invoices else [])
        return [subscription_from_row(row, items[row.id], invoices.get(row.id, [])) for row in rows]

    async def _by_subscription(self, statement: Executable, ids: list[UUID]) -> dict[UUID, list[Row[Any]]]:
        found: dict[UUID, list[Row[Any]]] = {subscription_id: [] for subscription_id in ids}
        if ids:
            for row in await self._connection.execute(statement, {"subscription_ids": ids}):
                found[row.subscription_id].append(row)
        return found


def _key(subscription_id: UUID, expected_version: int) -> dict[str, Any]:
    return {"key_id": subscription_id, "expected_version": expected_version}
