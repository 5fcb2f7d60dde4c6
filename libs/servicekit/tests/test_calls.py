"""Calls between services: their request id, deadline, retries, and a channel that heals and balances."""

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
from servicekit.grpc_client import RpcClient, ServiceUnavailable, UnexpectedAnswer
from servicekit.grpc_defaults import DEFAULT_MAX_MESSAGE_BYTES
from servicekit.grpc_server import GrpcServer
from servicekit.json_logging import request_id

Serve = Callable[..., AbstractAsyncContextManager[GrpcServer]]
SayTo = Callable[..., AbstractAsyncContextManager[Any]]
Logged = Callable[..., list[dict[str, Any]]]
ERRORS: ErrorTable = {
    ConnectionError: ErrorAnswer(grpc.StatusCode.UNAVAILABLE, "away"),
    BlockingIOError: ErrorAnswer(grpc.StatusCode.ABORTED, "busy"),
}
CALLER: Final = RpcClient("echo", {}, timeout_seconds=5)
RECOVERY_SECONDS: Final = 2.0
OUTAGE_SECONDS: Final = 5.5
"""Long enough that a channel with gRPC's own backoff would by then wait for several seconds."""


async def _echo(request: StringValue, _context: Any) -> StringValue:
    return request


async def _tell_request_id(_request: StringValue, _context: Any) -> StringValue:
    return StringValue(value=request_id.get())


async def test_the_request_id_travels(serve: Serve, say_to: SayTo) -> None:
    """The service called works under the caller's request id."""
    request_id.set("r-1")
    async with serve(_tell_request_id) as server, say_to(server.port) as say:
        answer = await CALLER.call(say, StringValue())

    assert answer.value == "r-1"


async def test_without_a_request_the_service_makes_an_id(serve: Serve, say_to: SayTo) -> None:
    """Each call then has an id of its own."""
    async with serve(_tell_request_id) as server, say_to(server.port) as say:
        answers = [(await CALLER.call(say, StringValue())).value for _ in range(2)]

    assert len(set(answers)) == 2
    assert all(len(answer) == 32 for answer in answers)


async def test_a_malformed_request_id_is_replaced(serve: Serve, say_to: SayTo) -> None:
    """Nobody writes into another service's logs."""
    offered = (("x-request-id", 'r-1", "level": "error'),)
    async with serve(_tell_request_id) as server, say_to(server.port) as say:
        answer = await say(StringValue(), metadata=offered)

    assert len(answer.value) == 32


async def test_each_call_is_a_line_of_the_access_log(serve: Serve, say_to: SayTo, logged: Logged) -> None:
    """Method, outcome, time and request; nothing of what was said."""
    request_id.set("r-1")
    async with serve(_echo) as server, say_to(server.port) as say:
        await CALLER.call(say, StringValue(value="ada@example.com"))

    (line,) = logged("access")
    assert (line["message"], line["code"], line["request_id"]) == ("/test.Echo/Say", "OK", "r-1")
    assert line["ms"] >= 0
    assert "ada" not in str(logged())


async def test_a_call_past_its_deadline_is_unavailable(serve: Serve, say_to: SayTo, logged: Logged) -> None:
    """The caller stops waiting, and the service stops working."""
    given_up = asyncio.Event()

    async def never(_request: StringValue, _context: Any) -> StringValue:
        try:
            return await asyncio.Future()
        finally:
            given_up.set()

    async with serve(never) as server, say_to(server.port) as say:
        with pytest.raises(ServiceUnavailable):  # it takes a moment to connect
            await RpcClient("echo", {}, timeout_seconds=2).call(say, StringValue())

        await asyncio.wait_for(given_up.wait(), 20)

    assert [line["code"] for line in logged("access")] == ["CANCELLED"]


async def test_a_call_whose_caller_left_is_cancelled(serve: Serve, say_to: SayTo) -> None:
    """Cancelling the caller's task is no failure with a name: it stays a cancellation."""
    begun = asyncio.Event()

    async def never(_request: StringValue, _context: Any) -> StringValue:
        begun.set()
        return await asyncio.Future()

    async with serve(never) as server, say_to(server.port) as say:
        calling = asyncio.create_task(CALLER.call(say, StringValue()))
        await begun.wait()
        calling.cancel()

        with pytest.raises(asyncio.CancelledError):
            await calling


class _FailsAtFirst:
    """Fails as often as told, then echoes; counts every call."""

    def __init__(self, failure: Exception, times: int) -> None:
        self._failure = failure
        self._times = times
        self.calls = 0

    async def answer(self, request: StringValue, _context: Any) -> StringValue:
        self.calls += 1
        if self.calls <= self._times:
            raise self._failure
        return request


