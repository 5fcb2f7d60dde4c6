"""The power is cut, and what was acknowledged is still there, as far as the level of durability says."""

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import grpc
import pytest

from checkout.session.v1 import checkout_session_pb2 as pb
from checkout.session.v1.checkout_session_pb2_grpc import CheckoutSessionServiceStub
from devstack.embedded_valkey import EmbeddedValkey
from devstack.processes import wait_until
from devstack.simulated_disk import SimulatedDisk
from servicekit.errors import ReportedError, read_error

if TYPE_CHECKING:
    from checkout.session.v1.checkout_session_pb2_grpc import CheckoutSessionServiceAsyncStub

RunService = Callable[..., AbstractAsyncContextManager[grpc.aio.Channel]]
MakeRequest = Callable[..., pb.SaveAttemptRequest]
Answer = TypeVar("Answer")

UNAVAILABLE: Final = ReportedError(grpc.StatusCode.UNAVAILABLE, "store_unavailable")
PATIENCE_SECONDS: Final = 30
BUYERS: Final = 16
EVERYSEC_SECONDS: Final = 5.0
"""What `everysec` may lose: its second, as much again when a sync is late, and a busy machine's delay."""
INTO_THE_SECOND: Final = 0.5
"""How long after a sync the power fails: so much is there to lose."""
ALWAYS: Final = {"appendfsync": "always"}
NEVER: Final = {"appendfsync": "no"}
HASTY: Final = {"redis_timeout_seconds": 0.3, "store_timeout_seconds": 0.6}


@pytest.fixture
def disk() -> Iterator[SimulatedDisk]:
    """Give a disk that takes two milliseconds for a sync."""
    with SimulatedDisk(latency_seconds=0.002) as running:
        yield running


@contextmanager
def valkey_on(disk: SimulatedDisk, **options: str) -> Iterator[EmbeddedValkey]:
    """Run a Valkey whose power can be cut; in the end the disk is sound, so that it can stop."""
    with EmbeddedValkey.temporary(disk=disk, options=options) as server:
        try:
            yield server
        finally:
            disk.repair()


@dataclass
class Storm:
    """Buyers who save one attempt after another, and now and then the same one again."""

    stub: "CheckoutSessionServiceAsyncStub"
    new_request: MakeRequest
    acknowledged: dict[str, pb.Attempt] = field(default_factory=dict)
    moments: dict[str, float] = field(default_factory=dict)
    """When each was acknowledged, by the monotonic clock."""
    replays: int = 0
    refusals: list[ReportedError] = field(default_factory=list)
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)
    _ends: bool = False

    def begin(self) -> None:
        """Let the buyers come."""
        self._ends = False
        self._tasks = [asyncio.create_task(self._buy()) for _ in range(BUYERS)]

    def has_acknowledged(self, count: int) -> bool:
        """Whether so many attempts were acknowledged."""
        return len(self.acknowledged) >= count

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait until the storm has got so far."""
        await asyncio.to_thread(wait_until, reached, "the storm got so far", seconds=PATIENCE_SECONDS)

    async def end(self) -> None:
        """Let no buyer begin again, and wait for those who have begun."""
        self._ends = True
        await asyncio.gather(*self._tasks)

    async def _buy(self) -> None:
        while not self._ends:
            request = self.new_request()
            try:
                self._note(await self.stub.SaveAttempt(request))
                if random.random() < 0.2:  # noqa: S311 - a storm, not a secret
                    self._note(await self.stub.SaveAttempt(request))
            except grpc.aio.AioRpcError as failure:
                self.refusals.append(read_error(failure))

    def _note(self, answer: pb.SaveAttemptResponse) -> None:
        self.moments.setdefault(answer.attempt.attempt_id, time.monotonic())
        self.acknowledged[answer.attempt.attempt_id] = answer.attempt
        self.replays += answer.replayed


@asynccontextmanager
async def storm_on(
    run_service: RunService, server: EmbeddedValkey, new_request: MakeRequest, **settings: object
) -> AsyncIterator[Storm]:
    """Serve a Valkey's attempts and have a storm of buyers ready."""
    async with run_service(server.url, **(HASTY | settings)) as channel:
        yield Storm(CheckoutSessionServiceStub(channel), new_request)


