"""Stripe customers of users, one for each currency, on PostgreSQL."""

from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncConnection

from orders.domain.customers import CustomerOwner
from orders.postgres import subscription_statements as statements
from orders.postgres.connection import affected


class PostgresCustomerRepository:
    """Implements CustomerRepository."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, owner: CustomerOwner, stripe_customer_id: str) -> bool:
        """Insert the row, unless a constraint refuses it."""
        row = {"user_id": owner.user_id, "currency": owner.currency, "stripe_customer_id": stripe_customer_id}
        return await affected(self._connection, statements.INSERT_CUSTOMER, row)

    async def replace(self, owner: CustomerOwner, replaced: str, stripe_customer_id: str) -> bool:
        """Update the row in a savepoint: another owner may have the new customer."""
        values = {**_key(owner), "replaced": replaced, "stripe_customer_id": stripe_customer_id}
        try:
            async with self._connection.begin_nested():
                return await affected(self._connection, statements.REPLACE_CUSTOMER, values)
        except exc.IntegrityError:
            return False

    async def find(self, owner: CustomerOwner) -> str | None:
        """Use one statement."""
        return (await self._connection.execute(statements.SELECT_CUSTOMER, _key(owner))).scalar_one_or_none()

    async def is_erased(self, stripe_customer_id: str) -> bool:
        """Use one statement."""
        values = {"stripe_customer_id": stripe_customer_id}
        return bool((await self._connection.execute(statements.IS_CUSTOMER_ERASED, values)).scalar_one())


def _key(owner: CustomerOwner) -> dict[str, str]:
    return {"key_user_id": owner.user_id, "key_currency": owner.currency}
