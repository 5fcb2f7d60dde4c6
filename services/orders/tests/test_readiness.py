"""The service is ready on its own revision of the schema only."""

import pytest
from sqlalchemy import text

from orders.postgres.connection import DatabaseLimits, open_engine
from orders.postgres.migrate import upgrade

from .service import connected, served, serving, settings_for, until


async def test_a_migrated_database_makes_the_service_ready(database_url: str) -> None:
    """From the first answer."""
    async with served(settings_for(database_url)) as channel:
        assert await serving(channel)


@pytest.mark.parametrize("revision", ["0000", "9999"])
async def test_another_revision_is_not_ready(database_url: str, revision: str) -> None:
    """Neither an older nor a newer one: the code would misread the tables."""
    async with connected(database_url) as sql:
        await sql.execute("UPDATE alembic_version SET version_num = $1", revision)

    async with served(settings_for(database_url)) as channel:
        assert not await serving(channel)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("log_error_verbosity", "default"), ("log_parameter_max_length", -1), ("log_parameter_max_length_on_error", 9)],
)
async def test_p7_a_database_whose_log_may_quote_a_row_is_told(
    database_url: str, caplog: pytest.LogCaptureFixture, setting: str, value: object
) -> None:
    """Once. It is its administrator's to mend, and no reason to turn buyers away."""
    async with connected(database_url) as sql:
        name = await sql.fetchval("SELECT current_database()")
        async with served(settings_for(database_url)) as channel:
            assert await serving(channel)
        silent = "may quote" not in caplog.text

        await sql.execute(f"ALTER DATABASE {name} SET {setting} = '{value}'")
        async with served(settings_for(database_url)) as channel:
            assert await serving(channel)

    assert silent
    assert caplog.text.count("may quote rows") == 1


async def test_a_database_that_may_lose_what_it_committed_is_told(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is its administrator's to mend; a test's own database is as fast as it can be."""
    async with served(settings_for(database_url)) as channel:
        assert await serving(channel)
        assert await serving(channel)

    assert caplog.text.count("fsync is off") == 1


async def test_a_commit_waits_for_the_disk_whatever_the_servers_default(database_url: str) -> None:
    """Once a purchase is recorded its attempt is deleted: nobody else knows it any more."""
    async with connected(database_url) as sql:
        name = await sql.fetchval("SELECT current_database()")
        await sql.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    limits = DatabaseLimits(
        pool_size=1, connect_timeout_seconds=10, statement_timeout_seconds=10, lock_timeout_seconds=10
    )
    engine = open_engine(database_url, limits)
    async with engine.connect() as connection:
        found = (await connection.execute(text("SHOW synchronous_commit"))).scalar_one()
    await engine.dispose()

    assert found == "on"


async def test_migrating_makes_a_running_service_ready(empty_database_url: str) -> None:
    """Without a restart."""
    async with served(settings_for(empty_database_url)) as channel:
        before = await serving(channel)

        await upgrade(empty_database_url)

        assert not before
        await until(lambda: serving(channel))
