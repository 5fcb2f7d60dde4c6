"""What every attempt store does: one suite for the store in memory and for the one on each form of real Valkey."""

import asyncio
import base64
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from redis.crc import key_slot

from checkout.common.v1 import common_pb2
from checkout_session.domain.attempts import (
    Attempt,
    AttemptClosed,
    AttemptNotFound,
    AttemptStore,
    CloseReason,
    DeleteReason,
    Intent,
    IntentKind,
    Saved,
    Tombstone,
)
from checkout_session.domain.durability import Durability, DurabilityLevel
from checkout_session.memory_store import MemoryAttempts
from checkout_session.redis_backend.attempt_store import RedisAttempts, Retention
from checkout_session.redis_backend.keys import keys_of
from checkout_session.redis_backend.primaries import Masters
from checkout_session.redis_backend.topology import Limits, open_masters
from devstack.embedded_cluster import EmbeddedCluster
from devstack.embedded_sentinels import EmbeddedSentinels
from servicekit.encryption import Keyring
from tests.containers.choice import RedisServer

FIRST_CHECK = timedelta(minutes=10)
CLOCK_SLACK = timedelta(seconds=5)
SERVERS = {"single": "valkey", "cluster": "cluster", "sentinel": "sentinels"}
"""The fixture that runs each form."""
Servers = RedisServer | EmbeddedCluster | EmbeddedSentinels


@dataclass(frozen=True)
class Subject:
    """A store, and a look into its due index."""

    store: AttemptStore
    due: Callable[[str], Awaitable[datetime | None]]


