"""A service with one method on a real gRPC server, calls to it, and the log lines that it writes."""

import asyncio
import io
import json
import logging
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from servicekit.grpc_client import open_channel
from servicekit.grpc_server import GrpcServer
from servicekit.json_logging import JsonFormatter, request_id, unbind_attempt

SERVICE: Final = "test.Echo"
PROGRAM: Final = Path(__file__).with_name("echo_process.py")
DEADLINE_SECONDS: Final = 10
Answer = Callable[[StringValue, Any], Awaitable[StringValue]]
Serve = Callable[..., AbstractAsyncContextManager[GrpcServer]]
Say = grpc.aio.UnaryUnaryMultiCallable[StringValue, StringValue]
SayTo = Callable[..., AbstractAsyncContextManager[Say]]
Running = Callable[..., AbstractAsyncContextManager["Echo"]]
Logged = Callable[..., list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def nothing_bound() -> None:
    """Begin each test outside a request."""
    request_id.set("")
    unbind_attempt()


@pytest.fixture
def serve() -> Serve:
    """Return a context that serves one method, Say, on a free port; keywords replace the server's arguments."""
    return _serve


@asynccontextmanager
async def _serve(answer: Answer, **changes: Any) -> AsyncIterator[GrpcServer]:
    arguments: dict[str, Any] = {
        "service_name": SERVICE,
        "listen": "127.0.0.1:0",
        "errors": {},
        "domain": "echo",
        "drain_seconds": 1,
    }
    server = GrpcServer(**arguments | changes)
    say = grpc.unary_unary_rpc_method_handler(answer, StringValue.FromString, StringValue.SerializeToString)
    server.grpc.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Say": say}),))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@pytest.fixture
def say_to() -> SayTo:
    """Return a context with the method Say of a service at a port or target, over a channel as services open it."""
    return _say_to


@asynccontextmanager
async def _say_to(target: int | str, **changes: Any) -> AsyncIterator[Say]:
    async with open_channel(f"127.0.0.1:{target}" if isinstance(target, int) else target, **changes) as channel:
        yield channel.unary_unary(f"/{SERVICE}/Say", StringValue.SerializeToString, StringValue.FromString)


@pytest.fixture
def logged() -> Iterator[Logged]:
    """Return the lines logged so far, as objects; with a logger's name, only its lines."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonFormatter("echo"))
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)

    def lines(logger: str = "") -> list[dict[str, Any]]:
        parsed = [json.loads(line) for line in written.getvalue().splitlines()]
        return [line for line in parsed if line["logger"].startswith(logger)]

    yield lines
    root.removeHandler(handler)
    root.setLevel(before)


class Echo:
    """A service as a process, its log, and its standard input."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.port = 0

    async def wait_for_log(self, message: str) -> dict[str, Any]:
        """Wait for a log line; every line on the way must be JSON."""
        assert self.process.stderr is not None
        async with asyncio.timeout(DEADLINE_SECONDS):
            async for written in self.process.stderr:
                line: dict[str, Any] = json.loads(written)
                if line["message"] == message:
                    return line
        pytest.fail(f"the process ended without logging {message!r}")

    def release(self) -> None:
        """Let it answer the calls that it holds, and later ones at once."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")

    async def exit_code(self) -> int:
        """Wait for the end of the process."""
        return await asyncio.wait_for(self.process.wait(), DEADLINE_SECONDS)


@pytest.fixture
def running() -> Running:
    """Return a context that runs echo_process.py."""
    return _running


@asynccontextmanager
async def _running(*, drain_seconds: float, lame_duck_seconds: float = 0) -> AsyncIterator[Echo]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAM), str(drain_seconds), str(lame_duck_seconds), stdin=PIPE, stderr=PIPE
    )
    echo = Echo(process)
    try:
        echo.port = (await echo.wait_for_log("listening"))["port"]
        yield echo
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
