"""A change is acknowledged once it is on as many disks as were asked for, and readiness refuses a server that cannot.

Redis is believed when it says that a change is on its disk. With `appendfsync no` it answers WAITAOF with zero, as it
does while a disk is slow, and goes on answering everything else from memory.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from checkout_session.domain.attempts import (
    Attempt,
    AttemptNotFound,
    CloseReason,
    DeleteReason,
    Intent,
    IntentKind,
    StoreUnavailable,
)
from checkout_session.domain.durability import Durability, DurabilityLevel
from checkout_session.domain.save_attempt import AttemptSaver, Draft
from checkout_session.redis_backend.attempt_store import RedisAttempts, Retention
from checkout_session.redis_backend.readiness import RedisReadiness, require_durable
from checkout_session.redis_backend.topology import Limits, open_masters
from devstack.embedded_valkey import EmbeddedValkey
from servicekit.encryption import Keyring
from servicekit.health import NotReady
from tests.containers.choice import RedisServer

NONE: Final = Durability(DurabilityLevel.NONE)
AOF: Final = Durability(DurabilityLevel.AOF)
FSYNC: Final = Durability(DurabilityLevel.FSYNC)
ON_A_REPLICA_TOO: Final = Durability(DurabilityLevel.FSYNC, replicas=1)
BRIEF: Final = Limits(max_connections=8, redis_timeout_seconds=0.5, store_timeout_seconds=5)
PATIENT: Final = Limits(max_connections=8, redis_timeout_seconds=10, store_timeout_seconds=20)
PATIENCE_SECONDS: Final = 60
SOUND: Final = {"aof_enabled": 1, "aof_last_write_status": "ok"}
ALWAYS: Final = {"appendfsync": "always", "repl-diskless-sync-delay": "0", "shutdown-timeout": "0"}

Change = Callable[[RedisAttempts, Attempt], Awaitable[Any]]
CHANGES: Final[dict[str, Change]] = {
    "save": lambda store, attempt: store.save(attempt),
    "close": lambda store, attempt: store.close(attempt.attempt_id, CloseReason.SUPERSEDED),
    "delete": lambda store, attempt: store.delete(attempt.attempt_id, DeleteReason.RECORDED),
}


@pytest.fixture
def server() -> Iterator[EmbeddedValkey]:
    """Run a Valkey that syncs every change."""
    with EmbeddedValkey.temporary(options=ALWAYS) as running:
        yield running


def stop_syncing(server: EmbeddedValkey) -> None:
    """Stop syncing: WAITAOF answers zero for later changes."""
    server.execute("CONFIG", "SET", "appendfsync", "no")


def sync_again(server: EmbeddedValkey) -> None:
    """Let the next change reach the disk, and with it all that went before."""
    server.execute("CONFIG", "SET", "appendfsync", "always")


@asynccontextmanager
async def store_on(server: EmbeddedValkey, durability: Durability, limits: Limits) -> AsyncIterator[RedisAttempts]:
    """Give a store that promises so much, with connections of its own."""
    masters = open_masters(server.url, durability, limits)
    try:
        yield RedisAttempts(
            masters, Retention(), keyring=Keyring.unencrypted(), timeout_seconds=limits.store_timeout_seconds
        )
    finally:
        await masters.aclose()


async def check(url: str, durability: Durability, limits: Limits = PATIENT) -> None:
    """Ask whether a server can keep so much."""
    masters = open_masters(url, durability, limits)
    try:
        await RedisReadiness(masters, durability, timeout_seconds=limits.store_timeout_seconds).check()
    finally:
        await masters.aclose()


def new_attempt() -> Attempt:
    """Return an attempt that was never stored."""
    return Attempt(
        attempt_id=str(uuid.uuid4()),
        request_hash=b"h" * 32,
        intent=Intent("pi_first", IntentKind.PAYMENT),
        user_id="",
        content=b"",
        created_at=datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC),
    )


@pytest.fixture
def attempt() -> Attempt:
    """Give an attempt that was never stored."""
    return new_attempt()


async def seen(store: RedisAttempts, attempt: Attempt) -> object:
    """Return what is found, or that nothing is."""
    try:
        return await store.find(attempt.attempt_id)
    except AttemptNotFound:
        return AttemptNotFound


@pytest.mark.parametrize("change", CHANGES)
async def test_what_the_disk_did_not_take_is_not_acknowledged(
    change: str, server: EmbeddedValkey, attempt: Attempt
) -> None:
    """P2: at fsync, save, close and delete wait for the disk."""
    stop_syncing(server)
    async with store_on(server, FSYNC, BRIEF) as store:
        with pytest.raises(StoreUnavailable):
            await CHANGES[change](store, attempt)


@pytest.mark.parametrize("change", CHANGES)
async def test_a_repeat_waits_for_what_it_finds_done(change: str, server: EmbeddedValkey, attempt: Attempt) -> None:
    """P2: what is in memory may not be on the disk yet, and a server tells a connection only of its own writes."""
    stop_syncing(server)
    async with store_on(server, NONE, BRIEF) as careless:
        await CHANGES[change](careless, attempt)

    async with store_on(server, FSYNC, BRIEF) as store:
        with pytest.raises(StoreUnavailable):
            await CHANGES[change](store, attempt)


@pytest.mark.parametrize("change", CHANGES)
async def test_a_repeat_is_safe_once_the_disk_is_well(change: str, server: EmbeddedValkey, attempt: Attempt) -> None:
    """It is acknowledged, changes nothing, and survives a restart."""
    stop_syncing(server)
    async with store_on(server, FSYNC, BRIEF) as hasty:
        with pytest.raises(StoreUnavailable):
            await CHANGES[change](hasty, attempt)
        before = await seen(hasty, attempt)
    sync_again(server)

    async with store_on(server, FSYNC, PATIENT) as store:
        await CHANGES[change](store, attempt)

        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        assert await seen(store, attempt) == before


async def test_a_repeat_after_pay_by_waits_for_the_disk_too(server: EmbeddedValkey, attempt: Attempt) -> None:
    """P2: too late to be a first save, it is answered from what is stored, and only if that is kept."""
    stop_syncing(server)
    async with store_on(server, NONE, BRIEF) as careless:
        await careless.save(attempt)
    late = Draft(attempt.attempt_id, attempt.request_hash, attempt.intent, "", b"", attempt.created_at)

    async with store_on(server, FSYNC, BRIEF) as store:
        saver = AttemptSaver(store, clock=lambda: datetime.now(UTC), max_attempt_bytes=1024)
        with pytest.raises(StoreUnavailable):
            await saver.save(late)


@pytest.mark.parametrize("durability", [NONE, AOF])
async def test_lower_levels_do_not_wait_for_the_disk(
    durability: Durability, server: EmbeddedValkey, attempt: Attempt
) -> None:
    """They acknowledge what is in memory."""
    stop_syncing(server)
    async with store_on(server, durability, BRIEF) as store:
        saved = await store.save(attempt)

    assert not saved.replayed


async def test_changes_that_wait_leave_connections_to_readers(
    server: EmbeddedValkey, attempt: Attempt, caplog: pytest.LogCaptureFixture
) -> None:
    """P3: a payment's attempt can be read however many changes wait, and the log tells why further changes fail."""
    async with store_on(server, FSYNC, PATIENT) as unhurried:
        await unhurried.save(attempt)
    async with store_on(server, FSYNC, BRIEF) as store:
        stop_syncing(server)
        changes = [asyncio.create_task(store.save(new_attempt())) for _ in range(50)]

        while not all(change.done() for change in changes):
            [found] = await asyncio.gather(store.find(attempt.attempt_id), return_exceptions=True)
            assert found == attempt

        outcomes = await asyncio.gather(*changes, return_exceptions=True)
    assert {type(each) for each in outcomes} == {StoreUnavailable}
    assert {"NotOnDisk", "EveryConnectionWaits"} <= {getattr(record, "cause", None) for record in caplog.records}


