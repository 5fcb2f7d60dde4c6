"""The index of due attempts: its contract on each topology, its leases and lifetimes on one server."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from checkout_session.domain.attempts import Attempt, CloseReason, DeleteReason, Intent, IntentKind, StoreUnavailable
from checkout_session.domain.due_attempts import DueAttempt
from checkout_session.redis_backend import scripts
from checkout_session.redis_backend.attempt_store import Retention
from checkout_session.redis_backend.connection import Limits, connect
from checkout_session.redis_backend.due_attempts import RedisDueAttempts
from checkout_session.redis_backend.keys import SHARDS, keys_of, shard_of
from checkout_session.redis_backend.primaries import Primaries, StandalonePrimaries
from checkout_session.redis_backend.scripts import Script
from devstack.embedded_valkey import EmbeddedValkey

from ..harness import new_attempt, opened, store_on

DAY: Final = 24 * 60 * 60
LEASE: Final = timedelta(minutes=5)
AT_ONCE: Final = Retention(first_check=timedelta(0))
MALFORMED: Final = (b"payment", b"payment:\xff:1:2", b"payment:pi_1:1:" + 30 * b"9")
FIXTURES: Final = {"standalone": "valkey", "cluster": "cluster", "sentinel": "sentinels"}


@pytest.fixture(params=FIXTURES)
async def any_primaries(request: pytest.FixtureRequest) -> AsyncIterator[Primaries]:
    """Return the primaries of each topology."""
    servers: Any = request.getfixturevalue(FIXTURES[request.param])
    async with opened(servers.url) as primaries:
        yield primaries


@pytest.fixture
def primaries(redis: Redis) -> Primaries:
    """Return an empty Valkey."""
    return StandalonePrimaries(redis)


def due_on(primaries: Primaries, retention: Retention = AT_ONCE) -> RedisDueAttempts:
    """Return the index of due attempts."""
    return RedisDueAttempts(primaries, retention, timeout_seconds=20)


async def saved(primaries: Primaries, count: int, **changes: Any) -> list[Attempt]:
    """Save attempts that are due at once."""
    store, attempts = store_on(primaries, AT_ONCE), [new_attempt(**changes) for _ in range(count)]
    await asyncio.gather(*(store.save(attempt) for attempt in attempts))
    return attempts


def claimed_form(attempt: Attempt, close_reason: CloseReason | None = None) -> DueAttempt:
    """Return a stored attempt as a claim returns it: times are whole seconds."""
    return DueAttempt(
        attempt_id=attempt.attempt_id,
        intent=attempt.intent,
        created_at=attempt.created_at.replace(microsecond=0),
        pay_by=attempt.pay_by.replace(microsecond=0) + timedelta(seconds=1),
        close_reason=close_reason,
        content_exists=True,
    )


def ids(attempts: Sequence[Attempt | DueAttempt]) -> list[str]:
    """Return the sorted ids of attempts."""
    return sorted(attempt.attempt_id for attempt in attempts)


async def test_due_attempts_are_claimed_once_and_come_due_again(any_primaries: Primaries) -> None:
    """With what is known of each, and again at the time that is set; a deleted attempt never returns."""
    store, due = store_on(any_primaries), due_on(any_primaries)
    [setup] = await saved(any_primaries, 1, intent=Intent("seti:odd", IntentKind.SETUP))
    payments = await saved(any_primaries, 20)
    not_due = new_attempt()
    await store.save(not_due)
    await store.close(payments[0].attempt_id, CloseReason.PAY_BY_PASSED)
    expected = [claimed_form(setup), claimed_form(payments[0], CloseReason.PAY_BY_PASSED)]

    first = await due.claim(1000, LEASE)
    second = await due.claim(1000, LEASE)
    await store.delete(payments[1].attempt_id, DeleteReason.RECORDED)
    await due.reschedule({each.attempt_id: timedelta(0) for each in [setup, *payments[:2], new_attempt()]})
    third = await due.claim(1000, LEASE)

    assert ids(first) == ids([setup, *payments])
    assert [each for each in expected if each not in first] == []
    assert second == []
    assert ids(third) == ids([setup, payments[0]])


async def test_a_claim_returns_as_many_as_are_asked_for(primaries: Primaries) -> None:
    """Claims go over all shards, and end when nothing is due."""
    attempts, due = await saved(primaries, 250), due_on(primaries)
    assert len({shard_of(attempt.attempt_id) for attempt in attempts}) > SHARDS / 2

    pages = [await due.claim(100, LEASE) for _ in range(4)]

    assert [len(page) for page in pages] == [100, 100, 50, 0]
    assert ids([each for page in pages for each in page]) == ids(attempts)


async def test_concurrent_claims_share_the_attempts(primaries: Primaries) -> None:
    """Eight reconcilers at once get every attempt, and none twice within the lease."""
    attempts, due = await saved(primaries, 400), due_on(primaries)

    pages = await asyncio.gather(*(due.claim(60, LEASE) for _ in range(8)))

    counts = Counter(each.attempt_id for page in pages for each in page)
    assert set(counts.values()) == {1}
    assert sorted(counts) == ids(attempts)


async def test_a_claim_moves_the_check_by_the_lease(redis: Redis, primaries: Primaries) -> None:
    """By the clock of Redis; rescheduling sets another delay."""
    [attempt] = await saved(primaries, 1)
    due, keys = due_on(primaries), keys_of(attempt.attempt_id)

    await due.claim(1, LEASE)
    leased = await redis.zscore(keys.due, attempt.attempt_id)
    await due.reschedule({attempt.attempt_id: timedelta(hours=2)})
    rescheduled = await redis.zscore(keys.due, attempt.attempt_id)

    now = datetime.now(UTC).timestamp()
    assert leased is not None
    assert rescheduled is not None
    assert abs(leased - now - LEASE.total_seconds()) < 5
    assert abs(rescheduled - now - 2 * 60 * 60) < 5


async def test_a_deleted_attempt_is_not_rescheduled(redis: Redis, primaries: Primaries) -> None:
    """It would stay in the index for ever: nobody deletes it again."""
    [attempt] = await saved(primaries, 1)
    await store_on(primaries).delete(attempt.attempt_id, DeleteReason.RECORDED)

    await due_on(primaries).reschedule({attempt.attempt_id: timedelta(0)})

    assert await redis.keys() == [keys_of(attempt.attempt_id).closed.encode()]


async def test_a_claim_renews_the_attempt_and_its_marker(redis: Redis, primaries: Primaries) -> None:
    """A payment that takes months stays known, and a marker that expired first would open the attempt again."""
    [attempt] = await saved(primaries, 1)
    keys = keys_of(attempt.attempt_id)
    await store_on(primaries).close(attempt.attempt_id, CloseReason.SUPERSEDED)
    for key in (keys.attempt, keys.closed):
        await redis.expire(key, DAY)

    await due_on(primaries).claim(1, LEASE)

    assert await redis.ttl(keys.closed) >= await redis.ttl(keys.attempt) > 34 * DAY


async def test_an_attempt_whose_content_expired_is_still_handed_out(redis: Redis, primaries: Primaries) -> None:
    """Its intent is known without the content, and tells what became of it."""
    [attempt] = await saved(primaries, 1)
    await redis.delete(keys_of(attempt.attempt_id).attempt)

    claimed = await due_on(primaries).claim(1, LEASE)

    assert [(due.intent, due.content_exists) for due in claimed] == [(attempt.intent, False)]


async def test_an_unreadable_entry_stops_no_other_attempt(
    redis: Redis, primaries: Primaries, caplog: pytest.LogCaptureFixture
) -> None:
    """Entries that are missing or malformed are logged and left out."""
    missing, healthy, *others = await saved(primaries, 2 + len(MALFORMED))
    await redis.hdel(keys_of(missing.attempt_id).intents, missing.attempt_id)
    for attempt, entry in zip(others, MALFORMED, strict=True):
        await redis.hset(keys_of(attempt.attempt_id).intents, attempt.attempt_id, entry)

    claimed = await due_on(primaries).claim(10, LEASE)

    assert ids(claimed) == ids([healthy])
    assert caplog.messages.count("due attempt without a readable intent") == 1 + len(MALFORMED)


class DeletingPrimaries(StandalonePrimaries):
    """Deletes an attempt between the two scripts of a claim."""

    def __init__(self, redis: Redis, victim: Attempt) -> None:
        super().__init__(redis)
        self._victim = victim.attempt_id

    async def run(self, script: Script, keys: Sequence[str], *arguments: str | bytes | int) -> Any:
        """Run a script."""
        if script is scripts.RENEW:
            await store_on(self).delete(self._victim, DeleteReason.RECORDED)
        return await super().run(script, keys, *arguments)


async def test_an_attempt_that_is_deleted_meanwhile_is_left_out(redis: Redis, primaries: Primaries) -> None:
    """It is no attempt whose content expired: there is nothing left to judge."""
    [attempt] = await saved(primaries, 1)

    claimed = await due_on(DeletingPrimaries(redis, attempt)).claim(1, LEASE)

    assert claimed == []


class FailingPrimaries(StandalonePrimaries):
    """Fails after a number of scripts."""

    def __init__(self, redis: Redis, scripts_left: int) -> None:
        super().__init__(redis)
        self._scripts_left = scripts_left

    async def run(self, script: Script, keys: Sequence[str], *arguments: str | bytes | int) -> Any:
        """Run a script, or fail."""
        self._scripts_left -= 1
        if self._scripts_left < 0:
            raise RedisConnectionError
        return await super().run(script, keys, *arguments)


async def test_what_was_claimed_before_a_failure_is_returned(redis: Redis, primaries: Primaries) -> None:
    """Otherwise it would wait for its lease to end. Without any the failure is told."""
    attempts = await saved(primaries, 500)

    some = await due_on(FailingPrimaries(redis, 8)).claim(1000, LEASE)
    with pytest.raises(StoreUnavailable):
        await due_on(FailingPrimaries(redis, 0)).claim(1000, LEASE)

    rest = await due_on(primaries).claim(1000, LEASE)
    assert 0 < len(some) < 500
    assert ids([*some, *rest]) == ids(attempts)


async def test_a_full_redis_still_hands_out_attempts() -> None:
    """Judging them deletes them, which makes room."""
    with EmbeddedValkey.temporary(appendonly=False) as server:
        redis = connect(server.url, Limits(redis_timeout_seconds=5))
        primaries = StandalonePrimaries(redis)
        attempts, due = await saved(primaries, 5), due_on(primaries)
        await redis.config_set("maxmemory", "1mb")

        first = await due.claim(10, LEASE)
        await due.reschedule({each.attempt_id: timedelta(0) for each in first})

        assert ids(first) == ids(await due.claim(10, LEASE)) == ids(attempts)
        await redis.aclose()


@pytest.mark.long
async def test_claims_cost_what_is_due(redis: Redis, primaries: Primaries) -> None:
    """A hundred thousand due attempts among as many that are not take 15 seconds at most."""
    due, now = due_on(primaries), int(datetime.now(UTC).timestamp())
    pipeline = redis.pipeline(transaction=False)
    for number in range(200_000):
        attempt_id = str(uuid.UUID(int=number))
        keys = keys_of(attempt_id)
        pipeline.zadd(keys.due, {attempt_id: now - 1 if number % 2 else now + DAY})
        pipeline.hset(keys.intents, attempt_id, f"payment:pi_{number}:{now}:{now + DAY}")
        pipeline.hset(keys.attempt, "content", "c" * 1000)
        if number % 5000 == 4999:
            await pipeline.execute()
    began = asyncio.get_running_loop().time()

    claimed = 0
    while page := await due.claim(1000, timedelta(days=1)):
        claimed += len(page)

    took = asyncio.get_running_loop().time() - began
    assert claimed == 100_000
    assert took < 15, f"took {took:.1f} s"
