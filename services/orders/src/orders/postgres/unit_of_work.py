"""Unit of work on PostgreSQL: one transaction, READ COMMITTED.

Constraints decide races, and locks make calls about one intent or one attempt take turns.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orders.domain.outbox import OutboxEvent
from orders.postgres.audit import PostgresAuditRepository
from orders.postgres.connection import commit, translate_errors
from orders.postgres.content_encryption import ContentCipher
from orders.postgres.customers import PostgresCustomerRepository
from orders.postgres.purchases import PostgresPurchaseRepository
from orders.postgres.refunds import PostgresRefundRepository
from orders.postgres.rows import outbox_event_to_row
from orders.postgres.settlements import PostgresSettlementRepository
from orders.postgres.statements import INSERT_OUTBOX_EVENT, LOCK_ID, LOCK_INTENT_AND_ATTEMPT
from orders.postgres.stripe_events import PostgresStripeEventRepository
from orders.postgres.subscriptions import PostgresSubscriptionRepository
from orders.usecases.unit_of_work import UnitOfWork
from servicekit.encryption import Keyring


class PostgresUnitOfWorkFactory:
    """Begins units of work. Implements UnitOfWorkFactory."""

    def __init__(self, engine: AsyncEngine, keyring: Keyring) -> None:
        self._engine = engine
        self._cipher = ContentCipher(keyring)

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        """Begin a transaction, which rolls back unless it is committed."""
        with translate_errors():
            async with self._engine.connect() as connection:
                yield PostgresUnitOfWork(connection, self._cipher)


class PostgresUnitOfWork:
    """One transaction. Implements UnitOfWork."""

    def __init__(self, connection: AsyncConnection, cipher: ContentCipher) -> None:
        self._connection = connection
        self.subscriptions = PostgresSubscriptionRepository(connection)
        self.purchases = PostgresPurchaseRepository(connection, cipher, self.subscriptions)
        self.settlements = PostgresSettlementRepository(connection, cipher)
        self.refunds = PostgresRefundRepository(connection)
        self.customers = PostgresCustomerRepository(connection)
        self.stripe_events = PostgresStripeEventRepository(connection)
        self.audit = PostgresAuditRepository(connection)

    async def lock_intent(self, intent_id: str) -> None:
        """Take an advisory lock, which is released with the transaction."""
        await self._connection.execute(LOCK_ID, {"locked_id": intent_id})

    async def lock_attempt(self, attempt_id: str) -> None:
        """Take an advisory lock, which is released with the transaction."""
        await self._connection.execute(LOCK_ID, {"locked_id": attempt_id})

    async def lock_intent_and_attempt(self, intent_id: str, attempt_id: str) -> None:
        """Take both advisory locks in one statement."""
        await self._connection.execute(LOCK_INTENT_AND_ATTEMPT, {"intent_id": intent_id, "attempt_id": attempt_id})

    async def enqueue_event(self, event: OutboxEvent, at: datetime) -> None:
        """Insert an event into the outbox."""
        await self._connection.execute(INSERT_OUTBOX_EVENT, outbox_event_to_row(event, at))

    async def commit(self) -> None:
        """Commit the transaction, on the synchronous standbys too."""
        await commit(self._connection)
