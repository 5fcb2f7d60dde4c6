"""What is peculiar to the store on Redis: layout, lifetimes, scripts, a full server."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from redis.asyncio import Redis

from checkout.common.v1 import common_pb2
from checkout_session.domain.attempts import (
    Attempt,
    AttemptClosed,
    CloseReason,
    DeleteReason,
    Intent,
    IntentKind,
    StoreUnavailable,
    Tombstone,
)
from checkout_session.messages import attempt_to_message
from checkout_session.redis_backend import scripts
from checkout_session.redis_backend.attempt_store import RedisAttempts, Retention
from checkout_session.redis_backend.connection import connect
from checkout_session.redis_backend.keys import SHARD_COUNT_KEY, keys_of
from checkout_session.redis_backend.primaries import OneMaster
from devstack.embedded_valkey import EmbeddedValkey
from servicekit.encryption import Keyring

DAY: Final = 24 * 60 * 60
NO_ROOM: Final = "1mb"
"""A maxmemory below what an empty server takes: every write that could need memory is refused."""


@pytest.fixture
def store(redis: Redis) -> RedisAttempts:
    """Give a store with the usual lifetimes."""
    return RedisAttempts(OneMaster(redis), Retention(), keyring=Keyring.unencrypted(), timeout_seconds=5)


@pytest.fixture
def attempt() -> Attempt:
    """Give an attempt that was never stored."""
    return Attempt(
        attempt_id=str(uuid.uuid4()),
        request_hash=b"h" * 32,
        intent=Intent("pi_first", IntentKind.PAYMENT),
        user_id="user_1",
        content=common_pb2.CheckoutContext(user_id="user_1").SerializeToString(),
        created_at=datetime(2026, 5, 4, 3, 2, 1, 123456, UTC),
    )


async def test_an_attempt_is_stored_as_protobuf(store: RedisAttempts, redis: Redis, attempt: Attempt) -> None:
    """Without keys, its hash holds the contract's message behind the mark of what is in the clear, and the owner."""
    await store.save(attempt)

    stored = await redis.hgetall(keys_of(attempt.attempt_id).attempt)

    message = attempt_to_message(attempt).SerializeToString()
    assert stored == {b"sealed": b"\0" + message, b"user_id": b"user_1"}


async def test_a_tombstone_holds_no_content(store: RedisAttempts, redis: Redis, attempt: Attempt) -> None:
    """P7: nothing of the attempt stays but what the tombstone tells."""
    content = common_pb2.CheckoutContext(user_id="user_1", contact=common_pb2.Contact(name="Ada Buyer"))
    await store.save(replace(attempt, content=content.SerializeToString()))
    await store.close(attempt.attempt_id, CloseReason.SUPERSEDED)

    await store.delete(attempt.attempt_id, DeleteReason.CANCELLED)

    keys = keys_of(attempt.attempt_id)
    assert await redis.keys() == [keys.closed.encode()]
    tombstone = await redis.hgetall(keys.closed)
    assert set(tombstone) == {b"close_reason", b"closed_at", b"delete_reason", b"deleted_at", b"user_id"}
    assert not any(b"Ada" in value for value in tombstone.values())


async def test_only_due_indexes_and_the_shard_count_stay_for_ever(
    store: RedisAttempts, redis: Redis, attempt: Attempt
) -> None:
    """Every key of an attempt ends by itself 35 days after it was written."""
    attempts = [replace(attempt, attempt_id=str(uuid.uuid4())) for _ in range(20)]
    for number, each in enumerate(attempts):
        await store.save(each)
        if number % 2:
            await store.close(each.attempt_id, CloseReason.SUPERSEDED)
        if number % 3 == 0:
            await store.delete(each.attempt_id, DeleteReason.CANCELLED)
    await store.close(str(uuid.uuid4()), CloseReason.SUPERSEDED)
    await store.delete(str(uuid.uuid4()), DeleteReason.CANCELLED)

    lifetimes = {key.decode(): await redis.ttl(key) async for key in redis.scan_iter()}

    lasting = {key for key, seconds in lifetimes.items() if seconds == -1}
    assert all(key.endswith(":due") or key == SHARD_COUNT_KEY for key in lasting)
    assert all(35 * DAY - 10 <= seconds <= 35 * DAY for key, seconds in lifetimes.items() if key not in lasting)


async def test_a_closed_marker_outlives_its_attempt(redis: Redis, attempt: Attempt) -> None:
    """A marker that ended before its attempt would open it again."""
    store = RedisAttempts(
        OneMaster(redis), Retention(attempt_ttl=timedelta(days=90)), keyring=Keyring.unencrypted(), timeout_seconds=5
    )
    await store.save(attempt)

    await store.close(attempt.attempt_id, CloseReason.SUPERSEDED)

    keys = keys_of(attempt.attempt_id)
    assert await redis.ttl(keys.closed) >= await redis.ttl(keys.attempt) > 89 * DAY


