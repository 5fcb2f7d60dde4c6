"""The rules of a save that no store knows: size, pay-by, and whose request it was."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from checkout_session.domain.attempts import AttemptClosed, CloseReason, DeleteReason, Intent, IntentKind
from checkout_session.domain.save_attempt import AttemptSaver, AttemptTooLarge, Draft, PayByPassed, RequestHashMismatch
from checkout_session.memory_store import MemoryAttempts

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
LIMIT_BYTES = 100


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        """Tell the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Give a clock that stands at NOW."""
    return Clock()


@pytest.fixture
def store(clock: Clock) -> MemoryAttempts:
    """Give an empty store."""
    return MemoryAttempts(clock=clock, first_check=timedelta(minutes=10))


@pytest.fixture
def saver(store: MemoryAttempts, clock: Clock) -> AttemptSaver:
    """Give a saver into the store."""
    return AttemptSaver(store, clock=clock, max_attempt_bytes=LIMIT_BYTES)


@pytest.fixture
def draft() -> Draft:
    """Give a draft that may be saved and paid until tomorrow."""
    return Draft(
        attempt_id="0b8e3a52-5c8f-4f7e-9a53-6c0f3c1f2a10",
        request_hash=b"h" * 32,
        intent=Intent("pi_1", IntentKind.PAYMENT),
        user_id="user_1",
        content=b"content",
        pay_by=NOW + timedelta(days=1),
    )


async def test_a_saved_attempt_is_created_now(saver: AttemptSaver, draft: Draft) -> None:
    """The service's clock, not the caller's, tells when an attempt was created."""
    saved = await saver.save(draft)

    assert saved.attempt.created_at == NOW
    assert saved.attempt.content == draft.content
    assert not saved.replayed


async def test_a_repeat_keeps_the_time_of_creation(saver: AttemptSaver, draft: Draft, clock: Clock) -> None:
    """A replayed save answers the stored time."""
    await saver.save(draft)
    clock.now += timedelta(minutes=1)

    again = await saver.save(draft)

    assert again.replayed
    assert again.attempt.created_at == NOW


async def test_another_request_under_the_same_id_is_refused(saver: AttemptSaver, draft: Draft) -> None:
    """An id belongs to the request that it was first saved with."""
    await saver.save(draft)

    with pytest.raises(RequestHashMismatch):
        await saver.save(replace(draft, request_hash=b"o" * 32))


async def test_content_at_the_limit_is_saved(saver: AttemptSaver, draft: Draft) -> None:
    """The limit itself is allowed."""
    saved = await saver.save(replace(draft, content=b"c" * LIMIT_BYTES))

    assert not saved.replayed


async def test_content_over_the_limit_is_refused(saver: AttemptSaver, draft: Draft, store: MemoryAttempts) -> None:
    """One byte more is not, and nothing is stored."""
    with pytest.raises(AttemptTooLarge):
        await saver.save(replace(draft, content=b"c" * (LIMIT_BYTES + 1)))

    assert not store.due


async def test_an_attempt_that_nobody_could_pay_in_time_is_refused(
    saver: AttemptSaver, draft: Draft, store: MemoryAttempts
) -> None:
    """Pay-by must lie after the creation."""
    with pytest.raises(PayByPassed) as refused:
        await saver.save(replace(draft, pay_by=NOW))

    assert [violation.field for violation in refused.value.violations] == ["context.pay_by"]
    assert not store.due


async def test_a_repeat_after_pay_by_is_still_answered(saver: AttemptSaver, draft: Draft, clock: Clock) -> None:
    """A caller that got no answer may repeat its call as it was, however late."""
    await saver.save(draft)
    clock.now = draft.pay_by

    again = await saver.save(draft)

    assert again.replayed
    assert again.attempt.created_at == NOW


async def test_another_request_after_pay_by_is_told_so(saver: AttemptSaver, draft: Draft, clock: Clock) -> None:
    """A late repeat is judged by its hash like any other."""
    await saver.save(draft)
    clock.now = draft.pay_by

    with pytest.raises(RequestHashMismatch):
        await saver.save(replace(draft, request_hash=b"o" * 32))


async def test_a_repeat_after_pay_by_of_a_closed_attempt_is_refused(
    saver: AttemptSaver, draft: Draft, clock: Clock, store: MemoryAttempts
) -> None:
    """Closed is closed, late or not."""
    await saver.save(draft)
    await store.close(draft.attempt_id, CloseReason.PAY_BY_PASSED)
    clock.now = draft.pay_by

    with pytest.raises(AttemptClosed):
        await saver.save(draft)


async def test_a_repeat_after_pay_by_of_a_deleted_attempt_is_refused(
    saver: AttemptSaver, draft: Draft, clock: Clock, store: MemoryAttempts
) -> None:
    """So is deleted."""
    await saver.save(draft)
    await store.delete(draft.attempt_id, DeleteReason.CANCELLED)
    clock.now = draft.pay_by

    with pytest.raises(AttemptClosed):
        await saver.save(draft)
