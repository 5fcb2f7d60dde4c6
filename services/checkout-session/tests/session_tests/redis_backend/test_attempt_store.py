"""The attempt store: its contract on each topology, and its keys, lifetimes and scripts on one server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from redis.asyncio import Redis

from checkout.common.v1 import common_pb2
from checkout_session.domain.attempts import (
    Attempt,
    AttemptClosed,
    AttemptNotFound,
    ClosedAttempt,
    CloseReason,
    DeleteReason,
    Intent,
    IntentKind,
    Saved,
    StoreUnavailable,
    Tombstone,
)
from checkout_session.proto_mapping import attempt_to_proto
from checkout_session.redis_backend import scripts
from checkout_session.redis_backend.attempt_store import RedisAttemptStore, Retention
from checkout_session.redis_backend.connection import Limits, connect
from checkout_session.redis_backend.keys import SHARD_COUNT_KEY, keys_of
from checkout_session.redis_backend.primaries import StandalonePrimaries
from devstack.embedded_valkey import EmbeddedValkey

from ..harness import new_attempt, opened, store_on

DAY: Final = 24 * 60 * 60
NO_ROOM: Final = "1mb"
"""A maxmemory below that of an empty server: every write that could need memory is refused."""
SUCCESSOR: Final = "5c1de0f2-0000-4000-8000-000000000001"
ANOTHER: Final = "5c1de0f2-0000-4000-8000-000000000002"
FIXTURES: Final = {"standalone": "valkey", "cluster": "cluster", "sentinel": "sentinels"}


@pytest.fixture(params=FIXTURES)
async def any_store(request: pytest.FixtureRequest) -> AsyncIterator[RedisAttemptStore]:
    """Return a store on each topology."""
    servers: Any = request.getfixturevalue(FIXTURES[request.param])
    async with opened(servers.url) as primaries:
        yield store_on(primaries)


@pytest.fixture
def store(redis: Redis) -> RedisAttemptStore:
    """Return a store on an empty Valkey."""
    return store_on(StandalonePrimaries(redis))


async def due_time(redis: Redis, attempt_id: str) -> datetime | None:
    """Return the next check time of an attempt."""
    score = await redis.zscore(keys_of(attempt_id).due, attempt_id)
    return None if score is None else datetime.fromtimestamp(score, UTC)


def is_near(moment: datetime | None, expected: datetime) -> bool:
    """Return True for a moment within the clock slack of another one."""
    return moment is not None and abs(moment - expected) < timedelta(seconds=5)


async def test_the_life_of_an_attempt(any_store: RedisAttemptStore) -> None:
    """It is saved, found, closed and deleted; each repeat changes nothing, and the first reasons stay."""
    attempt = new_attempt()
    closed = replace(attempt, close_reason=CloseReason.SUPERSEDED)
    another = replace(attempt, intent=Intent("pi_second", IntentKind.PAYMENT), request_hash=b"o" * 32)

    assert await any_store.save(attempt) == Saved(attempt, replayed=False)
    assert await any_store.save(another) == Saved(attempt, replayed=True)
    assert await any_store.find(attempt.attempt_id) == attempt
    for reason in (CloseReason.SUPERSEDED, CloseReason.PAY_BY_PASSED):
        assert await any_store.close(attempt.attempt_id, reason) == ClosedAttempt(closed, "")
        assert await any_store.find(attempt.attempt_id) == closed
        with pytest.raises(AttemptClosed):
            await any_store.save(attempt)
    await any_store.delete(attempt.attempt_id, DeleteReason.RECORDED)
    tombstone = await any_store.find(attempt.attempt_id)
    await any_store.delete(attempt.attempt_id, DeleteReason.CANCELLED)
    assert await any_store.close(attempt.attempt_id, CloseReason.PAY_BY_PASSED) == ClosedAttempt(tombstone, "")
    with pytest.raises(AttemptClosed):
        await any_store.save(attempt)

    assert isinstance(tombstone, Tombstone)
    assert await any_store.find(attempt.attempt_id) == tombstone
    assert is_near(tombstone.deleted_at, datetime.now(UTC))
    assert tombstone == Tombstone(
        attempt.attempt_id, DeleteReason.RECORDED, CloseReason.SUPERSEDED, "user_1", tombstone.deleted_at, ""
    )


async def never_saved(_: RedisAttemptStore, __: Attempt) -> None:
    """Leave the id unknown."""
    return


async def opened_once(store: RedisAttemptStore, attempt: Attempt) -> Attempt:
    """Save the attempt; return it as superseded."""
    await store.save(attempt)
    return replace(attempt, close_reason=CloseReason.SUPERSEDED, successor=SUCCESSOR)


async def closed_before(store: RedisAttemptStore, attempt: Attempt) -> Attempt:
    """Save and close the attempt; return it as superseded. Its first reason stays."""
    await store.save(attempt)
    await store.close(attempt.attempt_id, CloseReason.PAY_BY_PASSED)
    return replace(attempt, close_reason=CloseReason.PAY_BY_PASSED, successor=SUCCESSOR)


async def deleted_before(store: RedisAttemptStore, attempt: Attempt) -> Tombstone:
    """Save and delete the attempt; return its tombstone as superseded. It stays without a close reason."""
    await store.save(attempt)
    await store.delete(attempt.attempt_id, DeleteReason.RECORDED)
    tombstone = await store.find(attempt.attempt_id)
    assert isinstance(tombstone, Tombstone)
    return replace(tombstone, successor=SUCCESSOR)


@pytest.mark.parametrize("prepare", [never_saved, opened_once, closed_before, deleted_before])
async def test_an_id_gets_one_successor(
    any_store: RedisAttemptStore, prepare: Callable[..., Awaitable[Attempt | Tombstone | None]]
) -> None:
    """Every close answers the first successor, the tombstone keeps it, a save fails: whatever stands under the id."""
    attempt = new_attempt()
    superseded = await prepare(any_store, attempt)

    answers = [
        await any_store.close(attempt.attempt_id, CloseReason.SUPERSEDED, successor)
        for successor in (SUCCESSOR, ANOTHER, "")
    ]

    assert answers == [ClosedAttempt(superseded, SUCCESSOR)] * 3
    with pytest.raises(AttemptClosed):
        await any_store.save(attempt)
    await any_store.delete(attempt.attempt_id, DeleteReason.CANCELLED)
    tombstone = await any_store.find(attempt.attempt_id)
    assert isinstance(tombstone, Tombstone)
    assert tombstone.successor == SUCCESSOR
    assert tombstone.close_reason == (superseded.close_reason if superseded else CloseReason.SUPERSEDED)


async def test_an_id_can_be_closed_before_it_is_saved(store: RedisAttemptStore, redis: Redis) -> None:
    """Closing stops an initiate in flight: its save comes too late, and leaves nothing."""
    attempt = new_attempt()
    await store.close(attempt.attempt_id, CloseReason.SUPERSEDED)

    with pytest.raises(AttemptClosed):
        await store.save(attempt)
    with pytest.raises(AttemptNotFound):
        await store.find(attempt.attempt_id)
    assert await redis.keys() == [keys_of(attempt.attempt_id).closed.encode()]


@pytest.mark.parametrize("closed", [None, CloseReason.SUPERSEDED])
async def test_deleting_an_id_that_was_never_saved_leaves_a_tombstone(
    store: RedisAttemptStore, closed: CloseReason | None
) -> None:
    """It has no owner and keeps the close reason, and a later save is refused."""
    attempt = new_attempt()
    if closed:
        await store.close(attempt.attempt_id, closed)

    await store.delete(attempt.attempt_id, DeleteReason.CANCELLED)

    found = await store.find(attempt.attempt_id)
    assert isinstance(found, Tombstone)
    assert (found.reason, found.close_reason, found.user_id) == (DeleteReason.CANCELLED, closed, "")
    with pytest.raises(AttemptClosed):
        await store.save(attempt)


async def test_the_due_time_follows_the_attempt(store: RedisAttemptStore, redis: Redis) -> None:
    """Due after the first check's delay, which a repeat leaves; at once when closed; never when deleted."""
    attempt = new_attempt()
    await store.save(attempt)
    saved = await due_time(redis, attempt.attempt_id)
    await store.save(attempt)
    replayed = await due_time(redis, attempt.attempt_id)
    await store.close(attempt.attempt_id, CloseReason.SUPERSEDED)
    closed = await due_time(redis, attempt.attempt_id)
    await store.delete(attempt.attempt_id, DeleteReason.CANCELLED)
    await store.close(attempt.attempt_id, CloseReason.SUPERSEDED)

    assert saved == replayed
    assert is_near(saved, datetime.now(UTC) + timedelta(minutes=10))
    assert is_near(closed, datetime.now(UTC))
    assert await due_time(redis, attempt.attempt_id) is None


