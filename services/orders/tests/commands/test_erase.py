import asyncio
import json
from typing import Any

import pytest

from ..builders import purchase
from ..calls import put_customer
from ..command_runner import Completed, command_line, environment, run
from ..service import Client, connected, lock_waiters, until

OTHERS = {"quarantined_payments": 0, "subscriptions": 0, "customers": 0, "stripe_customers": []}
ERASED = "SELECT count(*) FROM orders WHERE erased_at IS NOT NULL"


def erase(database_url: str, *arguments: str, stdin: str = "") -> Completed:
    """Run the command."""
    return run(environment(database_url), "erase", *arguments, stdin=stdin)


async def test_p7_it_prints_the_counts_and_never_the_user(orders: Client, sql: Any, database_url: str) -> None:
    """As JSON, with exit code 0; again, nothing is left to erase."""
    await orders.RecordPurchase(purchase())

    first, second = erase(database_url, "user_1"), erase(database_url, "user_1")

    assert (first.code, second.code) == (0, 0), first.stderr
    assert json.loads(first.stdout) == {"orders": 1, **OTHERS, "dry_run": False, "complete": True}
    assert json.loads(second.stdout)["orders"] == 0
    assert "user_1" not in first.stdout + first.stderr
    assert await sql.fetchval(ERASED) == 1


@pytest.mark.parametrize("line_end", ["\n", "\r\n", ""])
async def test_a_dry_run_counts_and_erases_nothing(orders: Client, sql: Any, database_url: str, line_end: str) -> None:
    """The user's id comes from standard input, so that no list of processes shows it (P7)."""
    await orders.RecordPurchase(purchase())

    completed = erase(database_url, "-", "--dry-run", stdin=f"user_1{line_end}")

    assert json.loads(completed.stdout) == {"orders": 1, **OTHERS, "dry_run": True, "complete": True}
    assert await sql.fetchval(ERASED) == 0


async def test_an_order_number_may_be_typed_in_any_case_and_grouping(
    orders: Client, sql: Any, database_url: str
) -> None:
    """People read it out on the phone."""
    number = (await orders.RecordPurchase(purchase(user_id=""))).decision.purchase.order.number

    completed = erase(database_url, "--order", number.lower().replace("-", " "))

    assert json.loads(completed.stdout)["orders"] == 1
    assert await sql.fetchval(ERASED) == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--order", "222-222-222"), 3),  # A valid number that no order has.
        (("--attempt", "nobody@shop.example"), 3),
        (("--order", "nobody@shop.example"), 2),
        (("",), 2),
        ((), 2),
        (("nobody@shop.example", "--order", "222-222-222"), 2),
        (("nobody@shop.example", "--batch", "0"), 2),
        (("nobody@shop.example", "--deleted-at-stripe", "cus_1"), 2),
        (("--deleted-at-stripe", "cus_1", "--dry-run"), 2),
        (("--deleted-at-stripe", ""), 2),
    ],
)
def test_p7_an_unknown_or_invalid_subject_is_refused(
    shared_database_url: str, arguments: tuple[str, ...], code: int
) -> None:
    """3 if nothing is recorded under it, 2 if it is not valid; it is not quoted."""
    completed = erase(shared_database_url, *arguments)

    assert (completed.code, completed.stdout) == (code, "")
    assert "nobody" not in completed.stderr


def test_an_unavailable_database_is_reported(unused_tcp_port: int) -> None:
    """Exit code 1, and the counts are not complete."""
    completed = erase(f"postgresql://u:secret@127.0.0.1:{unused_tcp_port}/orders", "user_1")

    assert completed.code == 1
    assert (json.loads(completed.stdout)["complete"], json.loads(completed.stdout)["stripe_customers"]) == (False, None)
    assert "secret" not in completed.stderr
    assert "user_1" not in completed.stderr


async def test_a_run_after_a_killed_one_erases_the_rest(orders: Client, sql: Any, database_url: str) -> None:
    """Committed batches are complete, the others untouched, each order has one event, and each customer is named."""
    await put_customer(orders, "cus_eur")
    await put_customer(orders, "cus_usd", currency="usd")
    for _ in range(6):
        await orders.RecordPurchase(purchase())
    async with connected(database_url) as blocking, blocking.transaction():
        await blocking.execute("SELECT 1 FROM orders ORDER BY created_at DESC LIMIT 1 FOR UPDATE")
        process = await asyncio.create_subprocess_exec(
            *command_line("erase", "user_1", "--batch", "2"), env=environment(database_url)
        )
        await until(lambda: lock_waiters(sql), seconds=60)
        process.kill()
        await process.wait()
        after_the_kill = await sql.fetchval(ERASED)

    rest = erase(database_url, "user_1")

    assert after_the_kill == 4
    assert (rest.code, json.loads(rest.stdout)["orders"]) == (0, 2)
    assert await sql.fetchval("SELECT count(*) FROM outbox WHERE topic = 'order.erased'") == 6
    assert await sql.fetchval("SELECT count(*) FROM payments WHERE user_id IS NOT NULL") == 0
    assert json.loads(rest.stdout)["stripe_customers"] == ["cus_eur", "cus_usd"]


async def test_p7_customers_are_named_until_they_are_deleted_at_stripe(
    orders: Client, sql: Any, database_url: str
) -> None:
    """By each run, whomever it erases; one of a user who was not erased is not forgotten."""
    for number, user_id in enumerate(("user_1", "user_2", "user_3"), 1):
        await put_customer(orders, f"cus_{number}", user_id=user_id)
    erase(database_url, "user_1")

    second = erase(database_url, "user_2")
    rest = erase(database_url, "--deleted-at-stripe", "cus_1", "cus_3", "cus_unknown")

    assert json.loads(second.stdout)["stripe_customers"] == ["cus_1", "cus_2"]
    assert (rest.code, json.loads(rest.stdout)["stripe_customers"]) == (0, ["cus_2"])
    assert await sql.fetchval("SELECT user_id FROM customers WHERE stripe_customer_id = 'cus_3'") == "user_3"
