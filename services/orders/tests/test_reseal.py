"""`orders reseal`, as an operator runs it to replace a key."""

import asyncio
import base64
import json
from asyncio.subprocess import PIPE, Process
from collections import Counter
from typing import Any

from checkout.orders.v1 import orders_pb2 as pb
from servicekit.encryption import key_id_of

from .commands import command_line, patient_environment, run
from .reports import aside, purchase
from .service import KEYS, Client, connected, served, settings_for, until

OLD = KEYS
NEW = "k2:" + base64.b64encode(bytes(range(1, 33))).decode()
PAYMENTS = 25
"""More than fit into two batches."""

WAITING = """
    SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'orders' AND wait_event_type = 'Lock'
"""


async def begin_reseal(database_url: str, keys: str) -> Process:
    """Start the command as a process."""
    return await asyncio.create_subprocess_exec(
        *command_line("reseal"), env=patient_environment(database_url, keys), stdout=PIPE, stderr=PIPE
    )


async def end(process: Process) -> tuple[int | None, dict[str, Any]]:
    """Return the exit code of a process and what it printed."""
    async with asyncio.timeout(60):
        printed, said = await process.communicate()
    assert printed, said
    return process.returncode, dict(json.loads(printed))


def reseal(database_url: str, keys: str) -> tuple[int, dict[str, Any]]:
    """Run the command to its end; return its exit code and what it printed."""
    done = run(patient_environment(database_url, keys), "reseal")
    return done.code, dict(json.loads(done.printed))


async def set_aside(database_url: str, keys: str, how_many: int) -> list[pb.QuarantinePaymentRequest]:
    """Set payments aside through a service with these keys."""
    asked = [aside(purchase(lines=1), pb.QUARANTINE_REASON_UNRECORDABLE, with_content=True) for _ in range(how_many)]
    async with served(settings_for(database_url, encryption_keys=keys)) as channel:
        for each in asked:
            await Client(channel).QuarantinePayment(each)
    return asked


async def keys_in(sql: Any) -> Counter[str]:
    """Return how many contents each key has sealed."""
    stored = await sql.fetch("SELECT attempt_content FROM payments WHERE attempt_content IS NOT NULL")
    return Counter([key_id_of(row["attempt_content"]) for row in stored])


async def test_everything_is_sealed_with_the_first_key(database_url: str, sql: Any) -> None:
    """Whatever sealed it, also what was in the clear; then the old key can be dropped and all can be read."""
    asked = await set_aside(database_url, OLD, PAYMENTS)
    asked += await set_aside(database_url, "clear", 2)
    asked += await set_aside(database_url, NEW, 3)

    code, told = reseal(database_url, f"{NEW},{OLD},clear")

    assert (code, told) == (0, {"key_id": "k2", "resealed": PAYMENTS + 2, "unreadable": {}, "left": 0})
    assert await keys_in(sql) == {"k2": PAYMENTS + 5}
    async with served(settings_for(database_url, encryption_keys=NEW)) as channel:
        page = await Client(channel).ListQuarantinedPayments(pb.ListQuarantinedPaymentsRequest(page_size=100))
    assert [each.context for each in page.quarantined_payments] == [each.context for each in reversed(asked)]


async def test_resealing_again_changes_nothing(database_url: str, sql: Any) -> None:
    """There is nothing left to do, and what is sealed stays as it is to the byte."""
    await set_aside(database_url, OLD, 2)
    reseal(database_url, f"{NEW},{OLD}")
    before = await sql.fetch("SELECT * FROM payments ORDER BY intent_id")

    code, told = reseal(database_url, f"{NEW},{OLD}")

    assert (code, told["resealed"], told["left"]) == (0, 0, 0)
    assert await sql.fetch("SELECT * FROM payments ORDER BY intent_id") == before