async def test_deleting_a_closed_attempt_renews_the_marker(
    redis: Redis, store: RedisAttempts, attempt: Attempt
) -> None:
    """A tombstone stays 35 days from the deletion, not from the close."""
    await store.save(attempt)
    await store.close(attempt.attempt_id, CloseReason.SUPERSEDED)
    await redis.expire(keys_of(attempt.attempt_id).closed, DAY)

    await store.delete(attempt.attempt_id, DeleteReason.CANCELLED)

    assert await redis.ttl(keys_of(attempt.attempt_id).closed) > 34 * DAY


async def test_repeating_a_deletion_does_not_renew_the_tombstone(
    redis: Redis, store: RedisAttempts, attempt: Attempt
) -> None:
    """Webhooks repeated for ever do not keep a tombstone for ever."""
    await store.delete(attempt.attempt_id, DeleteReason.CANCELLED)
    await redis.expire(keys_of(attempt.attempt_id).closed, DAY)

    await store.delete(attempt.attempt_id, DeleteReason.CANCELLED)

    assert await redis.ttl(keys_of(attempt.attempt_id).closed) <= DAY


async def test_scripts_are_sent_again_to_a_server_that_lost_them(
    redis: Redis, store: RedisAttempts, attempt: Attempt
) -> None:
    """After a restart or a failover the server does not know the digests."""
    await redis.script_flush()
    await store.save(attempt)
    await redis.script_flush()
    await store.find(attempt.attempt_id)
    await redis.script_flush()
    await store.close(attempt.attempt_id, CloseReason.SUPERSEDED)
    await redis.script_flush()

    await store.delete(attempt.attempt_id, DeleteReason.CANCELLED)

    assert isinstance(await store.find(attempt.attempt_id), Tombstone)


async def test_scripts_are_sent_only_once(redis: Redis, store: RedisAttempts, attempt: Attempt) -> None:
    """A server that knows a script is asked by digest."""
    await redis.script_flush()
    await redis.config_resetstat()

    for _ in range(5):
        await store.save(attempt)

    calls = await redis.info("commandstats")
    assert (calls["cmdstat_eval"]["calls"], calls["cmdstat_evalsha"]["calls"]) == (1, 5)


@pytest.mark.parametrize("name", ["SAVE", "FIND", "CLOSE", "DELETE"])
def test_a_script_names_no_key_of_its_own(name: str) -> None:
    """Redis Cluster must know every key from KEYS; the engine line makes servers enforce it."""
    script: scripts.Script = getattr(scripts, name)
    code = [line for line in script.text.splitlines() if not line.startswith("--")]

    assert code[0].startswith("#!lua")
    assert not any(mark in line for line in code for mark in ("..", "'{", ":attempt:", ":closed:", ":due"))


@pytest.fixture
async def roomy() -> AsyncIterator[tuple[RedisAttempts, Redis]]:
    """Give a store on a server of its own that can be filled up."""
    with EmbeddedValkey.temporary(appendonly=False) as server:
        redis = connect(server.url, max_connections=4, timeout_seconds=5)
        yield RedisAttempts(OneMaster(redis), Retention(), keyring=Keyring.unencrypted(), timeout_seconds=5), redis
        await redis.aclose()


async def test_a_full_redis_takes_no_attempt(roomy: tuple[RedisAttempts, Redis], attempt: Attempt) -> None:
    """Nothing is evicted and nothing half stored: the save fails, and works again when there is room."""
    store, redis = roomy
    await redis.config_set("maxmemory", NO_ROOM)

    with pytest.raises(StoreUnavailable):
        await store.save(attempt)

    assert await redis.keys() == []
    await redis.config_set("maxmemory", "0")
    assert not (await store.save(attempt)).replayed


async def test_a_full_redis_still_reads_closes_and_deletes(
    roomy: tuple[RedisAttempts, Redis], attempt: Attempt
) -> None:
    """What is stored can be fulfilled, and fulfilling it is what makes room."""
    store, redis = roomy
    await store.save(attempt)
    await redis.config_set("maxmemory", NO_ROOM)

    assert await store.find(attempt.attempt_id) == attempt
    await store.close(attempt.attempt_id, CloseReason.SUPERSEDED)
    await store.delete(attempt.attempt_id, DeleteReason.CANCELLED)

    assert isinstance(await store.find(attempt.attempt_id), Tombstone)


async def test_a_closed_id_is_not_written(store: RedisAttempts, redis: Redis, attempt: Attempt) -> None:
    """A refused save leaves neither content nor an entry in the due index."""
    await store.close(attempt.attempt_id, CloseReason.SUPERSEDED)

    with pytest.raises(AttemptClosed):
        await store.save(attempt)

    assert await redis.keys() == [keys_of(attempt.attempt_id).closed.encode()]
