"""Calls between services: request id, deadline, retries, and a channel that reconnects and balances."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from servicekit.errors import ErrorAnswer, ErrorTable
from servicekit.grpc_client import RpcClient, UnexpectedAnswer
from servicekit.grpc_server import GrpcServer
from servicekit.health import NotReady
from servicekit.json_logging import request_id
from servicekit.unavailable import ServiceUnavailable

from .dns import name_server

Serve = Callable[..., AbstractAsyncContextManager[GrpcServer]]
Running = Callable[..., AbstractAsyncContextManager[Any]]
SayTo = Callable[..., AbstractAsyncContextManager[Any]]
Logged = Callable[..., list[dict[str, Any]]]
ERRORS: ErrorTable = {
    ConnectionError: ErrorAnswer(grpc.StatusCode.UNAVAILABLE, "away"),
    BlockingIOError: ErrorAnswer(grpc.StatusCode.ABORTED, "busy"),
}
CLIENT: Final = RpcClient("echo", {}, timeout_seconds=5)
RECOVERY_SECONDS: Final = 2.0
OUTAGE_SECONDS: Final = 5.5
"""Long enough for gRPC's own backoff to grow to several seconds."""


async def _echo(request: StringValue, _context: Any) -> StringValue:
    return request


async def test_a_call_carries_the_request_id_and_is_logged(serve: Serve, say_to: SayTo, logged: Logged) -> None:
    """The access log has method, outcome, time and request, and nothing of the content (P7)."""
    request_id.set("r-1")

    async def answer_request_id(_request: StringValue, _context: Any) -> StringValue:
        return StringValue(value=request_id.get())

    async with serve(answer_request_id) as server, say_to(server.port) as say:
        answer = await CLIENT.call(say, StringValue(value="ada@example.com"))

    (line,) = logged("access")
    assert answer.value == "r-1"
    assert (line["message"], line["code"], line["request_id"]) == ("/test.Echo/Say", "OK", "r-1")
    assert line["ms"] >= 0
    assert "ada" not in str(logged())


@pytest.mark.parametrize("leaves", [False, True], ids=["deadline", "cancelled"])
async def test_a_call_that_is_given_up_stops_the_work(
    serve: Serve, say_to: SayTo, logged: Logged, *, leaves: bool
) -> None:
    """Past its deadline the service is unavailable; a cancelled caller stays cancelled. The service stops working."""
    started, given_up = asyncio.Event(), asyncio.Event()

    async def never(_request: StringValue, _context: Any) -> StringValue:
        started.set()
        try:
            return await asyncio.Future()
        finally:
            given_up.set()

    async with serve(never) as server, say_to(server.port) as say:
        calling = asyncio.create_task(RpcClient("echo", {}, timeout_seconds=2).call(say, StringValue()))
        await started.wait()
        if leaves:
            calling.cancel()

        with pytest.raises(asyncio.CancelledError if leaves else ServiceUnavailable):
            await calling
        await asyncio.wait_for(given_up.wait(), 20)

    assert [line["code"] for line in logged("access")] == ["CANCELLED"]


class _FailsAtFirst:
    """A method that fails a number of times, then echoes; it counts every call."""

    def __init__(self, failure: Exception, times: int) -> None:
        self._failure = failure
        self._times = times
        self.calls = 0

    async def answer(self, request: StringValue, _context: Any) -> StringValue:
        self.calls += 1
        if self.calls <= self._times:
            raise self._failure
        return request


@pytest.mark.parametrize(
    ("failure", "times", "characters", "calls"),
    [(ConnectionError(), 3, 5, 4), (ConnectionError(), 1, 4_000_000, 2)],
    ids=["short", "large"],
)
async def test_an_unavailable_service_is_called_again(
    serve: Serve, say_to: SayTo, failure: Exception, times: int, characters: int, calls: int
) -> None:
    """A caller does not notice a service that is away for a moment; large requests are retried too."""
    service = _FailsAtFirst(failure, times)
    async with serve(service.answer, errors=ERRORS) as server, say_to(server.port) as say:
        answer = await CLIENT.call(say, StringValue(value="x" * characters))

    assert (len(answer.value), service.calls) == (characters, calls)