async def test_only_the_content_changes(database_url: str, sql: Any) -> None:
    """Purchases, payments without content, reasons, sums, times: all stay."""
    await set_aside(database_url, OLD, 2)
    async with served(settings_for(database_url)) as channel:
        await Client(channel).QuarantinePayment(aside(purchase()))
        await Client(channel).RecordPurchase(purchase())
    others = "SELECT to_jsonb(payments) - 'attempt_content' FROM payments ORDER BY intent_id"
    before = await sql.fetch(others)

    reseal(database_url, f"{NEW},{OLD}")

    assert await sql.fetch(others) == before


async def test_what_cannot_be_read_stays_and_is_counted(database_url: str, sql: Any) -> None:
    """By its key, with exit code 3: the old key must not be dropped yet."""
    await set_aside(database_url, "clear", 2)
    await set_aside(database_url, OLD, PAYMENTS)

    code, told = reseal(database_url, f"{NEW},clear")

    assert (code, told) == (3, {"key_id": "k2", "resealed": 2, "unreadable": {"k1": PAYMENTS}, "left": PAYMENTS})
    assert await keys_in(sql) == {"k1": PAYMENTS, "k2": 2}


async def test_it_can_be_interrupted_and_begun_again(database_url: str, sql: Any) -> None:
    """Killed while it waits for a row, it has kept its finished batches; the next run does the rest."""
    await set_aside(database_url, OLD, PAYMENTS)
    async with connected(database_url) as other, other.transaction():
        # The newest payment is in the last batch.
        await other.execute(
            "SELECT 1 FROM payments WHERE decided_at = (SELECT max(decided_at) FROM payments) FOR UPDATE"
        )
        process = await begin_reseal(database_url, f"{NEW},{OLD}")

        async def waits() -> bool:
            return bool(await sql.fetchval(WAITING))

        await until(waits, seconds=60)
        process.kill()
        await process.communicate()
    halfway = await keys_in(sql)

    code, told = reseal(database_url, f"{NEW},{OLD}")

    assert halfway == {"k1": 5, "k2": 20}
    assert (code, told["resealed"], told["left"]) == (0, 5, 0)


async def test_several_at_once_share_the_work(database_url: str, sql: Any) -> None:
    """Each content is resealed once, by one of them, and all end well."""
    await set_aside(database_url, OLD, PAYMENTS)

    processes = [await begin_reseal(database_url, f"{NEW},{OLD}") for _ in range(3)]
    done = await asyncio.gather(*map(end, processes))

    assert [(code, told["left"]) for code, told in done] == [(0, 0)] * 3
    assert sum(told["resealed"] for _, told in done) == PAYMENTS
    assert await keys_in(sql) == {"k2": PAYMENTS}


def test_it_says_how_far_it_came_when_the_database_is_away() -> None:
    """Exit code 1, and what was done so far."""
    code, told = reseal("postgresql://nobody@127.0.0.1:1/nothing?sslmode=disable", f"{NEW},{OLD}")

    assert (code, told) == (1, {"key_id": "k2", "resealed": 0, "unreadable": {}, "left": None})


async def test_a_key_is_replaced_while_payments_are_set_aside_and_listed(database_url: str, sql: Any) -> None:
    """Known, first, resealed, old key dropped: at no step is a payment lost or unreadable."""
    asked: list[pb.QuarantinePaymentRequest] = []
    faults: list[object] = []
    for keys in (OLD, f"{OLD},{NEW}", f"{NEW},{OLD}", "reseal", NEW):
        if keys == "reseal":
            faults += [told for code, told in [reseal(database_url, f"{NEW},{OLD}")] if code]
            continue
        asked += await set_aside(database_url, keys, 3)
        async with served(settings_for(database_url, encryption_keys=keys)) as channel:
            page = await Client(channel).ListQuarantinedPayments(pb.ListQuarantinedPaymentsRequest(page_size=100))
        faults += [each for each in page.quarantined_payments if each.HasField("unreadable_content")]

    assert faults == []
    assert [each.context for each in page.quarantined_payments] == [each.context for each in reversed(asked)]
    assert await keys_in(sql) == {"k2": len(asked)}
