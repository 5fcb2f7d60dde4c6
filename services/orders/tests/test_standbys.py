"""With synchronous standbys nothing is acknowledged before they have it, at first or when it is asked again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from checkout.orders.v1 import orders_pb2 as pb

from .reports import aside, purchase
from .service import Client, connected, count, refusal, served, settings_for, until
from .test_activation import activate, begun, fail
from .test_outages import UNAVAILABLE

Call = Callable[[Client], Awaitable[object]]
SOON = {"statement_timeout_seconds": 0.5, "database_tries": 1}
WAITERS = """
    SELECT array_agg(pid) FROM pg_stat_activity WHERE application_name = 'orders' AND wait_event = 'SyncRep'
"""


@asynccontextmanager
async def standby_missing(database_url: str) -> AsyncIterator[None]:
    """Let every commit wait for a standby that there is not."""
    async with connected(database_url) as sql:
        try:
            await _configure(sql, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
            await until(lambda: _commits_wait(database_url))
            yield
        finally:
            await _configure(sql, "ALTER SYSTEM RESET synchronous_standby_names")
            await until(lambda: _commits_pass(database_url))


async def _configure(sql: Any, statement: str) -> None:
    await sql.execute(statement)
    await sql.execute("SELECT pg_reload_conf()")


async def _commits_wait(database_url: str) -> bool:
    """Whether a commit that writes waits: it is PostgreSQL's checkpointer that decides it, and not at once."""
    async with connected(database_url) as probe:
        try:
            await probe.execute("SELECT pg_logical_emit_message(true, 'probe', '')", timeout=0.5)
        except TimeoutError:
            return True
    return False


async def _commits_pass(database_url: str) -> bool:
    return not await _commits_wait(database_url)


def decisions() -> dict[str, Call]:
    """Return what may be asked of payments."""
    report, set_aside = purchase(), aside(purchase())
    return {
        "RecordPurchase": lambda orders: orders.RecordPurchase(report),
        "QuarantinePayment": lambda orders: orders.QuarantinePayment(set_aside),
    }


@pytest.mark.parametrize("rpc", decisions())
async def test_a_decision_that_no_standby_has_is_not_acknowledged(database_url: str, sql: Any, rpc: str) -> None:
    """It is committed here, and might be lost with this server: neither it nor its repeat counts."""
    call = decisions()[rpc]
    async with served(settings_for(database_url, **SOON)) as channel:
        orders = Client(channel)
        async with standby_missing(database_url):
            errors = [await refusal(call(orders)) for _ in range(3)]
            here = await count(sql, "payments")

        answer: Any = await call(orders)

    assert errors == [UNAVAILABLE] * 3
    assert here == 1
    assert answer.already_recorded


@pytest.mark.parametrize("settle", [activate, fail])
async def test_an_activation_that_no_standby_has_is_not_acknowledged(
    database_url: str, settle: Callable[[Client, pb.Subscription], Awaitable[pb.Subscription]]
) -> None:
    """Else it would be pending again after a failover, and nobody would come back for it."""
    async with served(settings_for(database_url, **SOON)) as channel:
        orders = Client(channel)
        subscription = await begun(orders)
        async with standby_missing(database_url):
            errors = [await refusal(settle(orders, subscription)) for _ in range(3)]

        settled = await settle(orders, subscription)

    assert errors == [UNAVAILABLE] * 3
    assert settled.version == subscription.version + 1


@pytest.mark.parametrize("told", ["notice", "error"])
async def test_a_commit_that_somebody_cancels_is_not_acknowledged(database_url: str, sql: Any, told: str) -> None:
    """PostgreSQL then warns that the standbys have not got it, and reports success; whatever it is told to tell."""
    await sql.execute(
        f"ALTER DATABASE {await sql.fetchval('SELECT current_database()')} SET client_min_messages = {told}"
    )
    settings = settings_for(database_url, statement_timeout_seconds=30, call_timeout_seconds=60, database_tries=1)
    async with served(settings) as channel, standby_missing(database_url):
        call = asyncio.ensure_future(refusal(Client(channel).RecordPurchase(purchase())))
        await until(lambda: _waits_for_standby(sql))
        await sql.execute("SELECT pg_cancel_backend(pid) FROM unnest($1::int[]) AS pid", await sql.fetchval(WAITERS))
        error = await call

    assert error == UNAVAILABLE
    assert await count(sql, "orders") == 1


async def _waits_for_standby(sql: Any) -> bool:
    return await sql.fetchval(WAITERS) is not None