async def test_an_unavailable_service_is_asked_again(serve: Serve, say_to: SayTo) -> None:
    """A caller does not notice a service that is away for a moment."""
    service = _FailsAtFirst(ConnectionError(), times=2)
    async with serve(service.answer, errors=ERRORS) as server, say_to(server.port) as say:
        answer = await CALLER.call(say, StringValue(value="hello"))

    assert answer.value == "hello"
    assert service.calls == 3


async def test_asking_again_has_an_end(serve: Serve, say_to: SayTo) -> None:
    """Four times in all, then the caller hears of it."""
    service = _FailsAtFirst(ConnectionError(), times=100)
    async with serve(service.answer, errors=ERRORS) as server, say_to(server.port) as say:
        with pytest.raises(ServiceUnavailable):
            await CALLER.call(say, StringValue())

    assert service.calls == 4


async def test_a_large_request_is_sent_again_too(serve: Serve, say_to: SayTo) -> None:
    """It is kept for that until it is answered."""
    service = _FailsAtFirst(ConnectionError(), times=1)
    async with serve(service.answer, errors=ERRORS) as server, say_to(server.port) as say:
        answer = await CALLER.call(say, StringValue(value="x" * 4_000_000))

    assert len(answer.value) == 4_000_000
    assert service.calls == 2


@pytest.mark.parametrize("failure", [BlockingIOError(), KeyError()], ids=["ABORTED", "INTERNAL"])
async def test_nothing_else_is_asked_again(serve: Serve, say_to: SayTo, failure: Exception) -> None:
    """Only UNAVAILABLE says that the same call may do better at once."""
    service = _FailsAtFirst(failure, times=1)
    async with serve(service.answer, errors=ERRORS) as server, say_to(server.port) as say:
        with pytest.raises((ServiceUnavailable, UnexpectedAnswer)):
            await CALLER.call(say, StringValue())

    assert service.calls == 1


async def test_a_channel_recovers_soon_after_its_service(serve: Serve, say_to: SayTo) -> None:
    """An outage ends for callers about when it ends, however often they called meanwhile."""
    async with serve(_echo) as server, say_to(server.port) as say:
        port = server.port
        await CALLER.call(say, StringValue())
        await server.stop()
        gone = time.monotonic()
        while time.monotonic() < gone + OUTAGE_SECONDS:
            with pytest.raises(ServiceUnavailable):
                await CALLER.call(say, StringValue())

        async with serve(_echo, listen=f"127.0.0.1:{port}"):
            back = time.monotonic()
            await _until_answered(say, back + 10)
            recovered = time.monotonic()

    assert recovered - back < RECOVERY_SECONDS


async def _until_answered(say: Any, deadline: float) -> None:
    while time.monotonic() < deadline:
        try:
            await CALLER.call(say, StringValue())
        except ServiceUnavailable:
            continue
        return
    pytest.fail("the channel never recovered")


async def test_calls_are_spread_over_every_address(serve: Serve, say_to: SayTo) -> None:
    """Two addresses behind one target share the calls, and one alone takes them all."""
    answered: Counter[str] = Counter()

    def counting(name: str) -> Any:
        async def answer(request: StringValue, _context: Any) -> StringValue:
            answered[name] += 1
            return request

        return answer

    async with serve(counting("one")) as one, serve(counting("two")) as two:
        target = f"ipv4:///127.0.0.1:{one.port},127.0.0.1:{two.port}"
        shared, alone = await _call_two(say_to(target), two, answered)

    assert shared == {"one": 5, "two": 5}
    assert alone == {"one": 10}


async def _call_two(
    channel: AbstractAsyncContextManager[Any], two: GrpcServer, answered: Counter[str]
) -> tuple[dict[str, int], dict[str, int]]:
    """Return who answered ten calls while both were there, and ten more after the second had stopped."""
    async with channel as say:
        async with asyncio.timeout(5):
            while len(answered) < 2:
                await CALLER.call(say, StringValue())
        shared = await _ten_calls(say, answered)
        await two.stop()
        return shared, await _ten_calls(say, answered)


async def _ten_calls(say: Any, answered: Counter[str]) -> dict[str, int]:
    answered.clear()
    for _ in range(10):
        await CALLER.call(say, StringValue())
    return dict(answered)


async def test_messages_up_to_the_limit_pass(serve: Serve, say_to: SayTo) -> None:
    """Twice what gRPC takes by default, both ways."""
    text = "x" * (DEFAULT_MAX_MESSAGE_BYTES - 16)
    async with serve(_echo) as server, say_to(server.port) as say:
        answer = await CALLER.call(say, StringValue(value=text))

    assert answer.value == text


async def test_a_message_over_the_limit_is_refused(serve: Serve, say_to: SayTo) -> None:
    """A service does not take in whatever anyone sends."""
    async with serve(_echo, max_message_bytes=1000) as server, say_to(server.port) as say:
        with pytest.raises(UnexpectedAnswer, match="RESOURCE_EXHAUSTED"):
            await CALLER.call(say, StringValue(value="x" * 1001))