async def test_an_attempt_is_stored_as_protobuf(store: RedisAttemptStore, redis: Redis) -> None:
    """Without keys, its hash holds the contract's message behind the byte for unencrypted content; owner and intent."""
    attempt = new_attempt()

    await store.save(attempt)

    message = attempt_to_proto(attempt).SerializeToString()
    stored = await redis.hgetall(keys_of(attempt.attempt_id).attempt)
    clear = {b"user_id": b"user_1", b"intent_id": b"pi_first", b"intent_kind": b"payment"}
    assert stored == {b"content": b"\0" + message} | clear


async def test_p7_a_tombstone_holds_no_content(store: RedisAttemptStore, redis: Redis) -> None:
    """Only the fields of the tombstone stay."""
    content = common_pb2.CheckoutContext(user_id="user_1", contact=common_pb2.Contact(name="Ada Buyer"))
    attempt = new_attempt(content=content.SerializeToString())
    await store.save(attempt)
    await store.close(attempt.attempt_id, CloseReason.SUPERSEDED, SUCCESSOR)

    await store.delete(attempt.attempt_id, DeleteReason.CANCELLED)

    keys = keys_of(attempt.attempt_id)
    assert await redis.keys() == [keys.closed.encode()]
    tombstone = await redis.hgetall(keys.closed)
    assert set(tombstone) == {
        *(b"close_reason", b"closed_at", b"successor"),
        *(b"delete_reason", b"deleted_at", b"user_id"),
    }
    assert not any(b"Ada" in value for value in tombstone.values())


