import asyncio

import pytest

from orders.usecases.retrying import Retrier
from orders.usecases.unit_of_work import DatabaseUnavailable


class Work:
    """Fails a number of times, then succeeds."""

    def __init__(self, failures: int, failure: type[Exception] = DatabaseUnavailable) -> None:
        self.failures = failures
        self.failure = failure
        self.runs = 0

    async def __call__(self) -> str:
        """Run once."""
        self.runs += 1
        if self.runs <= self.failures:
            raise self.failure
        return "done"


class Hanging:
    """Never ends, and is slow to release its connection."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.released = False

    async def __call__(self) -> None:
        """Wait for ever."""
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.3)
            self.released = True


@pytest.fixture
def retrier() -> Retrier:
    """Return a retrier with three tries."""
    return Retrier(budget_seconds=5, tries=3, jitter=lambda: 0)


async def test_work_is_tried_again_while_the_database_is_unavailable(retrier: Retrier) -> None:
    """The caller does not notice a passing failure."""
    work = Work(failures=2)

    assert await retrier.run(work) == "done"
    assert work.runs == 3


@pytest.mark.parametrize(
    ("work", "runs"), [(Work(failures=9), 3), (Work(failures=9, failure=LookupError), 1)], ids=["passing", "lasting"]
)
async def test_tries_are_bounded(retrier: Retrier, work: Work, runs: int) -> None:
    """A database that stays unavailable is reported after three tries, any other failure after one."""
    with pytest.raises(work.failure):
        await retrier.run(work)

    assert work.runs == runs


async def test_the_caller_gets_its_answer_before_its_deadline(retrier: Retrier) -> None:
    """Even if the work does not release its connection: that ends in the background."""
    work = Hanging()
    call = asyncio.create_task(retrier.run(work, 1.0))
    deadline = asyncio.create_task(asyncio.sleep(1.0))

    done, _ = await asyncio.wait({call, deadline}, return_when=asyncio.FIRST_COMPLETED)

    assert done == {call}
    assert isinstance(call.exception(), DatabaseUnavailable)
    assert not work.released
    deadline.cancel()
    await retrier.drain()
    assert work.released


async def test_without_a_deadline_the_budget_ends_the_call() -> None:
    """No call waits for ever."""
    retrier = Retrier(budget_seconds=0.05, tries=1, jitter=lambda: 0)

    with pytest.raises(DatabaseUnavailable):
        await retrier.run(Hanging())

    await retrier.drain()


async def test_a_cancelled_call_ends_its_work(retrier: Retrier) -> None:
    """If it does not finish by itself in time: nobody waits for the result any more."""
    work = Hanging()
    call = asyncio.create_task(retrier.run(work))
    await work.started.wait()

    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    await retrier.drain()
    assert work.released
