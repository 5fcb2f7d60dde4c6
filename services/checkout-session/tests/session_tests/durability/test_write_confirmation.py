"""A change is acknowledged once it is on the required disks, and readiness refuses a server that is not durable.

Redis is trusted when it reports a change as synced. With `appendfsync no` it answers WAITAOF with zero, as it does
while a disk is slow, and answers everything else from memory.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from checkout_session.domain.attempts import Attempt, CloseReason, DeleteReason, StoreUnavailable
from checkout_session.domain.durability import IN_MEMORY, DurabilityLevel, DurabilityPolicy
from checkout_session.domain.save_attempt import AttemptSaver, Draft
from checkout_session.redis_backend.attempt_store import RedisAttemptStore
from checkout_session.redis_backend.connection import Limits
from checkout_session.redis_backend.keys import keys_of
from checkout_session.redis_backend.readiness import RedisReadiness, require_durable
from devstack.embedded_valkey import EmbeddedValkey
from servicekit.health import NotReady
from tests.containers.choice import RedisServer

from ..harness import DEADLINE_SECONDS, GENEROUS, new_attempt, opened, store_on

AOF: Final = DurabilityPolicy(DurabilityLevel.AOF)
FSYNC: Final = DurabilityPolicy(DurabilityLevel.FSYNC)
FSYNC_AND_REPLICA: Final = DurabilityPolicy(DurabilityLevel.FSYNC, replicas=1)
BRIEF: Final = Limits(max_connections=8, redis_timeout_seconds=0.5, store_timeout_seconds=5)
SOUND: Final = {"aof_enabled": 1, "aof_last_write_status": "ok"}
ALWAYS: Final = {"appendfsync": "always", "repl-diskless-sync-delay": "0", "shutdown-timeout": "0"}

Change = Callable[[RedisAttemptStore, Attempt], Awaitable[Any]]
CHANGES: Final[dict[str, Change]] = {
    "save": lambda store, attempt: store.save(attempt),
    "close": lambda store, attempt: store.close(attempt.attempt_id, CloseReason.SUPERSEDED),
    "supersede": lambda store, attempt: store.close(attempt.attempt_id, CloseReason.SUPERSEDED, str(uuid.uuid4())),
    "delete": lambda store, attempt: store.delete(attempt.attempt_id, DeleteReason.RECORDED),
}


@pytest.fixture
def server() -> Iterator[EmbeddedValkey]:
    """Run a Valkey that syncs every change."""
    with EmbeddedValkey.temporary(options=ALWAYS) as running:
        yield running


@pytest.fixture
def attempt() -> Attempt:
    """Return an attempt that was never stored."""
    return new_attempt()


def set_appendfsync(server: EmbeddedValkey, policy: str) -> None:
    """Change the policy; with `no`, WAITAOF answers zero for later changes."""
    server.execute("CONFIG", "SET", "appendfsync", policy)


@asynccontextmanager
async def store_at(
    server: EmbeddedValkey, policy: DurabilityPolicy, limits: Limits = BRIEF
) -> AsyncIterator[RedisAttemptStore]:
    """Return a store with a durability and with connections of its own."""
    async with opened(server.url, policy, limits) as primaries:
        yield store_on(primaries, timeout_seconds=limits.store_timeout_seconds)


async def check(url: str, policy: DurabilityPolicy, limits: Limits = GENEROUS) -> None:
    """Run the readiness check for a durability."""
    async with opened(url, policy, limits) as primaries:
        await RedisReadiness(primaries, policy, timeout_seconds=limits.store_timeout_seconds).check()


def stored(server: EmbeddedValkey, attempt: Attempt) -> list[Any]:
    """Return the names of an attempt's fields, and its closed marker."""
    keys = keys_of(attempt.attempt_id)
    return [sorted(server.execute("HKEYS", keys.attempt)), server.execute("HGETALL", keys.closed)]


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_that_is_not_on_disk_is_not_acknowledged(
    change: str, server: EmbeddedValkey, attempt: Attempt
) -> None:
    """At fsync (P2). Its repeat waits too; once the disk is well it succeeds and survives a kill."""
    set_appendfsync(server, "no")
    async with store_at(server, FSYNC) as store:
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await CHANGES[change](store, attempt)
    before = stored(server, attempt)
    set_appendfsync(server, "always")

    async with store_at(server, FSYNC, GENEROUS) as store:
        await CHANGES[change](store, attempt)

    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
    assert stored(server, attempt) == before
    assert any(before)


@pytest.mark.parametrize("change", CHANGES)
async def test_a_repeat_waits_for_a_change_that_it_finds_in_memory(
    change: str, server: EmbeddedValkey, attempt: Attempt
) -> None:
    """It may not be on disk yet, and a server reports to a connection only its own writes (P2)."""
    set_appendfsync(server, "no")
    async with store_at(server, IN_MEMORY) as careless:
        await CHANGES[change](careless, attempt)

    async with store_at(server, FSYNC) as store:
        with pytest.raises(StoreUnavailable):
            await CHANGES[change](store, attempt)


async def test_a_repeat_after_pay_by_waits_for_the_disk_too(server: EmbeddedValkey, attempt: Attempt) -> None:
    """It is answered from the stored attempt, and only if that is durable (P2)."""
    set_appendfsync(server, "no")
    async with store_at(server, IN_MEMORY) as careless:
        await careless.save(attempt)
    late = Draft(attempt.attempt_id, attempt.request_hash, attempt.intent, "", b"", attempt.created_at)

    async with store_at(server, FSYNC) as store:
        saver = AttemptSaver(store, now=lambda: datetime.now(UTC), max_attempt_bytes=1024)
        with pytest.raises(StoreUnavailable):
            await saver.save(late)


