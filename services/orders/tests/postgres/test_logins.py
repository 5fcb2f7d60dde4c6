"""The database's password is replaced by the commands of docs/secrets.md."""

from urllib.parse import urlsplit

import asyncpg  # type: ignore[import-untyped] # asyncpg ships no types
import pytest

from devstack.embedded_postgres import EmbeddedPostgres
from orders.postgres.migrate import upgrade
from tests.docs.documented_commands import run_sql_commands

from ..builders import purchase
from ..service import Client, connected, served


async def test_two_logins_take_turns_without_a_pause() -> None:
    """Servers of both work at once, on one schema, and only the new login is left."""
    with EmbeddedPostgres.temporary() as postgres:
        admin = postgres.create_database("orders")
        first, second = as_login(admin, "orders_a", "first"), as_login(admin, "orders_b", "second")
        run_sql_commands("Two logins", admin, PASSWORD="first")
        await upgrade(first)
        async with served(first) as old_server:
            await Client(old_server).RecordPurchase(purchase())
            run_sql_commands("Replace the password", admin, NEW_PASSWORD="second")
            async with served(second) as new_server:
                for channel in (new_server, old_server):
                    await Client(channel).RecordPurchase(purchase())
                run_sql_commands("End the old login", admin)

                await Client(new_server).RecordPurchase(purchase())
                await upgrade(second)
                with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
                    await asyncpg.connect(first)
        async with connected(second) as sql:
            owners = await sql.fetch("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
            recorded = await sql.fetchval("SELECT count(*) FROM orders")
    assert [row["tableowner"] for row in owners] == ["orders_owner"]
    assert recorded == 4


def as_login(url: str, user: str, password: str) -> str:
    """Return the URL of a database with another user."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{user}:{password}@{parts.hostname}:{parts.port}").geturl()
