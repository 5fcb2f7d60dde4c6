"""A gRPC proxy between a gateway and a service, with breakpoints and faults."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, Self

import grpc
from grpc_health.v1 import health_pb2

from devstack.ports import LOOPBACK

from .closing import AsyncClosing
from .interceptor import AnswerLost, CallFailed, Interceptor, ObservedCall

_MOST_BYTES = 64 * 1024 * 1024
_OPTIONS = (("grpc.max_receive_message_length", _MOST_BYTES), ("grpc.max_send_message_length", _MOST_BYTES))
_SERVER_OPTIONS = (
    *_OPTIONS,
    ("grpc.so_reuseport", 0),
    ("grpc.http2.max_ping_strikes", 0),  # as the services
)
# Only the caller may retry a call. Reconnect soon: the target may be restarted.
_CHANNEL_OPTIONS = (
    *_OPTIONS,
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 200),
)
_HEALTH_WATCH: Final = "/grpc.health.v1.Health/Watch"
_PER_CONNECTION = ("grpc-", ":", "user-agent", "content-type", "te")

Metadata = Sequence[tuple[str, str | bytes]]


class GrpcProxy(AsyncClosing):
    """Forwards every unary call to a target (host:port): bytes, metadata, deadline, and the status with its details.

    `host` is the address of this machine to listen on.
    """

    def __init__(self, target: str, *, host: str = LOOPBACK) -> None:
        self.interceptor = Interceptor()
        self.refusals: list[bytes] = []
        """Status, message and trailers of every call that the target refused."""
        self.address = ""
        self._target = target
        self._host = host
        self._server = grpc.aio.server(options=_SERVER_OPTIONS)
        self._channel: grpc.aio.Channel | None = None

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        self._channel = grpc.aio.insecure_channel(self._target, options=_CHANNEL_OPTIONS)
        await self._listen(f"{self._host}:0")
        return self

    async def close(self) -> None:
        """Release held calls and stop listening."""
        self.interceptor.reset()
        await self._server.stop(grace=1.0)
        if self._channel is not None:
            await self._channel.close()

    async def cut(self) -> None:
        """Break every connection with the calls in flight, and listen again at the same address."""
        await self._server.stop(grace=None)
        self._server = grpc.aio.server(options=_SERVER_OPTIONS)
        await self._listen(self.address)

    async def _listen(self, address: str) -> None:
        self._server.add_generic_rpc_handlers((_EveryMethod(self),))
        self.address = f"{self._host}:{self._server.add_insecure_port(address)}"
        await self._server.start()

    async def forward(self, method: str, request: bytes, context: "grpc.aio.ServicerContext[Any, Any]") -> bytes:
        """Carry one call to the target and the answer back."""
        metadata = _passed_on(context.invocation_metadata() or ())
        call = ObservedCall(method, {name: _as_text(value) for name, value in metadata}, request)
        try:
            return await self.interceptor.intercept(call, lambda: self._forwarded(method, request, metadata, context))
        except AnswerLost:
            # The status that gRPC reports for a broken connection.
            await context.abort(grpc.StatusCode.UNAVAILABLE, "injected connection failure")
        except CallFailed:
            await context.abort(grpc.StatusCode.INTERNAL, "injected failure")
        except grpc.aio.AioRpcError as refusal:
            self.refusals.append(_raw_refusal(refusal))
            await context.abort(refusal.code(), refusal.details() or "", _passed_on(refusal.trailing_metadata() or ()))

    async def _forwarded(
        self, method: str, request: bytes, metadata: Metadata, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> bytes:
        if self._channel is None:
            raise AnswerLost
        seconds = context.time_remaining()
        invoke: Any = self._channel.unary_unary(method)
        call = invoke(request, timeout=seconds, metadata=tuple(metadata))
        answer: bytes = await call
        context.set_trailing_metadata(_passed_on(await call.trailing_metadata() or ()))
        return answer


class _EveryMethod(grpc.GenericRpcHandler):
    """Handler for every method name; without serializers, messages stay bytes."""

    def __init__(self, proxy: GrpcProxy) -> None:
        self._proxy = proxy

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Return the handler for a method."""
        method = handler_call_details.method
        if method == _HEALTH_WATCH:
            return grpc.unary_stream_rpc_method_handler(_report_serving)

        async def handle(request: bytes, context: "grpc.aio.ServicerContext[Any, Any]") -> bytes:
            return await self._proxy.forward(method, request, context)

        return grpc.unary_unary_rpc_method_handler(handle)


async def _report_serving(_request: bytes, _context: Any) -> AsyncIterator[bytes]:
    """Let the caller take the proxy for ready, so that every call comes here. Without a proxy the connection breaks."""
    yield health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING).SerializeToString()
    await asyncio.Event().wait()


def _passed_on(metadata: Any) -> tuple[tuple[str, str | bytes], ...]:
    """Leave out the metadata that gRPC sets for each connection."""
    return tuple(
        (name, value)
        for name, value in metadata
        if name == "grpc-status-details-bin" or not name.startswith(_PER_CONNECTION)
    )


def _raw_refusal(refusal: grpc.aio.AioRpcError) -> bytes:
    trailers = [value for pair in refusal.trailing_metadata() or () for value in pair]
    words = [refusal.code().name, refusal.details() or "", *trailers]
    return b" ".join(word if isinstance(word, bytes) else word.encode() for word in words)


def _as_text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.hex()