async def test_a_repeat_on_a_full_server_waits_for_the_disk_too(server: EmbeddedValkey, attempt: Attempt) -> None:
    """A full server refuses the script that stores; the one that only answers confirms what it answers (P2)."""
    set_appendfsync(server, "no")
    async with store_at(server, IN_MEMORY) as careless:
        await careless.save(attempt)
    server.execute("CONFIG", "SET", "maxmemory", "1mb")

    async with store_at(server, FSYNC) as store:
        with pytest.raises(StoreUnavailable):
            await store.save(attempt)
    set_appendfsync(server, "always")
    async with store_at(server, FSYNC, GENEROUS) as store:
        assert (await store.save(attempt)).replayed


async def test_changes_that_wait_leave_connections_for_reads(
    server: EmbeddedValkey, attempt: Attempt, caplog: pytest.LogCaptureFixture
) -> None:
    """A payment's attempt can be read however many changes wait (P3), and the log says why further changes fail."""
    async with store_at(server, FSYNC, GENEROUS) as generous:
        await generous.save(attempt)
    async with store_at(server, FSYNC) as store:
        set_appendfsync(server, "no")
        changes = [asyncio.create_task(store.save(new_attempt())) for _ in range(50)]

        while not all(change.done() for change in changes):
            [read] = await asyncio.gather(store.find(attempt.attempt_id), return_exceptions=True)
            assert read == attempt

        outcomes = await asyncio.gather(*changes, return_exceptions=True)
    assert {type(each) for each in outcomes} == {StoreUnavailable}
    assert {"NotOnDisk", "PoolExhausted"} <= {getattr(record, "cause", None) for record in caplog.records}


async def test_a_change_must_reach_the_required_replicas(server: EmbeddedValkey, attempt: Attempt) -> None:
    """The primary's own disk is not enough; readiness says so beforehand."""
    async with store_at(server, FSYNC_AND_REPLICA) as store:
        with pytest.raises(StoreUnavailable):
            await store.save(attempt)

    with pytest.raises(NotReady, match="0 replicas are online, changes must reach 1"):
        await check(server.url, FSYNC_AND_REPLICA)


async def test_a_change_on_a_replicas_disk_outlives_the_primary(server: EmbeddedValkey, attempt: Attempt) -> None:
    """It is found on the replica after both servers were killed."""
    server.execute("CONFIG", "SET", "masterauth", server.password)
    options = ALWAYS | {"masterauth": server.password}
    with EmbeddedValkey.temporary(password=server.password, options=options) as replica:
        replica.execute("REPLICAOF", "127.0.0.1", server.port)
        async with store_at(server, FSYNC_AND_REPLICA, GENEROUS) as store:
            await until_replicated(server)
            await store.save(attempt)
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(replica.kill)
        await asyncio.to_thread(replica.start)

        async with store_at(replica, FSYNC, GENEROUS) as survivor:
            assert await survivor.find(attempt.attempt_id) == attempt


async def until_replicated(server: EmbeddedValkey) -> None:
    """Wait until a server is ready with a replica."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            try:
                await check(server.url, FSYNC_AND_REPLICA)
            except NotReady:
                continue
            return


@pytest.mark.parametrize("policy", [AOF, FSYNC])
async def test_a_server_without_an_append_only_file_is_refused(valkey: RedisServer, policy: DurabilityPolicy) -> None:
    """A restart would lose every attempt. At level none it is accepted."""
    await check(valkey.url, IN_MEMORY)
    with pytest.raises(NotReady, match=f"appendonly is no: durability {policy.level.value} needs an append-only"):
        await check(valkey.url, policy)


@pytest.mark.parametrize("appendfsync", ["everysec", "no"])
async def test_a_server_that_does_not_sync_every_change_is_refused(server: EmbeddedValkey, appendfsync: str) -> None:
    """At fsync; at aof it is normal."""
    await check(server.url, FSYNC)
    set_appendfsync(server, appendfsync)

    await check(server.url, AOF)
    with pytest.raises(NotReady, match=f"appendfsync is {appendfsync}: durability fsync needs always"):
        await check(server.url, FSYNC)


async def test_a_server_that_hides_its_policy_is_tested_by_a_write(server: EmbeddedValkey) -> None:
    """Without admin rights, readiness writes, waits for the disk, and names the disk that was not reached."""
    server.execute("ACL", "SETUSER", "service", "on", ">secret", "~*", "+@all", "-@admin", "-@dangerous", "+info")
    url = f"redis://service:secret@127.0.0.1:{server.port}/0"
    await check(url, FSYNC)

    set_appendfsync(server, "no")

    with pytest.raises(NotReady, match=r"did not reach the disk in time \(on the primary's disk: no"):
        await check(url, FSYNC, BRIEF)


@pytest.mark.parametrize(
    ("policy", "info", "reason"),
    [
        (AOF, {"aof_last_write_status": "err"}, "the last write to the append-only file ended with err"),
        (
            DurabilityPolicy(DurabilityLevel.FSYNC, replicas=2),
            {"connected_slaves": 2, "slave0": {"state": "online"}, "slave1": {"state": "wait_bgsave"}},
            "1 replicas are online, changes must reach 2",
        ),
    ],
)
def test_a_server_that_reports_a_fault_is_refused(policy: DurabilityPolicy, info: dict[str, Any], reason: str) -> None:
    """A failed write of the file, and replicas that are not online: only those receive changes."""
    require_durable(policy, SOUND | {f"slave{number}": {"state": "online"} for number in range(2)})
    with pytest.raises(NotReady, match=reason):
        require_durable(policy, SOUND | info)
