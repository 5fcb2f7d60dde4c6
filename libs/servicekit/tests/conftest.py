"""A tiny service on a real gRPC server, calls to it, and the log lines that it writes."""

import io
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from servicekit.grpc_client import open_channel
from servicekit.grpc_server import GrpcServer
from servicekit.json_logging import JsonFormatter, forget_attempt, request_id

SERVICE: Final = "test.Echo"
Answer = Callable[[StringValue, Any], Awaitable[StringValue]]
Serve = Callable[..., AbstractAsyncContextManager[GrpcServer]]
Say = grpc.aio.UnaryUnaryMultiCallable[StringValue, StringValue]
SayTo = Callable[..., AbstractAsyncContextManager[Say]]
Logged = Callable[..., list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def nothing_bound() -> None:
    """Begin each test outside any request."""
    request_id.set("")
    forget_attempt()


@pytest.fixture
def serve() -> Serve:
    """Give a context that serves one method, Say, on a port of its own; keywords replace the server's arguments."""
    return _serve


@asynccontextmanager
async def _serve(answer: Answer, **changes: Any) -> AsyncIterator[GrpcServer]:
    told: dict[str, Any] = {
        "service_name": SERVICE,
        "listen": "127.0.0.1:0",
        "errors": {},
        "domain": "echo",
        "drain_seconds": 1,
    }
    server = GrpcServer(**told | changes)
    say = grpc.unary_unary_rpc_method_handler(answer, StringValue.FromString, StringValue.SerializeToString)
    server.grpc.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Say": say}),))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@pytest.fixture
def say_to() -> SayTo:
    """Give a context with the method Say of a service at a target, over a channel as services open them."""
    return _say_to


@asynccontextmanager
async def _say_to(target: int | str, **changes: Any) -> AsyncIterator[Say]:
    async with open_channel(f"127.0.0.1:{target}" if isinstance(target, int) else target, **changes) as channel:
        yield channel.unary_unary(f"/{SERVICE}/Say", StringValue.SerializeToString, StringValue.FromString)


@pytest.fixture
def logged() -> Iterator[Logged]:
    """Give the lines logged so far, as objects; with a logger's name, that logger's lines."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonFormatter("echo"))
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)

    def lines(logger: str = "") -> list[dict[str, Any]]:
        every = [json.loads(line) for line in written.getvalue().splitlines()]
        return [line for line in every if line["logger"].startswith(logger)]

    yield lines
    root.removeHandler(handler)
    root.setLevel(before)
