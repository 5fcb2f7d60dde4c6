"""Work is tried again while the database is away, and given up in time."""

import asyncio

import pytest

from orders.usecases.retrying import Patience
from orders.usecases.unit_of_work import DatabaseUnavailable


class Work:
    """Fails as often as it is told, then succeeds."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.runs = 0

    async def __call__(self) -> str:
        """Run once."""
        self.runs += 1
        if self.runs <= self.failures:
            raise DatabaseUnavailable
        return "done"


class Hanging:
    """Never ends, and takes its time to let go."""

    def __init__(self) -> None:
        self.released = False

    async def __call__(self) -> None:
        """Wait for ever."""
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.3)
            self.released = True


@pytest.fixture
def patience() -> Patience:
    """Give a patience for three tries."""
    return Patience(budget_seconds=5, tries=3, jitter=lambda: 0)


async def test_work_is_tried_again(patience: Patience) -> None:
    """A failure that passes is not the caller's business."""
    work = Work(failures=2)

    assert await patience.persist(work, None) == "done"
    assert work.runs == 3


async def test_tries_are_bounded(patience: Patience) -> None:
    """A database that stays away is told to the caller."""
    work = Work(failures=9)

    with pytest.raises(DatabaseUnavailable):
        await patience.persist(work, None)

    assert work.runs == 3


async def test_other_failures_are_not_tried_again(patience: Patience) -> None:
    """Only what passes by itself is worth a second try."""
    runs = []

    async def fail() -> None:
        runs.append(1)
        raise LookupError

    with pytest.raises(LookupError):
        await patience.persist(fail, None)

    assert len(runs) == 1


async def test_the_caller_hears_before_its_deadline(patience: Patience) -> None:
    """Even when the work does not let go: it ends without the caller."""
    work = Hanging()
    hearing = asyncio.create_task(patience.persist(work, 1.0))
    deadline = asyncio.create_task(asyncio.sleep(1.0))

    done, _ = await asyncio.wait({hearing, deadline}, return_when=asyncio.FIRST_COMPLETED)

    assert done == {hearing}
    assert isinstance(hearing.exception(), DatabaseUnavailable)
    assert not work.released
    deadline.cancel()
    await patience.settle()
    assert work.released


async def test_without_a_deadline_the_budget_counts() -> None:
    """Nobody waits for ever."""
    patience = Patience(budget_seconds=0.05, tries=1, jitter=lambda: 0)

    with pytest.raises(DatabaseUnavailable):
        await patience.persist(Hanging(), None)

    await patience.settle()


async def test_a_caller_that_leaves_takes_its_work_along(patience: Patience) -> None:
    """Work for nobody is cancelled."""
    work = Hanging()
    call = asyncio.create_task(patience.persist(work, None))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    await patience.settle()
    assert work.released