async def test_a_change_must_reach_as_many_replicas_as_are_asked_for(server: EmbeddedValkey, attempt: Attempt) -> None:
    """The master's own disk is not enough where a replica's is asked for; readiness says so beforehand."""
    async with store_on(server, ON_A_REPLICA_TOO, BRIEF) as store:
        with pytest.raises(StoreUnavailable):
            await store.save(attempt)

    with pytest.raises(NotReady, match="0 replicas are online, changes must reach 1"):
        await check(server.url, ON_A_REPLICA_TOO)


async def test_what_a_replica_has_on_its_disk_outlives_the_master(server: EmbeddedValkey, attempt: Attempt) -> None:
    """An acknowledged change is found on the replica after both servers were killed."""
    server.execute("CONFIG", "SET", "masterauth", server.password)
    options = ALWAYS | {"masterauth": server.password}
    with EmbeddedValkey.temporary(password=server.password, options=options) as replica:
        replica.execute("REPLICAOF", "127.0.0.1", server.port)
        async with store_on(server, ON_A_REPLICA_TOO, PATIENT) as store:
            await until_in_step(server)
            await store.save(attempt)
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(replica.kill)
        await asyncio.to_thread(replica.start)

        async with store_on(replica, FSYNC, PATIENT) as survivor:
            assert await seen(survivor, attempt) == attempt


