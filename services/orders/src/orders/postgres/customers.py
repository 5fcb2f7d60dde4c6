"""Stripe customers of users on PostgreSQL."""

from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncConnection

from orders.postgres import subscription_statements as statements
from orders.postgres.connection import affected


class PostgresCustomerRepository:
    """Implements CustomerRepository."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, user_id: str, stripe_customer_id: str) -> bool:
        """Insert the row, unless a constraint refuses it."""
        row = {"user_id": user_id, "stripe_customer_id": stripe_customer_id}
        return await affected(self._connection, statements.INSERT_CUSTOMER, row)

    async def replace(self, user_id: str, replaced: str, stripe_customer_id: str) -> bool:
        """Update the row in a savepoint: another user may have the new customer."""
        values = {"key_user_id": user_id, "replaced": replaced, "stripe_customer_id": stripe_customer_id}
        try:
            async with self._connection.begin_nested():
                return await affected(self._connection, statements.REPLACE_CUSTOMER, values)
        except exc.IntegrityError:
            return False

    async def find(self, user_id: str) -> str | None:
        """Use one statement."""
        found = await self._connection.execute(statements.SELECT_CUSTOMER, {"key_user_id": user_id})
        return found.scalar_one_or_none()
