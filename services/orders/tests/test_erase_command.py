"""`orders erase`, as an operator runs it."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from .commands import Done, command_line, patient_environment, run
from .reports import purchase
from .service import Client, connected, until

ORDERS = 6
REST = {"quarantined_payments": 0, "subscriptions": 0, "customers": 0}
ERASED = "SELECT count(*) FROM orders WHERE erased_at IS NOT NULL"
WAITING = """
    SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'orders' AND wait_event_type = 'Lock'
"""


def erase(database_url: str, *arguments: str, typed: str = "") -> Done:
    """Run the command to its end."""
    return run(patient_environment(database_url), "erase", *arguments, typed=typed)


@contextmanager
def killed_in_the_end(database_url: str, *arguments: str) -> Iterator[None]:
    """Run the command, and SIGKILL it when the test has seen enough."""
    process = subprocess.Popen(command_line("erase", *arguments), env=patient_environment(database_url))
    try:
        yield
    finally:
        process.kill()
        process.wait()


def told(done: Done) -> dict[str, Any]:
    """Return what the command printed."""
    return dict(json.loads(done.printed))


async def test_it_prints_how_much_it_erased_and_never_whose(orders: Client, sql: Any, database_url: str) -> None:
    """Counts as JSON, exit code 0, and the user's id nowhere; again, there is nothing left."""
    await orders.RecordPurchase(purchase())

    done = erase(database_url, "user_1")
    again = erase(database_url, "user_1")

    assert (done.code, again.code) == (0, 0), done.said
    assert told(done) == {"orders": 1, **REST, "dry_run": False, "complete": True}
    assert told(again)["orders"] == 0
    assert "user_1" not in done.printed + done.said
    assert await sql.fetchval(ERASED) == 1


@pytest.mark.parametrize("line_end", ["\n", "\r\n", ""])
async def test_a_dry_run_counts_and_erases_nothing(orders: Client, sql: Any, database_url: str, line_end: str) -> None:
    """The user's id comes by standard input, so that no list of processes shows it."""
    await orders.RecordPurchase(purchase())

    done = erase(database_url, "-", "--dry-run", typed=f"user_1{line_end}")

    assert told(done) == {"orders": 1, **REST, "dry_run": True, "complete": True}
    assert await sql.fetchval(ERASED) == 0


async def test_an_order_is_named_as_it_was_heard(orders: Client, sql: Any, database_url: str) -> None:
    """In small letters and with other gaps."""
    number = (await orders.RecordPurchase(purchase(user_id=""))).decision.purchase.order.number

    done = erase(database_url, "--order", number.lower().replace("-", " "))

    assert told(done)["orders"] == 1
    assert await sql.fetchval(ERASED) == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--order", "222-222-222"), 3),  # A good number that no order has.
        (("--attempt", "nobody@shop.example"), 3),
        (("--order", "nobody@shop.example"), 2),
        (("",), 2),
        ((), 2),
        (("nobody@shop.example", "--order", "222-222-222"), 2),
        (("nobody@shop.example", "--batch", "0"), 2),
    ],
)
def test_a_wish_that_names_nobody_is_refused(database_url: str, arguments: tuple[str, ...], code: int) -> None:
    """3 for what was never recorded, 2 for what cannot be meant; what was typed is not repeated (P7)."""
    done = erase(database_url, *arguments)

    assert (done.code, done.printed) == (code, "")
    assert "nobody" not in done.said


def test_a_database_that_is_away_is_told(unused_tcp_port: int) -> None:
    """Exit code 1, and the counts say that it is not complete."""
    done = erase(f"postgresql://u:secret@127.0.0.1:{unused_tcp_port}/orders", "user_1")

    assert done.code == 1
    assert told(done)["complete"] is False
    assert "secret" not in done.said
    assert "user_1" not in done.said


async def test_killed_half_way_a_repeat_finishes(orders: Client, sql: Any, database_url: str) -> None:
    """What was committed is whole, what was not is untouched, and in the end each order is announced once."""
    for _ in range(ORDERS):
        await orders.RecordPurchase(purchase())
    async with connected(database_url) as blocking, blocking.transaction():
        await blocking.execute("SELECT 1 FROM orders ORDER BY created_at DESC LIMIT 1 FOR UPDATE")
        with killed_in_the_end(database_url, "user_1", "--batch", "2"):
            await until(lambda: _some_wait(sql), seconds=60)
        half_way = await sql.fetchval(ERASED)

    done = await asyncio.create_subprocess_exec(
        *command_line("erase", "user_1"), env=patient_environment(database_url), stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await done.communicate()

    assert half_way == ORDERS - 2
    assert (done.returncode, json.loads(printed)["orders"]) == (0, 2)
    assert await sql.fetchval("SELECT count(*) FROM outbox WHERE topic = 'order.erased'") == ORDERS
    assert await sql.fetchval("SELECT count(*) FROM payments WHERE user_id IS NOT NULL") == 0


async def _some_wait(sql: Any) -> bool:
    return bool(await sql.fetchval(WAITING))
