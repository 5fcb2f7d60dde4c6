"""A database that takes no writes: it is told, waited for, and used again without a restart."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from sqlalchemy import exc

from checkout.orders.v1 import orders_pb2 as pb
from orders.postgres.migrate import upgrade
from servicekit.errors import ReportedError

from .reports import aside, purchase
from .service import Client, refusal, served, serving, settings_for, until

UNAVAILABLE = ReportedError(grpc.StatusCode.UNAVAILABLE, "database_unavailable")
POOL = 10


def as_it_is(database_url: str) -> str:
    """Return the URL for what the service takes by itself."""
    return database_url


def taking_any(database_url: str) -> str:
    """Return the URL for sessions of any kind, so that the pool fills with read-only ones."""
    return f"{database_url}{'&' if '?' in database_url else '?'}target_session_attrs=any"


@asynccontextmanager
async def read_only(sql: Any) -> AsyncIterator[None]:
    """Let every session that begins now be read-only, as on a standby or on a full disk; it stays so for its life."""
    name = await sql.fetchval("SELECT current_database()")
    await sql.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    try:
        yield
    finally:
        await sql.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")


@pytest.mark.parametrize("spelled", [as_it_is, taking_any])
async def test_writes_heal_with_the_database(database_url: str, sql: Any, spelled: Callable[[str], str]) -> None:
    """Each is UNAVAILABLE while it is read-only; then none fails for a session that began in that time."""
    async with served(settings_for(spelled(database_url))) as channel:
        orders = Client(channel)
        async with read_only(sql):
            refused = await asyncio.gather(*(refusal(orders.RecordPurchase(purchase())) for _ in range(POOL)))
            refused.append(await refusal(orders.QuarantinePayment(aside(purchase()))))

        answers = await asyncio.gather(*(orders.RecordPurchase(purchase()) for _ in range(POOL)))

    assert refused == [UNAVAILABLE] * (POOL + 1)
    assert not any(answer.already_recorded for answer in answers)


async def test_one_refused_write_empties_the_pool_of_its_like(database_url: str, sql: Any) -> None:
    """Every session of the pool began read-only, and a call has a single try: the second call is answered."""
    settings = settings_for(taking_any(database_url), database_tries=1)
    async with served(settings) as channel:
        orders = Client(channel)
        async with read_only(sql):
            await asyncio.gather(*(orders.ListOrders(pb.ListOrdersRequest(user_id="user_1")) for _ in range(POOL)))
        first = await refusal(orders.RecordPurchase(purchase()))

        answers = [await orders.RecordPurchase(purchase()) for _ in range(POOL)]

    assert first == UNAVAILABLE
    assert len(answers) == POOL


@pytest.mark.parametrize("spelled", [as_it_is, taking_any])
async def test_a_read_only_database_makes_the_service_unready(
    database_url: str, sql: Any, caplog: pytest.LogCaptureFixture, spelled: Callable[[str], str]
) -> None:
    """The log has the reason; once it takes writes again, the service is ready without a restart."""
    async with read_only(sql), served(settings_for(spelled(database_url))) as channel:
        before = await serving(channel)
        await sql.execute(f"ALTER DATABASE {database_name(database_url)} RESET default_transaction_read_only")

        await until(lambda: serving(channel))

    reasons = [record.__dict__["reason"] for record in caplog.records if record.message == "not ready"]
    assert not before
    assert reasons == ["the database is read-only"]


def database_name(database_url: str) -> str:
    """Return the name of the database in a URL."""
    return database_url.rpartition("/")[2].partition("?")[0]


async def test_an_operator_reads_that_the_database_is_read_only(
    database_url: str, sql: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether a statement was refused or no session to be had: the cause has one name."""
    for url in (database_url, taking_any(database_url)):
        async with read_only(sql), served(settings_for(url, database_tries=1)) as channel:
            caplog.clear()
            await refusal(Client(channel).RecordPurchase(purchase()))

        causes = {record.__dict__["cause"] for record in caplog.records if record.message == "database unavailable"}
        assert causes == {"read-only"}


async def test_the_url_may_ask_for_sessions_of_any_kind(database_url: str, sql: Any) -> None:
    """Whoever asks so reads from a read-only database."""
    async with read_only(sql), served(settings_for(taking_any(database_url))) as channel:
        page = await Client(channel).ListOrders(pb.ListOrdersRequest(user_id="user_1"))

    assert not page.orders


async def test_a_migration_looks_for_a_server_that_takes_writes(database_url: str, sql: Any) -> None:
    """Of several hosts it takes the primary; there is none here, and it says so before it tries anything."""
    async with read_only(sql):
        with pytest.raises(exc.DBAPIError, match="target attribute requirement"):
            await upgrade(database_url)
