"""A server beside its service: reflection, port, pings, metrics, memory, access log."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_reflection.v1alpha import reflection, reflection_pb2
from prometheus_client import REGISTRY

from servicekit.errors import ErrorAnswer
from servicekit.grpc_server import GrpcServer

Serve = Callable[..., AbstractAsyncContextManager[GrpcServer]]
SayTo = Callable[..., AbstractAsyncContextManager[Any]]
Logged = Callable[..., list[dict[str, Any]]]


async def _echo(request: StringValue, _context: Any) -> StringValue:
    return request


async def test_reflection_is_on_when_asked_for(serve: Serve) -> None:
    """In development a developer's tool finds the service; in production nothing is listed."""
    async with serve(_echo, with_reflection=True) as server:
        names = await _reflected_services(server)
    async with serve(_echo) as server:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _reflected_services(server)

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert names == {"test.Echo", "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


async def _reflected_services(server: GrpcServer) -> set[str]:
    async def questions() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        ask = channel.stream_stream(
            f"/{reflection.SERVICE_NAME}/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        answers = [answer async for answer in ask(questions())]
    return {service.name for answer in answers for service in answer.list_services_response.service}


async def test_two_servers_do_not_share_a_port(serve: Serve) -> None:
    """The second one fails, instead of taking half of the calls."""
    async with serve(_echo) as first:
        second = GrpcServer(
            service_name="test.Echo", listen=f"127.0.0.1:{first.port}", errors={}, domain="echo", drain_seconds=0
        )

        with pytest.raises(RuntimeError, match=f"127.0.0.1:{first.port}"):
            await second.start()


async def test_a_client_may_ping_as_often_as_it_likes(serve: Serve) -> None:
    """A busy client pings to measure its bandwidth; if it were cut off, every call on the connection would fail."""
    async with serve(_echo) as server, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS))
        for number in range(_PINGS):
            assert await _pinged(reader, writer) == _PING, number
        writer.close()
        await writer.wait_closed()


_PINGS = 20
_SETTINGS, _PING, _GOAWAY = 4, 6, 7
"""Types of HTTP/2 frames. Source: RFC 9113, section 6."""


def _frame(kind: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + bytes([kind]) + bytes(5) + payload


async def _pinged(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    """Ping, and return the type of the first frame that is the answer or the end of the connection."""
    writer.write(_frame(_PING, bytes(8)))
    while (kind := await _read_frame(reader)) not in {_PING, _GOAWAY}:
        pass
    return kind


async def _read_frame(reader: asyncio.StreamReader) -> int:
    head = await reader.readexactly(9)
    await reader.readexactly(int.from_bytes(head[:3]))
    return head[3]


async def test_each_answer_is_counted_by_method_and_code(serve: Serve, say_to: SayTo) -> None:
    """A dashboard shows failures, successes and their duration."""
    errors = {KeyError: ErrorAnswer(grpc.StatusCode.NOT_FOUND, "lost")}

    async def picky(request: StringValue, _context: Any) -> StringValue:
        if not request.value:
            raise KeyError
        return request

    before = _counted("OK"), _counted("NOT_FOUND"), _timed()
    async with serve(picky, errors=errors) as server, say_to(server.port) as say:
        await say(StringValue(value="hello"))
        with pytest.raises(grpc.aio.AioRpcError):
            await say(StringValue())

    after = _counted("OK"), _counted("NOT_FOUND"), _timed()
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1, 2]


def _counted(code: str) -> float:
    labels = {"method": "/test.Echo/Say", "code": code}
    return REGISTRY.get_sample_value("holdfast_grpc_requests_total", labels) or 0


def _timed() -> float:
    return REGISTRY.get_sample_value("holdfast_grpc_request_seconds_count", {"method": "/test.Echo/Say"}) or 0


async def test_requests_in_flight_are_counted(serve: Serve, say_to: SayTo) -> None:
    """An autoscaler adds servers by them."""
    seen = []

    async def look(request: StringValue, _context: Any) -> StringValue:
        seen.append(_in_flight())
        return request

    async with serve(look) as server, say_to(server.port) as say:
        await say(StringValue())

    assert [*seen, _in_flight()] == [1, 0]


def _in_flight() -> float | None:
    return REGISTRY.get_sample_value("holdfast_grpc_requests_in_flight")


async def test_nothing_of_a_refused_request_stays_in_memory(serve: Serve, say_to: SayTo) -> None:
    """Otherwise a hundred refused requests of some megabytes fill the memory before Python collects cycles."""

    class Held:
        """An object that a handler makes of a request."""

    held: list[weakref.ref[Held]] = []

    async def refuse(_request: StringValue, _context: Any) -> StringValue:
        made = Held()
        held.append(weakref.ref(made))
        raise KeyError

    errors = {KeyError: ErrorAnswer(grpc.StatusCode.NOT_FOUND, "lost")}
    async with serve(refuse, errors=errors) as server, say_to(server.port) as say:
        with _no_collection():
            for _ in range(3):
                with pytest.raises(grpc.aio.AioRpcError):
                    await say(StringValue())
            await server.stop()  # releases everything that a call needed
            left = [each() for each in held]

    assert left == [None, None, None]


@contextmanager
def _no_collection() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def test_health_and_reflection_stay_out_of_the_access_log(serve: Serve, logged: Logged) -> None:
    """A probe a second would hide the requests."""
    async with serve(_echo, with_reflection=True) as server:
        await _reflected_services(server)

    assert logged("access") == []
