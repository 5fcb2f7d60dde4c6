import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections import Counter
from typing import Any

from checkout.orders.v1 import orders_pb2 as pb
from servicekit.encryption import key_id_of

from ..builders import purchase, quarantine, quarantine_with_content
from ..calls import list_quarantined
from ..command_runner import command_line, environment, run
from ..service import KEYS, OTHER_KEYS, Client, connected, lock_waiters, served, until

OLD, NEW = KEYS, OTHER_KEYS
PAYMENTS = 25
"""More than fit into two batches."""


async def start_reencrypt(database_url: str) -> Process:
    """Start the command as a process."""
    variables = environment(database_url, f"{NEW},{OLD}")
    return await asyncio.create_subprocess_exec(*command_line("reencrypt"), env=variables, stdout=PIPE, stderr=PIPE)


def reencrypt(database_url: str, keys: str) -> tuple[int, dict[str, Any]]:
    """Run the command; return its exit code and the counts that it printed."""
    completed = run(environment(database_url, keys), "reencrypt")
    return completed.code, json.loads(completed.stdout)


async def quarantine_some(database_url: str, keys: str, number: int) -> list[pb.QuarantinePaymentRequest]:
    """Quarantine payments through a service with these keys."""
    requests = [quarantine_with_content() for _ in range(number)]
    async with served(database_url, encryption_keys=keys) as channel:
        for request in requests:
            await Client(channel).QuarantinePayment(request)
    return requests


async def keys_in(sql: Any) -> Counter[str]:
    """Return the number of contents that each key has encrypted."""
    stored = await sql.fetch("SELECT attempt_content FROM payments WHERE attempt_content IS NOT NULL")
    return Counter([key_id_of(row["attempt_content"]) for row in stored])


async def test_everything_is_encrypted_with_the_first_key(database_url: str, sql: Any) -> None:
    """Content of other keys and unencrypted content; nothing else changes, and a second run changes nothing."""
    await quarantine_some(database_url, OLD, PAYMENTS)
    await quarantine_some(database_url, "clear", 2)
    await quarantine_some(database_url, NEW, 3)
    async with served(database_url) as channel:
        await Client(channel).QuarantinePayment(quarantine(purchase()))
        await Client(channel).RecordPurchase(purchase())
    other_columns = "SELECT to_jsonb(payments) - 'attempt_content' FROM payments ORDER BY intent_id"
    before = await sql.fetch(other_columns)

    first = reencrypt(database_url, f"{NEW},{OLD},clear")
    content = await sql.fetch("SELECT * FROM payments ORDER BY intent_id")
    second = reencrypt(database_url, f"{NEW},{OLD},clear")

    assert first == (0, {"key_id": "k2", "reencrypted": PAYMENTS + 2, "unreadable": {}, "left": 0})
    assert second == (0, {"key_id": "k2", "reencrypted": 0, "unreadable": {}, "left": 0})
    assert await keys_in(sql) == {"k2": PAYMENTS + 5}
    assert await sql.fetch(other_columns) == before
    assert await sql.fetch("SELECT * FROM payments ORDER BY intent_id") == content


async def test_unreadable_content_stays_and_is_counted(database_url: str, sql: Any) -> None:
    """By its key, with exit code 3: the old key must not be removed yet."""
    await quarantine_some(database_url, "clear", 2)
    await quarantine_some(database_url, OLD, PAYMENTS)

    code, counts = reencrypt(database_url, f"{NEW},clear")

    assert code == 3
    assert counts == {"key_id": "k2", "reencrypted": 2, "unreadable": {"k1": PAYMENTS}, "left": PAYMENTS}
    assert await keys_in(sql) == {"k1": PAYMENTS, "k2": 2}


async def test_a_run_after_a_killed_one_does_the_rest(database_url: str, sql: Any) -> None:
    """Killed while it waits for a lock, it has kept its finished batches."""
    await quarantine_some(database_url, OLD, PAYMENTS)
    async with connected(database_url) as other, other.transaction():
        # The newest payment is in the last batch.
        await other.execute(
            "SELECT 1 FROM payments WHERE decided_at = (SELECT max(decided_at) FROM payments) FOR UPDATE"
        )
        process = await start_reencrypt(database_url)
        await until(lambda: lock_waiters(sql), seconds=60)
        process.kill()
        await process.communicate()
    after_the_kill = await keys_in(sql)

    code, counts = reencrypt(database_url, f"{NEW},{OLD}")

    assert after_the_kill == {"k1": 5, "k2": 20}
    assert (code, counts["reencrypted"], counts["left"]) == (0, 5, 0)


async def test_concurrent_runs_share_the_work(database_url: str, sql: Any) -> None:
    """Each content is re-encrypted once, and all runs succeed."""
    await quarantine_some(database_url, OLD, PAYMENTS)

    processes = [await start_reencrypt(database_url) for _ in range(2)]
    printed = [json.loads((await process.communicate())[0]) for process in processes]

    assert [process.returncode for process in processes] == [0, 0]
    assert [counts["left"] for counts in printed] == [0, 0]
    assert sum(counts["reencrypted"] for counts in printed) == PAYMENTS
    assert await keys_in(sql) == {"k2": PAYMENTS}


def test_an_unavailable_database_is_reported(unused_tcp_port: int) -> None:
    """Exit code 1, and the counts so far."""
    url = f"postgresql://nobody@127.0.0.1:{unused_tcp_port}/nothing?sslmode=disable"

    code, counts = reencrypt(url, f"{NEW},{OLD}")

    assert (code, counts) == (1, {"key_id": "k2", "reencrypted": 0, "unreadable": {}, "left": None})


async def test_a_key_is_replaced_while_payments_are_quarantined_and_listed(database_url: str, sql: Any) -> None:
    """Add the new key, make it the first, re-encrypt, remove the old key: content is readable at every step."""
    requests: list[pb.QuarantinePaymentRequest] = []
    for keys in (OLD, f"{OLD},{NEW}", f"{NEW},{OLD}", NEW):
        if keys == NEW:
            assert reencrypt(database_url, f"{NEW},{OLD}")[0] == 0
        requests += await quarantine_some(database_url, keys, 3)

        async with served(database_url, encryption_keys=keys) as channel:
            listed = await list_quarantined(Client(channel))

        assert [each.context for each in listed] == [each.context for each in reversed(requests)]
    assert await keys_in(sql) == {"k2": len(requests)}