@pytest.mark.parametrize(
    ("failure", "calls"),
    [(ConnectionError(), 4), (BlockingIOError(), 1), (KeyError(), 1)],
    ids=["UNAVAILABLE", "ABORTED", "INTERNAL"],
)
async def test_retries_are_bounded(serve: Serve, say_to: SayTo, failure: Exception, calls: int) -> None:
    """Four calls in all, and only after UNAVAILABLE."""
    service = _FailsAtFirst(failure, times=100)
    async with serve(service.answer, errors=ERRORS) as server, say_to(server.port) as say:
        with pytest.raises((ServiceUnavailable, UnexpectedAnswer)):
            await CLIENT.call(say, StringValue())

    assert service.calls == calls


async def test_a_service_that_fails_all_calls_is_not_sent_each_again(serve: Serve, say_to: SayTo) -> None:
    """Retries end after five hundred failures, so that they do not multiply an overload."""
    tries: list[int] = []

    async def refuse(_request: StringValue, _context: Any) -> StringValue:
        tries.append(len(tries))
        raise ConnectionError

    async with serve(refuse, errors=ERRORS) as server, say_to(server.port) as say:
        for _ in range(12):
            await asyncio.gather(*(_failed(say) for _ in range(50)))

    assert len(tries) <= 600 + 500


async def test_a_channel_recovers_soon_after_its_service(serve: Serve, say_to: SayTo) -> None:
    """An outage ends for callers about when it ends, however often they called meanwhile."""
    async with serve(_echo) as server, say_to(server.port) as say:
        port = server.port
        await CLIENT.call(say, StringValue())
        await server.stop()
        stopped = time.monotonic()
        while time.monotonic() < stopped + OUTAGE_SECONDS:
            with pytest.raises(ServiceUnavailable):
                await CLIENT.call(say, StringValue())

        async with serve(_echo, listen=f"127.0.0.1:{port}"):
            back = time.monotonic()
            await _until_answered(say, back + 10)
            recovered = time.monotonic()

    assert recovered - back < RECOVERY_SECONDS


async def _until_answered(say: Any, deadline: float) -> None:
    while time.monotonic() < deadline:
        try:
            await CLIENT.call(say, StringValue())
        except ServiceUnavailable:
            continue
        return
    pytest.fail("the channel never recovered")


async def test_calls_are_balanced_over_every_address(serve: Serve, say_to: SayTo) -> None:
    """Two addresses behind one target share the calls, and one alone takes them all."""
    answered: Counter[str] = Counter()

    async with (
        serve(_counting("one", answered)) as one,
        serve(_counting("two", answered)) as two,
        say_to(f"ipv4:///127.0.0.1:{one.port},127.0.0.1:{two.port}") as say,
        asyncio.timeout(20),
    ):
        while len(answered) < 2:
            await CLIENT.call(say, StringValue())
        shared = await _ten_calls(say, answered)
        await two.stop()
        alone = await _ten_calls(say, answered)

    assert shared == {"one": 5, "two": 5}
    assert alone == {"one": 10}


def _counting(name: str, answered: Counter[str]) -> Any:
    async def answer(request: StringValue, _context: Any) -> StringValue:
        answered[name] += 1
        return request

    return answer


async def _ten_calls(say: Any, answered: Counter[str]) -> dict[str, int]:
    answered.clear()
    for _ in range(10):
        await CLIENT.call(say, StringValue())
    return dict(answered)