@pytest.fixture(params=["memory", "single", "cluster", "sentinel"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    """Give the store in memory, and the one on each form of real servers, in turn; no id was ever used there."""
    if request.param == "memory":
        memory = MemoryAttempts(clock=lambda: datetime.now(UTC), first_check=FIRST_CHECK)

        async def due_in_memory(attempt_id: str) -> datetime | None:
            return memory.due.get(attempt_id)

        yield Subject(memory, due_in_memory)
        return
    servers: Servers = request.getfixturevalue(SERVERS[request.param])
    masters = open_masters(servers.url, Durability(DurabilityLevel.NONE), Limits(4, 5, 5))

    async def due_in_redis(attempt_id: str) -> datetime | None:
        key = keys_of(attempt_id).due
        score = await asyncio.to_thread(owner_of(servers, key).execute, "ZSCORE", key, attempt_id)
        return None if score is None else datetime.fromtimestamp(score, UTC)

    yield Subject(store_on(masters), due_in_redis)
    await masters.aclose()


def owner_of(servers: Servers, key: str) -> RedisServer:
    """Return the server that holds a key."""
    if isinstance(servers, EmbeddedCluster):
        return servers.primary_of(key_slot(key.encode()))
    return servers.primary if isinstance(servers, EmbeddedSentinels) else servers


def store_on(masters: Masters) -> RedisAttempts:
    """Return a store that leads to these servers."""
    keyring = Keyring.parse("k1:" + base64.b64encode(bytes(range(32))).decode())
    return RedisAttempts(masters, Retention(first_check=FIRST_CHECK), keyring=keyring, timeout_seconds=5)


@pytest.fixture
def store(subject: Subject) -> AttemptStore:
    """Give the store alone."""
    return subject.store


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


async def test_a_saved_attempt_is_found_as_it_was_sent(store: AttemptStore, attempt: Attempt) -> None:
    """Saving answers the attempt, not replayed, and finding answers the same."""
    saved = await store.save(attempt)

    assert saved == Saved(attempt, replayed=False)
    assert await store.find(attempt.attempt_id) == attempt


async def test_the_first_save_wins(store: AttemptStore, attempt: Attempt) -> None:
    """A second save of an id answers what the first one stored."""
    await store.save(attempt)

    again = await store.save(replace(attempt, intent=Intent("pi_second", IntentKind.PAYMENT), request_hash=b"o" * 32))

    assert again == Saved(attempt, replayed=True)
    assert await store.find(attempt.attempt_id) == attempt


async def test_an_unknown_id_is_not_found(store: AttemptStore, attempt: Attempt) -> None:
    """An id that nobody used has neither attempt nor tombstone."""
    with pytest.raises(AttemptNotFound):
        await store.find(attempt.attempt_id)


async def test_a_closed_attempt_keeps_its_content(store: AttemptStore, attempt: Attempt) -> None:
    """Closing adds the reason and nothing else."""
    await store.save(attempt)

    await store.close(attempt.attempt_id, CloseReason.SUPERSEDED)

    assert await store.find(attempt.attempt_id) == replace(attempt, close_reason=CloseReason.SUPERSEDED)


async def test_a_closed_attempt_takes_no_save(store: AttemptStore, attempt: Attempt) -> None:
    """Not even a repeat of the save that stored it."""
    await store.save(attempt)
    await store.close(attempt.attempt_id, CloseReason.SUPERSEDED)

    with pytest.raises(AttemptClosed):
        await store.save(attempt)


async def test_the_first_close_reason_stays(store: AttemptStore, attempt: Attempt) -> None:
    """Closing again changes nothing."""
    await store.save(attempt)
    await store.close(attempt.attempt_id, CloseReason.SUPERSEDED)

    await store.close(attempt.attempt_id, CloseReason.PAY_BY_PASSED)

    assert await store.find(attempt.attempt_id) == replace(attempt, close_reason=CloseReason.SUPERSEDED)


async def test_an_id_can_be_closed_before_it_is_saved(store: AttemptStore, attempt: Attempt) -> None:
    """Closing stops an initiate in flight: its save comes too late, and nothing is found."""
    await store.close(attempt.attempt_id, CloseReason.SUPERSEDED)

    with pytest.raises(AttemptClosed):
        await store.save(attempt)
    with pytest.raises(AttemptNotFound):
        await store.find(attempt.attempt_id)


async def test_a_deleted_attempt_leaves_a_tombstone(store: AttemptStore, attempt: Attempt) -> None:
    """The tombstone tells reason, owner and time, and has no content."""
    await store.save(attempt)

    await store.delete(attempt.attempt_id, DeleteReason.RECORDED)

    found = await store.find(attempt.attempt_id)
    assert isinstance(found, Tombstone)
    assert replace(found, deleted_at=attempt.created_at) == Tombstone(
        attempt.attempt_id, DeleteReason.RECORDED, None, "user_1", attempt.created_at
    )
    assert abs(found.deleted_at - datetime.now(UTC)) < CLOCK_SLACK


async def test_a_tombstone_keeps_the_close_reason(store: AttemptStore, attempt: Attempt) -> None:
    """What closed an attempt is still told after its deletion."""
    await store.save(attempt)
    await store.close(attempt.attempt_id, CloseReason.PAY_BY_PASSED)

    await store.delete(attempt.attempt_id, DeleteReason.CANCELLED)

    found = await store.find(attempt.attempt_id)
    assert isinstance(found, Tombstone)
    assert (found.reason, found.close_reason) == (DeleteReason.CANCELLED, CloseReason.PAY_BY_PASSED)
    assert found.user_id == "user_1"


async def test_a_deleted_attempt_takes_no_save(store: AttemptStore, attempt: Attempt) -> None:
    """A late repeat of initiate cannot bring it back."""
    await store.save(attempt)
    await store.delete(attempt.attempt_id, DeleteReason.RECORDED)

    with pytest.raises(AttemptClosed):
        await store.save(attempt)


async def test_the_first_delete_reason_stays(store: AttemptStore, attempt: Attempt) -> None:
    """Deleting again changes nothing, the owner included."""
    await store.save(attempt)
    await store.delete(attempt.attempt_id, DeleteReason.RECORDED)
    first = await store.find(attempt.attempt_id)

    await store.delete(attempt.attempt_id, DeleteReason.CANCELLED)

    assert await store.find(attempt.attempt_id) == first


async def test_deleting_an_id_that_was_never_saved_bars_it(store: AttemptStore, attempt: Attempt) -> None:
    """It leaves a tombstone without an owner, and a later save is refused."""
    await store.delete(attempt.attempt_id, DeleteReason.CANCELLED)

    found = await store.find(attempt.attempt_id)
    assert isinstance(found, Tombstone)
    assert (found.reason, found.user_id) == (DeleteReason.CANCELLED, "")
    with pytest.raises(AttemptClosed):
        await store.save(attempt)


async def test_deleting_an_id_that_was_only_closed_leaves_a_tombstone(store: AttemptStore, attempt: Attempt) -> None:
    """The close reason of an id that was never saved is in its tombstone."""
    await store.close(attempt.attempt_id, CloseReason.SUPERSEDED)

    await store.delete(attempt.attempt_id, DeleteReason.CANCELLED)

    found = await store.find(attempt.attempt_id)
    assert isinstance(found, Tombstone)
    assert (found.reason, found.close_reason) == (DeleteReason.CANCELLED, CloseReason.SUPERSEDED)


async def test_closing_a_deleted_attempt_changes_nothing(subject: Subject, attempt: Attempt) -> None:
    """The tombstone stays as it was and nothing comes due."""
    await subject.store.save(attempt)
    await subject.store.delete(attempt.attempt_id, DeleteReason.RECORDED)
    tombstone = await subject.store.find(attempt.attempt_id)

    await subject.store.close(attempt.attempt_id, CloseReason.SUPERSEDED)

    assert await subject.store.find(attempt.attempt_id) == tombstone
    assert await subject.due(attempt.attempt_id) is None


async def test_a_guests_tombstone_has_no_owner(store: AttemptStore, attempt: Attempt) -> None:
    """An attempt without user id leaves a tombstone without one."""
    await store.save(replace(attempt, user_id="", content=b""))

    await store.delete(attempt.attempt_id, DeleteReason.RECORDED)

    found = await store.find(attempt.attempt_id)
    assert isinstance(found, Tombstone)
    assert found.user_id == ""


async def test_a_saved_attempt_comes_due_after_the_first_check_delay(subject: Subject, attempt: Attempt) -> None:
    """The due index holds a stored attempt from its save on."""
    await subject.store.save(attempt)

    due = await subject.due(attempt.attempt_id)

    assert due is not None
    assert abs(due - datetime.now(UTC) - FIRST_CHECK) < CLOCK_SLACK


async def test_a_replayed_save_leaves_the_due_time(subject: Subject, attempt: Attempt) -> None:
    """Repeating a save does not put off the look at the attempt, nor hasten it after a close."""
    await subject.store.save(attempt)
    before = await subject.due(attempt.attempt_id)

    await subject.store.save(attempt)

    assert await subject.due(attempt.attempt_id) == before


async def test_closing_makes_an_attempt_due_at_once(subject: Subject, attempt: Attempt) -> None:
    """A closed attempt's intent should be cancelled soon, should its caller die before."""
    await subject.store.save(attempt)

    await subject.store.close(attempt.attempt_id, CloseReason.SUPERSEDED)

    due = await subject.due(attempt.attempt_id)
    assert due is not None
    assert abs(due - datetime.now(UTC)) < CLOCK_SLACK


async def test_closing_an_id_that_was_never_saved_makes_nothing_due(subject: Subject, attempt: Attempt) -> None:
    """There is nothing to reconcile."""
    await subject.store.close(attempt.attempt_id, CloseReason.SUPERSEDED)

    assert await subject.due(attempt.attempt_id) is None


async def test_a_deleted_attempt_is_no_longer_due(subject: Subject, attempt: Attempt) -> None:
    """Deletion takes the id out of the due index, whether it was closed or not."""
    await subject.store.save(attempt)
    await subject.store.close(attempt.attempt_id, CloseReason.SUPERSEDED)

    await subject.store.delete(attempt.attempt_id, DeleteReason.CANCELLED)

    assert await subject.due(attempt.attempt_id) is None