async def answered(call: Callable[[], Awaitable[Answer]]) -> Answer:
    """Repeat a call until the store is available."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await call()
        except grpc.aio.AioRpcError as failure:
            if read_error(failure) != UNAVAILABLE or time.monotonic() > deadline:
                raise


async def refusal(call: Awaitable[object]) -> ReportedError:
    """Return the error that a call failed with."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    return read_error(failed.value)


async def found(stub: "CheckoutSessionServiceAsyncStub", attempt_id: str) -> pb.Attempt | None:
    """Return an attempt, or None where none is."""

    async def find() -> pb.Attempt | None:
        try:
            return (await stub.GetAttempt(pb.GetAttemptRequest(attempt_id=attempt_id))).attempt
        except grpc.aio.AioRpcError as failure:
            if failure.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            return None

    return await answered(find)


async def lost_of(storm: Storm) -> list[str]:
    """Return which acknowledged attempts are not there as they were acknowledged."""
    return [
        attempt_id
        for attempt_id, attempt in storm.acknowledged.items()
        if await found(storm.stub, attempt_id) != attempt
    ]


async def test_fsync_loses_nothing_that_was_acknowledged(
    run_service: RunService, disk: SimulatedDisk, new_request: MakeRequest
) -> None:
    """P2: a storm of saves and replays, the power cut at any moment, three times over: all of them are there."""
    with valkey_on(disk, **ALWAYS) as server:
        async with storm_on(run_service, server, new_request, durability="fsync") as storm:
            for _ in range(3):
                enough = len(storm.acknowledged) + random.randint(20, 200)  # noqa: S311 - a storm, not a secret
                storm.begin()
                await storm.until(partial(storm.has_acknowledged, enough))

                await asyncio.to_thread(server.cut_power)

                await storm.end()
                await asyncio.to_thread(server.start)
            lost = await lost_of(storm)

    sys.stdout.write(f"{len(storm.acknowledged)} acknowledged, {storm.replays} replays, {len(lost)} lost\n")
    assert lost == []
    assert set(storm.refusals) == {UNAVAILABLE}
    assert storm.replays > 0


async def test_aof_loses_its_last_second_and_no_more(
    run_service: RunService, disk: SimulatedDisk, new_request: MakeRequest
) -> None:
    """What was acknowledged since the last sync is gone: the instrument can tell. What is older is there."""
    with valkey_on(disk) as server:
        async with storm_on(run_service, server, new_request, durability="aof") as storm:
            storm.begin()
            await storm.until(partial(storm.has_acknowledged, 20))
            synced = disk.syncs
            await storm.until(lambda: disk.syncs >= synced + 2)  # the first of them may have begun before
            await asyncio.sleep(INTO_THE_SECOND)
            disk.hang()  # The power fails: from now on nothing reaches the disk.
            cut_at = time.monotonic()
            await storm.until(lambda: disk.unsynced_bytes(server.append_only_dir) > 0)

            await asyncio.to_thread(server.cut_power)

            disk.repair()
            await storm.end()
            await asyncio.to_thread(server.start)
            lost = await lost_of(storm)

    ages = [cut_at - storm.moments[attempt_id] for attempt_id in lost]
    sys.stdout.write(f"{len(lost)} of {len(storm.acknowledged)} lost, acknowledged {max(ages):.2f} s before at most\n")
    assert 0 < len(lost) < len(storm.acknowledged)
    assert max(ages) <= EVERYSEC_SECONDS


async def test_without_durability_all_is_lost(
    run_service: RunService, disk: SimulatedDisk, new_request: MakeRequest
) -> None:
    """What is in memory alone goes with the server; that is why `none` starts in development only."""
    with EmbeddedValkey.temporary(appendonly=False, disk=disk) as server:
        async with storm_on(run_service, server, new_request, durability="none") as storm:
            storm.begin()
            await storm.until(partial(storm.has_acknowledged, 20))

            await asyncio.to_thread(server.cut_power)

            await storm.end()
            await asyncio.to_thread(server.start)
            lost = await lost_of(storm)

    assert sorted(lost) == sorted(storm.acknowledged)


