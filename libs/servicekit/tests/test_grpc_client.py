"""Calls between services: request id, deadline, retries, and a channel that reconnects and balances."""

import asyncio
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
from servicekit.json_logging import request_id
from servicekit.unavailable import ServiceUnavailable

Serve = Callable[..., AbstractAsyncContextManager[GrpcServer]]
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

    def counting(name: str) -> Any:
        async def answer(request: StringValue, _context: Any) -> StringValue:
            answered[name] += 1
            return request

        return answer

    async with (
        serve(counting("one")) as one,
        serve(counting("two")) as two,
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


async def _ten_calls(say: Any, answered: Counter[str]) -> dict[str, int]:
    answered.clear()
    for _ in range(10):
        await CLIENT.call(say, StringValue())
    return dict(answered)


async def test_a_message_over_the_limit_is_refused(serve: Serve, say_to: SayTo) -> None:
    """The limit is the service's."""
    async with serve(_echo, max_message_bytes=1000) as server, say_to(server.port) as say:
        with pytest.raises(UnexpectedAnswer, match="RESOURCE_EXHAUSTED"):
            await CLIENT.call(say, StringValue(value="x" * 1001))