async def until_in_step(server: EmbeddedValkey) -> None:
    """Wait until a server's replica has all that it has."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                await check(server.url, ON_A_REPLICA_TOO)
            except NotReady:
                continue
            return


async def test_a_server_that_syncs_every_change_is_ready(server: EmbeddedValkey) -> None:
    """It can keep what is asked at each level."""
    for durability in (NONE, AOF, FSYNC):
        await check(server.url, durability)


@pytest.mark.parametrize("durability", [AOF, FSYNC])
async def test_a_server_without_a_file_is_refused(valkey: RedisServer, durability: Durability) -> None:
    """A restart would lose every attempt."""
    with pytest.raises(NotReady, match=f"appendonly is no: durability {durability.level.value} needs an append-only"):
        await check(valkey.url, durability)


async def test_a_server_without_a_file_will_do_where_nothing_is_asked(valkey: RedisServer) -> None:
    """At none, readiness does not look for one."""
    await check(valkey.url, NONE)


@pytest.mark.parametrize("policy", ["everysec", "no"])
async def test_a_server_that_does_not_sync_every_change_is_refused(server: EmbeddedValkey, policy: str) -> None:
    """At fsync; at aof it is what is expected."""
    server.execute("CONFIG", "SET", "appendfsync", policy)

    await check(server.url, AOF)
    with pytest.raises(NotReady, match=f"appendfsync is {policy}: durability fsync needs always"):
        await check(server.url, FSYNC)


async def test_a_server_that_does_not_tell_its_policy_is_put_to_the_test(server: EmbeddedValkey) -> None:
    """Without admin rights, readiness writes and waits for the disk, and says what was not reached."""
    server.execute("ACL", "SETUSER", "service", "on", ">secret", "~*", "+@all", "-@admin", "-@dangerous", "+info")
    url = f"redis://service:secret@127.0.0.1:{server.port}/0"
    await check(url, FSYNC)

    stop_syncing(server)

    with pytest.raises(NotReady, match=r"did not reach the disk in time \(on the master's disk: no"):
        await check(url, FSYNC, BRIEF)


@pytest.mark.parametrize("durability", [AOF, FSYNC])
def test_a_file_that_could_not_be_written_is_refused(durability: Durability) -> None:
    """The server says so itself, from its first failure until a write succeeds."""
    with pytest.raises(NotReady, match="the last write to the append-only file ended with err"):
        require_durable(durability, SOUND | {"aof_last_write_status": "err"}, {})


def test_replicas_that_are_not_in_step_do_not_count() -> None:
    """Only an online one is sent what is written."""
    replication = {"connected_slaves": 2, "slave0": {"state": "online"}, "slave1": {"state": "wait_bgsave"}}

    require_durable(ON_A_REPLICA_TOO, SOUND, replication)
    with pytest.raises(NotReady, match="1 replicas are online, changes must reach 2"):
        require_durable(Durability(DurabilityLevel.FSYNC, replicas=2), SOUND, replication)