async def test_a_replica_that_is_not_ready_gets_no_calls(serve: Serve, say_to: SayTo) -> None:
    """Its connection stays open; its own health report turns callers away, and back."""
    answered: Counter[str] = Counter()
    fault: list[NotReady] = []

    async def check() -> None:
        for each in fault:
            raise each

    async with (
        serve(_counting("one", answered), readiness=[check]) as one,
        serve(_counting("two", answered)) as two,
        say_to(f"ipv4:///127.0.0.1:{one.port},127.0.0.1:{two.port}") as say,
    ):
        await _until_shared({"one": 5, "two": 5}, say, answered)
        fault.append(NotReady("full"))
        await _until_shared({"two": 10}, say, answered)
        fault.clear()
        await _until_shared({"one": 5, "two": 5}, say, answered)


async def _until_shared(shares: dict[str, int], say: Any, answered: Counter[str]) -> None:
    deadline = time.monotonic() + 10
    while await _ten_calls(say, answered) != shares:
        assert time.monotonic() < deadline, "calls go elsewhere"


async def test_replicas_are_found_and_left_by_their_name(serve: Serve, say_to: SayTo) -> None:
    """New ones get calls once a connection is renewed for its age; those that left the name get none. No call fails."""
    answered: Counter[str] = Counter()

    async with (
        name_server("127.0.0.1") as dns,
        serve(_counting("one", answered), connection_seconds=1) as one,
        serve(_counting("two", answered), connection_seconds=1, listen=f"127.0.0.2:{one.port}"),
        say_to(f"dns://127.0.0.1:{dns.port}/echo.shop.example:{one.port}") as say,
    ):
        alone = await _ten_calls(say, answered)
        dns.addresses.append("127.0.0.2")
        await _until_shared({"one": 5, "two": 5}, say, answered)
        dns.addresses.remove("127.0.0.1")
        await _until_shared({"two": 10}, say, answered)

    assert alone == {"one": 10}


async def test_a_try_that_hangs_is_given_up(serve: Serve, say_to: SayTo) -> None:
    """The call is sent again within its deadline, to the next replica."""
    calls: list[int] = []

    async def hang_at_first(request: StringValue, _context: Any) -> StringValue:
        calls.append(len(calls))
        if len(calls) == 1:
            await asyncio.Event().wait()
        return request

    async with serve(hang_at_first) as server, say_to(server.port, try_seconds=0.3) as say:
        answer = await CLIENT.call(say, StringValue(value="hello"))

    assert (answer.value, len(calls)) == ("hello", 2)


async def test_a_frozen_replica_costs_no_request(running: Running, say_to: SayTo) -> None:
    """SIGSTOP of one of two: at most 1 % of the calls fail, none of those that begin 2 s later."""
    async with running(drain_seconds=1) as one, running(drain_seconds=1) as two:
        for each in (one, two):
            each.release()
        async with say_to(f"ipv4:///127.0.0.1:{one.port},127.0.0.1:{two.port}", try_seconds=2) as say:
            await asyncio.gather(*(_failed(say) for _ in range(10)))
            one.process.send_signal(signal.SIGSTOP)
            early = await _failures(say, seconds=2)
            late = await _failures(say, seconds=2)

    assert sum(early) <= len(early + late) // 100
    assert sum(late) == 0


async def _failures(say: Any, *, seconds: float) -> list[bool]:
    """Begin 50 calls a second."""
    begun = []
    for _ in range(round(seconds * 50)):
        begun.append(asyncio.create_task(_failed(say)))
        await asyncio.sleep(0.02)
    return await asyncio.gather(*begun)


async def _failed(say: Any) -> bool:
    try:
        await RpcClient("echo", {}, timeout_seconds=3).call(say, StringValue())
    except ServiceUnavailable:
        return True
    return False


async def test_a_message_over_the_limit_is_refused(serve: Serve, say_to: SayTo) -> None:
    """The limit is the service's."""
    async with serve(_echo, max_message_bytes=1000) as server, say_to(server.port) as say:
        with pytest.raises(UnexpectedAnswer, match="RESOURCE_EXHAUSTED"):
            await CLIENT.call(say, StringValue(value="x" * 1001))
