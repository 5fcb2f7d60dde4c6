"""Readiness: the database answers, and has the revision of the code. Warnings about its settings are logged once."""

import pytest
from sqlalchemy import text

from orders.postgres.connection import open_engine
from orders.postgres.migrate import upgrade

from ..schema import set_schema_version
from ..service import connected, served, serving, settings_for, until


async def test_migrating_makes_a_running_service_ready(empty_database_url: str) -> None:
    """Without a restart."""
    async with served(empty_database_url) as channel:
        before = await serving(channel)

        await upgrade(empty_database_url)

        assert not before
        await until(lambda: serving(channel))


@pytest.mark.parametrize(
    ("revision", "oldest_code", "ready"),
    [("0000_older", 1, False), ("9999_newer", 1, True), ("9999_newer", 9999, False)],
    ids=["older schema", "newer schema", "newer schema without what this code needs"],
)
async def test_the_service_is_ready_on_a_range_of_schemas(
    own_database_url: str,
    revision: str,
    oldest_code: int,
    ready: bool,  # noqa: FBT001 - a parameter
) -> None:
    """At least its own, and one on which its own revision may still run."""
    await set_schema_version(own_database_url, revision, oldest_code)

    async with served(own_database_url) as channel:
        assert await serving(channel) == ready


@pytest.mark.parametrize(
    ("setting", "value"),
    [("log_error_verbosity", "default"), ("log_parameter_max_length", -1), ("log_parameter_max_length_on_error", 9)],
)
async def test_p7_a_database_whose_log_may_quote_rows_is_logged(
    own_database_url: str, caplog: pytest.LogCaptureFixture, setting: str, value: object
) -> None:
    """Once. Only its administrator can change it, and it is no reason to refuse buyers."""
    async with served(own_database_url) as channel:
        assert await serving(channel)
    before = caplog.text.count("may quote rows")

    async with connected(own_database_url) as sql:
        name = await sql.fetchval("SELECT current_database()")
        await sql.execute(f"ALTER DATABASE {name} SET {setting} = '{value}'")
    async with served(own_database_url) as channel:
        assert await serving(channel)
        assert await serving(channel)

    assert (before, caplog.text.count("may quote rows")) == (0, 1)


async def test_a_database_without_fsync_is_logged(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Once. That of the tests is fast and not durable."""
    async with served(database_url) as channel:
        assert await serving(channel)
        assert await serving(channel)

    assert caplog.text.count("fsync is off") == 1


@pytest.mark.parametrize(
    ("setting", "default", "here"),
    [("synchronous_commit", "off", "on"), ("default_transaction_isolation", "repeatable read", "read committed")],
)
async def test_what_the_promises_need_of_a_session_holds_whatever_the_servers_default(
    own_database_url: str, setting: str, default: str, here: str
) -> None:
    """The attempt is deleted once its purchase is on disk (P4), and a statement sees what a lock waited for (P3)."""
    async with connected(own_database_url) as sql:
        name = await sql.fetchval("SELECT current_database()")
        await sql.execute(f"ALTER DATABASE {name} SET {setting} = '{default}'")
    engine = open_engine(own_database_url, settings_for(own_database_url).limits)
    async with engine.connect() as connection:
        found = (await connection.execute(text(f"SHOW {setting}"))).scalar_one()
    await engine.dispose()

    assert found == here