async def test_a_file_that_is_never_synced_acknowledges_nothing(
    run_service: RunService, disk: SimulatedDisk, new_request: MakeRequest
) -> None:
    """A change is made and not on the disk: neither the save nor its repeat is answered, until it is there."""
    request = new_request()
    with valkey_on(disk, **NEVER) as server:
        async with storm_on(run_service, server, new_request, durability="fsync") as storm:
            refusals = [await refusal(storm.stub.SaveAttempt(request)) for _ in range(2)]

            server.ask("CONFIG", "SET", "appendfsync", "always")

            saved = await answered(lambda: storm.stub.SaveAttempt(request))
            await asyncio.to_thread(server.cut_power)
            await asyncio.to_thread(server.start)
            kept = await found(storm.stub, request.attempt_id)
            stored = server.ask("KEYS", "*:attempt:*")

    assert refusals == [UNAVAILABLE] * 2
    assert saved.replayed
    assert kept == saved.attempt
    assert len(stored) == 1


@pytest.mark.parametrize("verb", ["CloseAttempt", "DeleteAttempt"])
async def test_a_barrier_that_is_not_on_the_disk_is_not_acknowledged(
    run_service: RunService, disk: SimulatedDisk, new_request: MakeRequest, verb: str
) -> None:
    """P4: who cancels an intent relies on the close, and a deletion that returned would bring content back."""
    request = new_request()
    calls = {
        "CloseAttempt": pb.CloseAttemptRequest(attempt_id=request.attempt_id, reason=pb.CLOSE_REASON_SUPERSEDED),
        "DeleteAttempt": pb.DeleteAttemptRequest(attempt_id=request.attempt_id, reason=pb.DELETE_REASON_RECORDED),
    }
    with valkey_on(disk, **ALWAYS) as server:
        async with storm_on(run_service, server, new_request, durability="fsync") as storm:
            await answered(lambda: storm.stub.SaveAttempt(request))
            server.ask("CONFIG", "SET", "appendfsync", "no")

            error = await refusal(getattr(storm.stub, verb)(calls[verb]))

    assert error == UNAVAILABLE


async def test_a_disk_that_hangs_is_told_in_time_and_repaired(
    run_service: RunService, disk: SimulatedDisk, new_request: MakeRequest
) -> None:
    """While nothing can be synced a save is UNAVAILABLE; afterwards its repeat succeeds, and there is one attempt."""
    first, request = new_request(), new_request()
    with valkey_on(disk, **ALWAYS) as server:
        async with storm_on(run_service, server, new_request, durability="fsync") as storm:
            await answered(lambda: storm.stub.SaveAttempt(first))
            disk.hang()
            began = time.monotonic()
            error = await refusal(storm.stub.SaveAttempt(request))
            took = time.monotonic() - began

            disk.repair()

            saved = await answered(lambda: storm.stub.SaveAttempt(request))
            kept = await found(storm.stub, request.attempt_id)
            stored = server.ask("KEYS", "*:attempt:*")

    assert error == UNAVAILABLE
    assert took < PATIENCE_SECONDS / 6
    assert kept == saved.attempt
    assert len(stored) == 2


async def test_a_disk_that_fails_ends_in_one_attempt_once_it_is_repaired(
    run_service: RunService, disk: SimulatedDisk, new_request: MakeRequest
) -> None:
    """Valkey ends rather than answer what it could not sync; on another disk the repeat of the save succeeds."""
    first, request = new_request(), new_request()
    with valkey_on(disk, **ALWAYS) as server:
        async with storm_on(run_service, server, new_request, durability="fsync") as storm:
            await answered(lambda: storm.stub.SaveAttempt(first))
            disk.fail()
            error = await refusal(storm.stub.SaveAttempt(request))
            await asyncio.to_thread(
                wait_until, lambda: not server.running, "the server ended", seconds=PATIENCE_SECONDS
            )

            disk.repair()

            await asyncio.to_thread(server.start)
            saved = await answered(lambda: storm.stub.SaveAttempt(request))
            kept = await found(storm.stub, request.attempt_id)
            stored = server.ask("KEYS", "*:attempt:*")

    assert error == UNAVAILABLE
    assert kept == saved.attempt
    assert len(stored) == 2
