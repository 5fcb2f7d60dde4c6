"""Keys are replaced while two services serve, one after the other restarted, and nobody notices."""

import asyncio
import base64
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from redis.asyncio import Redis

from checkout.session.v1 import checkout_session_pb2 as pb
from checkout.session.v1.checkout_session_pb2_grpc import CheckoutSessionServiceStub
from checkout_session.redis_backend.keys import keys_of
from servicekit.encryption import key_id_of
from servicekit.errors import ReportedError, read_error
from tests.containers.choice import RedisServer

if TYPE_CHECKING:
    from checkout.session.v1.checkout_session_pb2_grpc import CheckoutSessionServiceAsyncStub

RunService = Callable[..., AbstractAsyncContextManager[grpc.aio.Channel]]
MakeRequest = Callable[..., pb.SaveAttemptRequest]

OLD: Final = "old:" + base64.b64encode(bytes(range(32))).decode()
NEW: Final = "new:" + base64.b64encode(bytes(range(1, 33))).decode()
BUYERS: Final = 4
ROUNDS_AT_EACH_STEP: Final = 100


class Instance:
    """One service of the fleet, and the calls that it has not answered yet."""

    def __init__(self, run_service: RunService, redis_url: str) -> None:
        self._run_service = run_service
        self._redis_url = redis_url
        self._running = AsyncExitStack()
        self._calls: set[asyncio.Task[Any]] = set()
        self._stub: CheckoutSessionServiceAsyncStub

    async def restart(self, keys: str) -> None:
        """Serve with other keys from now on; let the calls under way end where they began."""
        running, retiring, under_way = AsyncExitStack(), self._running, self._calls
        serving = self._run_service(self._redis_url, encryption_keys=keys, store_timeout_seconds=30)
        stub = CheckoutSessionServiceStub(await running.enter_async_context(serving))
        self._running, self._calls, self._stub = running, set(), stub
        await asyncio.gather(*under_way, return_exceptions=True)
        await retiring.aclose()

    async def stop(self) -> None:
        """End."""
        await self._running.aclose()

    async def save(self, request: pb.SaveAttemptRequest) -> pb.SaveAttemptResponse:
        """Call SaveAttempt."""
        answer: pb.SaveAttemptResponse = await self._called(self._stub.SaveAttempt(request))
        return answer

    async def find(self, attempt_id: str) -> pb.GetAttemptResponse:
        """Call GetAttempt."""
        answer: pb.GetAttemptResponse = await self._called(
            self._stub.GetAttempt(pb.GetAttemptRequest(attempt_id=attempt_id))
        )
        return answer

    async def _called(self, call: Any) -> Any:
        async def answer() -> Any:
            return await call

        calls, task = self._calls, asyncio.create_task(answer())
        calls.add(task)
        task.add_done_callback(calls.discard)
        return await task


class Buyers:
    """Save attempts and read them, their own and each other's, through whichever service, without a pause."""

    def __init__(self, fleet: list[Instance], new_request: MakeRequest) -> None:
        self._fleet = fleet
        self._new_request = new_request
        self._any_of = random.Random(0).choice  # noqa: S311 - nothing to keep secret
        self.known: dict[str, pb.Attempt] = {}
        self.faults: list[object] = []
        self.rounds = 0

    async def keep_buying(self) -> None:
        """Go on until cancelled."""
        while True:
            try:
                await self._buy()
            except Exception as failure:  # noqa: BLE001 - whatever it is, it is what the test looks for
                self.faults.append(failure)
            self.rounds += 1

    async def _buy(self) -> None:
        request = self._new_request()
        saved = (await self._any_of(self._fleet).save(request)).attempt
        self.known[saved.attempt_id] = saved
        again = await self._any_of(self._fleet).save(request)
        some_id, some = self._any_of(list(self.known.items()))
        found = await self._any_of(self._fleet).find(some_id)
        if not again.replayed or again.attempt != saved or found.attempt != some:
            self.faults.append("read otherwise than saved")

    async def go_on(self) -> None:
        """Return when everybody has bought a good deal more."""
        enough = self.rounds + ROUNDS_AT_EACH_STEP
        async with asyncio.timeout(60):
            while self.rounds < enough:  # noqa: ASYNC110 - it is the load that is waited for
                await asyncio.sleep(0.005)


@pytest.fixture
async def fleet(run_service: RunService, valkey: RedisServer, redis: Redis) -> AsyncIterator[list[Instance]]:
    """Run two services with the old key, on one empty Redis."""
    instances = [Instance(run_service, valkey.url) for _ in range(2)]
    for instance in instances:
        await instance.restart(OLD)
    yield instances
    for instance in instances:
        await instance.stop()


@asynccontextmanager
async def in_the_background(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run work while the context lasts."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def expire_what_the_old_key_sealed(redis: Redis, buyers: Buyers) -> int:
    """Let 35 days pass for the attempts of the old key."""
    expired = 0
    for attempt_id in list(buyers.known):
        key = keys_of(attempt_id).attempt
        stored = await redis.hget(key, "sealed")
        assert isinstance(stored, bytes)
        if key_id_of(stored) == "old":
            del buyers.known[attempt_id]
            await redis.delete(key)
            expired += 1
    return expired


async def test_a_key_is_replaced_under_load_without_an_error(
    fleet: list[Instance], redis: Redis, new_request: MakeRequest
) -> None:
    """Known everywhere, then first, then alone once the old one's attempts are gone: every call is answered."""
    buyers = Buyers(fleet, new_request)
    async with in_the_background(*(buyers.keep_buying() for _ in range(BUYERS))):
        await buyers.go_on()
        for keys in (f"{OLD},{NEW}", f"{NEW},{OLD}"):
            for instance in fleet:
                await instance.restart(keys)
                await buyers.go_on()
    expired = await expire_what_the_old_key_sealed(redis, buyers)
    async with in_the_background(*(buyers.keep_buying() for _ in range(BUYERS))):
        for instance in fleet:
            await instance.restart(NEW)
            await buyers.go_on()

    assert buyers.faults == []
    assert expired >= 3 * ROUNDS_AT_EACH_STEP
    assert len(buyers.known) >= 3 * ROUNDS_AT_EACH_STEP


async def test_encryption_is_introduced_under_load_without_an_error(
    fleet: list[Instance], new_request: MakeRequest
) -> None:
    """The word `clear` takes the old key's turn."""
    for instance in fleet:
        await instance.restart("clear")
    buyers = Buyers(fleet, new_request)
    async with in_the_background(*(buyers.keep_buying() for _ in range(BUYERS))):
        for keys in (f"clear,{NEW}", f"{NEW},clear"):
            for instance in fleet:
                await instance.restart(keys)
                await buyers.go_on()

    assert buyers.faults == []


async def test_a_key_that_seals_before_all_know_it_is_seen_and_heals(
    fleet: list[Instance], new_request: MakeRequest
) -> None:
    """The mistake: who does not know the new key says so, loses nothing, and reads the attempt once it does."""
    informed, uninformed = fleet
    await informed.restart(f"{NEW},{OLD}")
    request = new_request()
    saved = await informed.save(request)

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await uninformed.find(request.attempt_id)
    await uninformed.restart(f"{OLD},{NEW}")

    assert read_error(refused.value) == ReportedError(grpc.StatusCode.UNAVAILABLE, "attempt_unreadable")
    assert (await uninformed.find(request.attempt_id)).attempt == saved.attempt
