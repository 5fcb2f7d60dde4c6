"""A real process on a real signal: not serving, drained, gone."""

import asyncio
import signal
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc

from servicekit.grpc_client import RpcClient, open_channel
from servicekit.unavailable import ServiceUnavailable

SayTo = Callable[..., AbstractAsyncContextManager[Any]]
Running = Callable[..., AbstractAsyncContextManager[Any]]
DEADLINE_SECONDS: Final = 10
CLIENT: Final = RpcClient("echo", {}, timeout_seconds=DEADLINE_SECONDS)
IMPATIENT: Final = RpcClient("echo", {}, timeout_seconds=2)


async def test_a_call_in_flight_is_finished_and_new_ones_are_refused(running: Running, say_to: SayTo) -> None:
    """SIGTERM: health says not serving, the held call is answered, a new one is refused, the exit code is 0."""
    async with running(drain_seconds=DEADLINE_SECONDS) as echo, say_to(echo.port) as say:
        held = asyncio.create_task(CLIENT.call(say, StringValue(value="hello")))
        await echo.wait_for_log("holding")
        reports = _health_reports(echo.port)
        before = await anext(reports)
        echo.process.send_signal(signal.SIGTERM)
        after = await anext(reports)
        await reports.aclose()
        async with say_to(echo.port) as say_anew:
            await _until_refused(say)
            await _until_refused(say_anew)

        echo.release()

        assert (await held).value == "hello"
        assert await echo.exit_code() == 0
    assert (before, after) == ("SERVING", "NOT_SERVING")


async def _health_reports(port: int) -> AsyncGenerator[str, None]:
    async with open_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        async for report in stub.Watch(health_pb2.HealthCheckRequest()):
            yield health_pb2.HealthCheckResponse.ServingStatus.Name(report.status)


async def _health(port: int) -> str:
    reports = _health_reports(port)
    try:
        return await anext(reports)
    finally:
        await reports.aclose()


async def _until_refused(say: Any) -> None:
    """Call until a call is refused; one that arrives before the server closes is held, and given up."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        with pytest.raises(ServiceUnavailable) as refused:
            await IMPATIENT.call(say, StringValue())
        failure = refused.value.__cause__
        if isinstance(failure, grpc.aio.AioRpcError) and failure.code() is grpc.StatusCode.UNAVAILABLE:
            return
        assert time.monotonic() < deadline, "calls are not refused"


async def test_a_lame_duck_serves_callers_that_have_not_noticed(running: Running) -> None:
    """Health falls at once; until the lame duck ends new connections are served, and only then refused."""
    async with running(drain_seconds=0.2, lame_duck_seconds=1) as echo, _unaware(echo.port) as say:
        before = await _health(echo.port)
        echo.process.send_signal(signal.SIGTERM)
        await echo.wait_for_log("stopping")
        after = await _health(echo.port)
        echo.release()
        served = await say(StringValue(value="late"), timeout=DEADLINE_SECONDS)

        await echo.wait_for_log("draining")

        assert await echo.exit_code() == 0
    assert (before, after, served.value) == ("SERVING", "NOT_SERVING", "late")


@asynccontextmanager
async def _unaware(port: int) -> AsyncIterator[Any]:
    """Give Say over a channel that asks no health."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel.unary_unary("/test.Echo/Say", StringValue.SerializeToString, StringValue.FromString)


async def test_a_second_signal_ends_the_process_at_once(running: Running) -> None:
    """Neither lame duck nor drain holds up somebody who insists."""
    async with running(drain_seconds=300, lame_duck_seconds=300) as echo:
        echo.process.send_signal(signal.SIGTERM)
        await echo.wait_for_log("stopping")
        echo.process.send_signal(signal.SIGINT)

        await echo.wait_for_log("ended by a second signal")

        assert await echo.exit_code() == 128 + signal.SIGINT


async def test_a_call_that_outlasts_the_drain_is_cut(running: Running, say_to: SayTo) -> None:
    """The process leaves in its time, and the caller may try elsewhere."""
    async with running(drain_seconds=0.2) as echo, say_to(echo.port) as say:
        held = asyncio.create_task(IMPATIENT.call(say, StringValue()))
        await echo.wait_for_log("holding")
        echo.process.send_signal(signal.SIGTERM)

        with pytest.raises(ServiceUnavailable):
            await held
        assert await echo.exit_code() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_idle_process_leaves_at_once(running: Running, number: signal.Signals) -> None:
    """Without calls there is nothing to wait for, and the log is complete."""
    async with running(drain_seconds=300) as echo:
        echo.process.send_signal(number)

        await echo.wait_for_log("draining")
        await echo.wait_for_log("stopped")

        assert await echo.exit_code() == 0