async def test_every_key_of_an_attempt_expires(store: RedisAttemptStore, redis: Redis) -> None:
    """35 days after it was written; only what the shards' attempts share and the shard count stay."""
    for number in range(12):
        attempt = new_attempt()
        if number % 4:
            await store.save(attempt)
        if number % 2:
            await store.close(attempt.attempt_id, CloseReason.SUPERSEDED)
        if number % 3 == 0:
            await store.delete(attempt.attempt_id, DeleteReason.CANCELLED)

    lifetimes = {key.decode(): await redis.ttl(key) async for key in redis.scan_iter()}

    lasting = {key for key, seconds in lifetimes.items() if seconds == -1}
    assert all(key.endswith((":due", ":intents")) or key == SHARD_COUNT_KEY for key in lasting)
    assert all(35 * DAY - 10 <= seconds <= 35 * DAY for key, seconds in lifetimes.items() if key not in lasting)


async def test_a_closed_marker_outlives_its_attempt(redis: Redis) -> None:
    """A marker that expired first would open the attempt again."""
    store, attempt = store_on(StandalonePrimaries(redis), Retention(attempt_ttl=timedelta(days=90))), new_attempt()
    await store.save(attempt)

    await store.close(attempt.attempt_id, CloseReason.SUPERSEDED)

    keys = keys_of(attempt.attempt_id)
    assert await redis.ttl(keys.closed) >= await redis.ttl(keys.attempt) > 89 * DAY


