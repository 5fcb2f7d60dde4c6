"""A read-only database: calls fail as unavailable, and succeed again without a restart."""

import asyncio

import pytest
from sqlalchemy import exc

from checkout.orders.v1 import orders_pb2 as pb
from orders.postgres.migrate import upgrade

from ..builders import purchase, quarantine
from ..service import UNAVAILABLE, Client, connected, error_of, served, serving, until

POOL = 10


@pytest.fixture(params=["read-write", "any"])
def url(own_database_url: str, request: pytest.FixtureRequest) -> str:
    """Return a URL: the service's default refuses read-only sessions, `any` fills the pool with them."""
    return own_database_url if request.param == "read-write" else any_session(own_database_url)


def any_session(database_url: str) -> str:
    """Return the URL for sessions of any kind."""
    return f"{database_url}{'&' if '?' in database_url else '?'}target_session_attrs=any"


async def set_read_only(database_url: str, *, on: bool) -> None:
    """Make sessions that begin from now on read-only for their life, as on a standby or with a full disk."""
    async with connected(database_url) as sql:
        await sql.execute("SET default_transaction_read_only = off")
        name = await sql.fetchval("SELECT current_database()")
        await sql.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {'on' if on else 'off'}")


async def test_writes_succeed_again_with_the_database(
    own_database_url: str, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Every write is UNAVAILABLE while it is read-only, and none afterwards. The log has one cause for all."""
    async with served(url) as channel:
        orders = Client(channel)
        await set_read_only(own_database_url, on=True)
        errors = await asyncio.gather(*(error_of(orders.RecordPurchase(purchase())) for _ in range(POOL)))
        errors.append(await error_of(orders.QuarantinePayment(quarantine(purchase()))))

        await set_read_only(own_database_url, on=False)
        answers = await asyncio.gather(*(orders.RecordPurchase(purchase()) for _ in range(POOL)))

    causes = {record.__dict__["cause"] for record in caplog.records if record.message == "database unavailable"}
    assert errors == [UNAVAILABLE] * (POOL + 1)
    assert not any(answer.already_recorded for answer in answers)
    assert causes == {"read-only"}


async def test_one_rejected_write_discards_all_read_only_sessions(own_database_url: str) -> None:
    """Every session of the pool is read-only, reads succeed in them, and a call has a single try."""
    async with served(any_session(own_database_url), database_tries=1) as channel:
        orders = Client(channel)
        await set_read_only(own_database_url, on=True)
        await asyncio.gather(*(orders.ListOrders(pb.ListOrdersRequest(user_id="user_1")) for _ in range(POOL)))
        await set_read_only(own_database_url, on=False)
        first = await error_of(orders.RecordPurchase(purchase()))

        answers = [await orders.RecordPurchase(purchase()) for _ in range(POOL)]

    assert first == UNAVAILABLE
    assert len(answers) == POOL


async def test_a_read_only_database_is_not_ready(
    own_database_url: str, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has the reason; the service becomes ready without a restart."""
    await set_read_only(own_database_url, on=True)
    async with served(url) as channel:
        before = await serving(channel)
        await set_read_only(own_database_url, on=False)

        await until(lambda: serving(channel))

    reasons = {record.__dict__["reason"] for record in caplog.records if record.message == "not ready"}
    assert not before
    assert reasons == {"the database is read-only"}


async def test_a_migration_needs_a_server_that_takes_writes(own_database_url: str) -> None:
    """Of several hosts it takes the primary; without one it fails before it tries anything."""
    await set_read_only(own_database_url, on=True)

    with pytest.raises(exc.DBAPIError, match="target attribute requirement"):
        await upgrade(own_database_url)
