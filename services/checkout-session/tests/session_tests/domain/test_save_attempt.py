"""Rules of a save that the store does not know: size, pay-by, and the request hash. On a real Valkey."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from checkout_session.domain.attempts import (
    AttemptClosed,
    AttemptUnreadable,
    CloseReason,
    DeleteReason,
    Intent,
    IntentKind,
)
from checkout_session.domain.save_attempt import AttemptSaver, AttemptTooLarge, Draft, PayByPassed, RequestHashMismatch
from checkout_session.redis_backend.attempt_store import RedisAttemptStore, Retention
from checkout_session.redis_backend.primaries import StandalonePrimaries
from servicekit.encryption import Keyring

from ..harness import KEYS, content_to_pay_by, store_on

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
PAY_BY = NOW + timedelta(days=1)
CONTENT = content_to_pay_by(PAY_BY)


@pytest.fixture
def store(redis: Redis) -> RedisAttemptStore:
    """Return an empty store."""
    return store_on(StandalonePrimaries(redis))


@pytest.fixture
def draft() -> Draft:
    """Return a draft that may be saved and paid until tomorrow."""
    intent = Intent("pi_1", IntentKind.PAYMENT)
    return Draft("0b8e3a52-5c8f-4f7e-9a53-6c0f3c1f2a10", b"h" * 32, intent, "user_1", CONTENT, PAY_BY)


def saver_at(store: RedisAttemptStore, now: datetime) -> AttemptSaver:
    """Return a saver at a moment, with a limit of the draft's size."""
    return AttemptSaver(store, now=lambda: now, max_attempt_bytes=len(CONTENT))


@pytest.mark.parametrize("late", [False, True])
async def test_a_repeat_keeps_the_time_of_creation(store: RedisAttemptStore, draft: Draft, *, late: bool) -> None:
    """The service's clock tells it. A repeat is answered however late it arrives."""
    first = await saver_at(store, NOW).save(draft)

    again = await saver_at(store, PAY_BY if late else NOW + timedelta(minutes=1)).save(draft)

    assert (first.replayed, again.replayed) == (False, True)
    assert first.attempt == again.attempt == draft.created_at(NOW)


@pytest.mark.parametrize("late", [False, True])
async def test_another_request_under_the_same_id_is_refused(
    store: RedisAttemptStore, draft: Draft, *, late: bool
) -> None:
    """An id belongs to the request that it was first saved with."""
    await saver_at(store, NOW).save(draft)

    with pytest.raises(RequestHashMismatch):
        await saver_at(store, PAY_BY if late else NOW).save(replace(draft, request_hash=b"o" * 32))


async def test_content_over_the_limit_is_refused(store: RedisAttemptStore, draft: Draft, redis: Redis) -> None:
    """One byte more than the limit, and nothing is stored."""
    with pytest.raises(AttemptTooLarge):
        await saver_at(store, NOW).save(replace(draft, content=CONTENT + b"c"))

    assert await redis.keys() == []


async def test_an_attempt_that_cannot_be_paid_in_time_is_refused(
    store: RedisAttemptStore, draft: Draft, redis: Redis
) -> None:
    """Pay-by must lie after the creation."""
    with pytest.raises(PayByPassed) as refused:
        await saver_at(store, PAY_BY).save(draft)

    assert [violation.field for violation in refused.value.violations] == ["context.pay_by"]
    assert await redis.keys() == []


@pytest.mark.parametrize("deleted", [False, True])
async def test_a_late_repeat_of_a_closed_attempt_is_refused(
    store: RedisAttemptStore, draft: Draft, *, deleted: bool
) -> None:
    """Closed or deleted."""
    await saver_at(store, NOW).save(draft)
    await store.close(draft.attempt_id, CloseReason.PAY_BY_PASSED)
    if deleted:
        await store.delete(draft.attempt_id, DeleteReason.CANCELLED)

    with pytest.raises(AttemptClosed):
        await saver_at(store, PAY_BY).save(draft)


async def test_a_late_repeat_of_an_unreadable_attempt_is_refused(
    store: RedisAttemptStore, draft: Draft, redis: Redis
) -> None:
    """As an early one is: no secret is released for an attempt that nobody can read."""
    keyring = Keyring.parse(KEYS)
    encrypted = RedisAttemptStore(StandalonePrimaries(redis), Retention(), keyring=keyring, timeout_seconds=20)
    await saver_at(encrypted, NOW).save(draft)

    with pytest.raises(AttemptUnreadable):
        await saver_at(store, PAY_BY).save(draft)