@pytest.mark.parametrize("change", ["delete", "supersede"])
async def test_only_the_first_deletion_and_successor_renew_the_marker(
    redis: Redis, store: RedisAttemptStore, change: str
) -> None:
    """A marker stays 35 days from its last change; repeated webhooks and back buttons do not keep it for ever."""
    attempt = new_attempt()
    closed = keys_of(attempt.attempt_id).closed
    await store.close(attempt.attempt_id, CloseReason.SUPERSEDED)
    lifetimes = []
    for _ in range(2):
        await redis.expire(closed, DAY)

        if change == "delete":
            await store.delete(attempt.attempt_id, DeleteReason.CANCELLED)
        else:
            await store.close(attempt.attempt_id, CloseReason.SUPERSEDED, SUCCESSOR)

        lifetimes.append(await redis.ttl(closed))

    assert lifetimes[0] > 34 * DAY
    assert lifetimes[1] <= DAY


async def test_scripts_are_sent_only_to_a_server_without_them(redis: Redis, store: RedisAttemptStore) -> None:
    """After a restart or a failover the cache is empty; otherwise the digest is enough."""
    attempt = new_attempt()
    await redis.config_resetstat()
    for call in (
        lambda: store.save(attempt),
        lambda: store.find(attempt.attempt_id),
        lambda: store.close(attempt.attempt_id, CloseReason.SUPERSEDED),
        lambda: store.delete(attempt.attempt_id, DeleteReason.CANCELLED),
    ):
        await redis.script_flush()
        await call()
    for _ in range(5):
        await store.delete(attempt.attempt_id, DeleteReason.CANCELLED)

    calls = await redis.info("commandstats")
    assert (calls["cmdstat_eval"]["calls"], calls["cmdstat_evalsha"]["calls"]) == (4, 9)


@pytest.mark.parametrize("name", ["SAVE", "REPLAY", "FIND", "CLOSE", "DELETE", "CLAIM", "RENEW", "RESCHEDULE"])
def test_a_script_contains_no_key(name: str) -> None:
    """Redis Cluster must know every key from KEYS; the engine line makes servers enforce it."""
    script: scripts.Script = getattr(scripts, name)
    code = [line for line in script.text.splitlines() if not line.startswith("--")]

    assert code[0].startswith("#!lua")
    assert not any(mark in line for line in code for mark in ("..", "'{", ":attempt:", ":closed:", ":due", ":intents"))


async def test_a_full_redis_takes_no_attempt_and_does_the_rest() -> None:
    """Nothing is evicted and nothing half stored; a repeated save is answered. Fulfilling what is stored makes room."""
    with EmbeddedValkey.temporary(appendonly=False) as server:
        redis = connect(server.url, Limits(redis_timeout_seconds=5))
        store, stored, refused = store_on(StandalonePrimaries(redis)), new_attempt(), new_attempt()
        await store.save(stored)
        await redis.config_set("maxmemory", NO_ROOM)

        with pytest.raises(StoreUnavailable):
            await store.save(refused)

        assert await redis.exists(keys_of(refused.attempt_id).attempt) == 0
        assert await store.find(stored.attempt_id) == stored
        [again] = await asyncio.gather(store.save(replace(stored, user_id="user_2")), return_exceptions=True)
        assert again == Saved(stored, replayed=True)
        assert (await store.close(stored.attempt_id, CloseReason.SUPERSEDED, SUCCESSOR)).successor == SUCCESSOR
        with pytest.raises(AttemptClosed):
            await store.save(stored)
        await store.delete(stored.attempt_id, DeleteReason.CANCELLED)
        assert isinstance(await store.find(stored.attempt_id), Tombstone)
        await redis.config_set("maxmemory", "0")
        assert not (await store.save(refused)).replayed
        await redis.aclose()
