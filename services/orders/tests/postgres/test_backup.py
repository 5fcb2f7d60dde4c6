"""PostgreSQL is lost or damaged, and comes back by the commands of docs/backup.md."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from checkout.orders.v1 import orders_pb2 as pb
from devstack.embedded_postgres import EmbeddedPostgres
from devstack.postgres_install import remove_data
from orders.postgres.migrate import upgrade
from tests.docs.documented_commands import PostgresBackup

from ..builders import purchase
from ..service import Client, connected, outcomes, served

SHORT = {"statement_timeout_seconds": 0.5, "call_timeout_seconds": 1, "database_tries": 1}
_BUYERS = 4
_EACH = 10

pytestmark = pytest.mark.long


@pytest.fixture
def backup() -> Iterator[PostgresBackup]:
    """Run a server that can be restored."""
    with tempfile.TemporaryDirectory(prefix="holdfast-backup-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        with EmbeddedPostgres(folder / "data") as server:
            yield PostgresBackup(server, folder)


@pytest.fixture
async def database_url(backup: PostgresBackup) -> str:
    """Migrate a database of that server."""
    url = backup.server.create_database("orders")
    await upgrade(url)
    return url


async def test_p3_no_acknowledged_purchase_is_missing_after_the_loss_of_the_server(
    backup: PostgresBackup, database_url: str
) -> None:
    """The receiver ends while buyers pay, then the server and its disk: what nobody received, nobody was told."""
    requests = [purchase() for _ in range(2 * _BUYERS * _EACH)]
    acknowledged: list[str] = []
    with backup.receiving() as receiver:
        backup.private("backup")
        backup.run("Back up")
        async with served(database_url, **SHORT) as channel:
            acknowledged += await acknowledged_of(Client(channel), requests[: _BUYERS * _EACH])
            receiver.kill()
            acknowledged += await acknowledged_of(Client(channel), requests[_BUYERS * _EACH :][:_BUYERS])
            backup.server.kill()

    remove_data(backup.folder / "data")
    backup.restore("Restore", backup.folder / "data")
    backup.start_restored(backup.server)

    async with connected(database_url) as sql, served(database_url) as channel:
        restored = {row["intent_id"] for row in await sql.fetch("SELECT intent_id FROM payments")}
        repeated, errors = await outcomes([Client(channel).RecordPurchase(request) for request in requests])
    assert len(acknowledged) >= _BUYERS * _EACH
    assert set(acknowledged) - restored == set()
    assert errors == []
    assert len(repeated) == len(requests)


async def test_p3_deleted_orders_are_copied_back_and_later_ones_stay(backup: PostgresBackup, database_url: str) -> None:
    """Restored beside the running server, to the moment before the mistake."""
    requests = [purchase() for _ in range(6)]
    with backup.receiving():
        backup.private("backup")
        backup.run("Back up")
        async with served(database_url) as channel, connected(database_url) as sql:
            for request in requests[:4]:
                await Client(channel).RecordPurchase(request)
            before = await sql.fetchval("SELECT clock_timestamp()::text")
            lost = await rows(sql)
            await sql.execute("DELETE FROM order_items; DELETE FROM orders; DELETE FROM payments")
            for request in requests[4:]:
                await Client(channel).RecordPurchase(request)

            backup.restore("Restore to a time", backup.folder / "beside", BEFORE=before)
            with ExitStack() as running:
                beside = EmbeddedPostgres(backup.folder / "beside")
                running.callback(beside.stop)
                backup.start_restored(beside)
                backup.run("Copy rows back", RESTORED=beside.url("orders"), DATABASE=database_url)

            found = await rows(sql)
            answers = [await Client(channel).RecordPurchase(request) for request in requests]
    assert lost < found
    assert all(answer.already_recorded for answer in answers)


async def rows(sql: Any) -> set[str]:
    """Return the rows of orders and their payments as text."""
    queries = "SELECT t::text FROM order_items t", "SELECT t::text FROM orders t", "SELECT t::text FROM payments t"
    return {row["t"] for query in queries for row in await sql.fetch(query)}


async def acknowledged_of(orders: Client, requests: list[pb.RecordPurchaseRequest]) -> list[str]:
    """Record purchases, a few at once; return the intents of those that were acknowledged."""
    acknowledged: list[str] = []

    async def record(mine: list[pb.RecordPurchaseRequest]) -> None:
        for request in mine:
            answers, _ = await outcomes([orders.RecordPurchase(request)])
            acknowledged.extend(request.payment.intent.id for _ in answers)

    await asyncio.gather(*(record(requests[first::_BUYERS]) for first in range(_BUYERS)))
    return acknowledged
