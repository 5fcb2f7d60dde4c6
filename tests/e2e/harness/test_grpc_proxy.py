import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from .grpc_proxy import GrpcProxy

METHOD = "/shop.v1.ThingService/GetThing"


class Origin(grpc.GenericRpcHandler):
    """A service that answers every method and remembers what reached it."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.seconds_left: list[float | None] = []
        self.metadata: list[dict[str, Any]] = []

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:  # noqa: ARG002 - every method alike
        """Answer any method in the same way."""
        return grpc.unary_unary_rpc_method_handler(self.answer)

    async def answer(self, request: bytes, context: "grpc.aio.ServicerContext[Any, Any]") -> bytes:
        """Refuse what asks for it, echo the rest."""
        self.requests.append(request)
        self.seconds_left.append(context.time_remaining())
        self.metadata.append(dict(context.invocation_metadata() or ()))
        if request == b"refuse":
            details = (("grpc-status-details-bin", b"\x08\x05"), ("reason", "gone"))
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such thing", details)
        context.set_trailing_metadata((("weight", "3"),))
        return b"echo " + request


@pytest.fixture
def origin() -> Origin:
    """Make a service that nobody has called."""
    return Origin()


@pytest.fixture
async def proxy(origin: Origin) -> AsyncIterator[GrpcProxy]:
    """Run a proxy in front of the service."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((origin,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with GrpcProxy(f"127.0.0.1:{port}") as running:
        yield running
    await server.stop(None)


@pytest.fixture
async def call(proxy: GrpcProxy) -> AsyncIterator[Any]:
    """Make a caller."""
    async with grpc.aio.insecure_channel(proxy.address) as channel:
        yield channel.unary_unary(METHOD)


async def test_carries_bytes_metadata_and_deadline(call: Any, origin: Origin) -> None:
    """The service sees what the caller sent and how long it will wait."""
    calling = call(b"hello", timeout=5, metadata=(("x-request-id", "r1"),))

    answer = await calling

    trailing = dict(await calling.trailing_metadata())
    assert (answer, trailing["weight"], origin.metadata[0]["x-request-id"]) == (b"echo hello", "3", "r1")
    assert 1 < (origin.seconds_left[0] or 0) < 5.1  # gRPC rounds a deadline up


async def test_carries_a_refusal_with_its_details(call: Any) -> None:
    """Code, message and status details arrive as the service gave them."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"refuse", timeout=5)

    trailing = dict(caught.value.trailing_metadata() or ())
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.NOT_FOUND, "no such thing")
    assert (trailing["grpc-status-details-bin"], trailing["reason"]) == (b"\x08\x05", "gone")


async def test_writes_down_the_method(call: Any, proxy: GrpcProxy) -> None:
    """A road is the method's full name."""
    await call(b"hello", timeout=5)

    assert proxy.checkpoint.roads == {METHOD: 1}


async def test_a_swallowed_answer_leaves_its_effect(call: Any, proxy: GrpcProxy, origin: Origin) -> None:
    """The service has done it, and the caller's connection broke."""
    trap = proxy.checkpoint.swallow_next(METHOD)
    calling = asyncio.ensure_future(call(b"hello", timeout=5))
    await trap.sprung()

    trap.drop()

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await calling
    assert (caught.value.code(), origin.requests) == (grpc.StatusCode.UNAVAILABLE, [b"hello"])


async def test_a_dropped_call_never_reaches_the_service(call: Any, proxy: GrpcProxy, origin: Origin) -> None:
    """The caller's connection broke before the service heard of it."""
    trap = proxy.checkpoint.hold_next(METHOD)
    calling = asyncio.ensure_future(call(b"hello", timeout=5))
    await trap.sprung()

    trap.drop()

    with pytest.raises(grpc.aio.AioRpcError):
        await calling
    assert origin.requests == []


async def test_a_service_that_is_away_is_unavailable() -> None:
    """The proxy passes on what it meets."""
    async with GrpcProxy("127.0.0.1:9") as lonely, grpc.aio.insecure_channel(lonely.address) as channel:
        invoke: Any = channel.unary_unary(METHOD)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await invoke(b"hello", timeout=5)

    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
