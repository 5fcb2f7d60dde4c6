"""Synchronous standbys: nothing is acknowledged before they have it, at first or when it is repeated."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from checkout.orders.v1 import orders_pb2 as pb

from ..builders import purchase, quarantine, quarantine_with_content
from ..calls import activate, begun, cancel, fail
from ..command_runner import environment, run
from ..service import UNAVAILABLE, Client, connected, count, error_of, served, until

WAITERS = """
    SELECT coalesce(array_agg(pid), '{}') FROM pg_stat_activity
     WHERE application_name = 'orders' AND wait_event = 'SyncRep'
"""
SHORT = {"statement_timeout_seconds": 0.3, "database_tries": 1}

Change = Callable[[Client, pb.Subscription], Awaitable[pb.Subscription]]


@asynccontextmanager
async def standby_missing(database_url: str) -> AsyncIterator[None]:
    """Let every commit wait for a standby that does not exist."""
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
    # PostgreSQL's checkpointer applies the setting, some time after the reload.
    async with connected(database_url) as probe:
        try:
            await probe.execute("SELECT pg_logical_emit_message(true, 'probe', '')", timeout=0.3)
        except TimeoutError:
            return True
    return False


async def _commits_pass(database_url: str) -> bool:
    return not await _commits_wait(database_url)


@pytest.mark.parametrize("rpc", ["RecordPurchase", "QuarantinePayment"])
async def test_p3_a_decision_without_the_standby_is_not_acknowledged(database_url: str, sql: Any, rpc: str) -> None:
    """It is committed here, and may be lost with this server: neither it nor its repeat counts."""
    request = purchase() if rpc == "RecordPurchase" else quarantine(purchase())
    async with served(database_url, **SHORT) as channel:
        call = getattr(Client(channel), rpc)
        async with standby_missing(database_url):
            errors = [await error_of(call(request)) for _ in range(2)]
            committed = await count(sql, "payments")

        answer = await call(request)

    assert errors == [UNAVAILABLE] * 2
    assert committed == [1]
    assert answer.already_recorded


@pytest.mark.parametrize("change", [activate, cancel, fail])
async def test_an_activation_without_the_standby_is_not_acknowledged(database_url: str, change: Change) -> None:
    """Else it would be pending again after a failover: nobody would retry it, or a cancelled one would be charged."""
    async with served(database_url, **SHORT) as channel:
        orders = Client(channel)
        subscription = await begun(orders)
        async with standby_missing(database_url):
            errors = [await error_of(change(orders, subscription)) for _ in range(2)]

        changed = await change(orders, subscription)

    assert errors == [UNAVAILABLE] * 2
    assert changed.version == subscription.version + 1


@pytest.mark.parametrize("command", [("erase", "user_1"), ("reencrypt",)])
async def test_p7_a_command_without_the_standby_is_not_complete(
    database_url: str, sql: Any, command: tuple[str, ...]
) -> None:
    """Else a failover would bring back erased data, or content of a removed key: neither it nor its repeat counts."""
    async with served(database_url, encryption_keys="clear") as channel:
        await Client(channel).QuarantinePayment(quarantine_with_content())
    variables = environment(database_url) | {"ORDERS_STATEMENT_TIMEOUT_SECONDS": "0.3", "ORDERS_DATABASE_TRIES": "1"}
    variables["ORDERS_ENCRYPTION_KEYS"] += ",clear"
    async with standby_missing(database_url):
        codes = [run(variables, *command).code for _ in range(2)]
        changed = await count(sql, "payments WHERE attempt_content IS NULL OR get_byte(attempt_content, 0) <> 0")

    completed = run(variables, *command)

    assert codes == [1, 1]
    assert changed == [1]
    assert completed.code == 0, completed.stderr


@pytest.mark.parametrize("level", ["notice", "error"])
async def test_p3_a_cancelled_commit_is_not_acknowledged(own_database_url: str, level: str) -> None:
    """PostgreSQL warns that the standbys may not have it, and reports success, whatever client_min_messages is."""
    async with connected(own_database_url) as sql:
        name = await sql.fetchval("SELECT current_database()")
        await sql.execute(f"ALTER DATABASE {name} SET client_min_messages = {level}")
        long = {"statement_timeout_seconds": 30, "call_timeout_seconds": 60, "database_tries": 1}
        async with served(own_database_url, **long) as channel, standby_missing(own_database_url):
            call = asyncio.ensure_future(error_of(Client(channel).RecordPurchase(purchase())))
            await until(lambda: sql.fetchval(WAITERS))
            await sql.execute("SELECT pg_cancel_backend(p) FROM unnest($1::int[]) p", await sql.fetchval(WAITERS))
            error = await call

        assert error == UNAVAILABLE
        assert await count(sql, "orders") == [1]
