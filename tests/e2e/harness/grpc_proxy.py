"""A proxy for any unary gRPC method, outside the services, at which calls can be held and answers lost."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import grpc

from devstack.ports import LOOPBACK

from .checkpoint import AnswerLost, Call, CallFailed, Checkpoint

_MOST_BYTES = 64 * 1024 * 1024
_OPTIONS = (("grpc.max_receive_message_length", _MOST_BYTES), ("grpc.max_send_message_length", _MOST_BYTES))
_SERVER_OPTIONS = (
    *_OPTIONS,
    ("grpc.so_reuseport", 0),
    # As patient with the gateway's keepalive as the real services are.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
)
# Only the caller may repeat a call; and the other side may be gone for a while and come back.
_CHANNEL_OPTIONS = (
    *_OPTIONS,
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 200),
)
_SET_ANEW = ("grpc-", ":", "user-agent", "content-type", "te")

Metadata = Sequence[tuple[str, str | bytes]]


class GrpcProxy:
    """Forwards every unary call to a target: bytes, metadata, deadline, and the status with its details."""

    def __init__(self, target: str, *, host: str = LOOPBACK) -> None:
        """Forward to target, host:port. Host is the address of this machine to listen on."""
        self.checkpoint = Checkpoint()
        self.refusals: list[bytes] = []
        """Every refusal as it came over the wire: the status, its message, and the values of its trailers."""
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

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let held calls go and stop listening."""
        self.checkpoint.disarm()
        await self._server.stop(grace=1.0)
        if self._channel is not None:
            await self._channel.close()

    async def cut(self) -> None:
        """Break every connection, with whatever is under way on it, and listen again at the same address."""
        await self._server.stop(grace=None)
        self._server = grpc.aio.server(options=_SERVER_OPTIONS)
        await self._listen(self.address)

    async def _listen(self, address: str) -> None:
        self._server.add_generic_rpc_handlers((_EveryMethod(self),))
        self.address = f"{self._host}:{self._server.add_insecure_port(address)}"
        await self._server.start()

    async def forward(self, method: str, request: bytes, context: "grpc.aio.ServicerContext[Any, Any]") -> bytes:
        """Carry one call to the target and its answer back."""
        metadata = _passed_on(context.invocation_metadata() or ())
        call = Call(method, {name: _as_text(value) for name, value in metadata}, request)
        try:
            return await self.checkpoint.pass_by(call, lambda: self._forwarded(method, request, metadata, context))
        except AnswerLost:
            # What a caller's own library says when its connection breaks.
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the connection broke")
        except CallFailed:
            await context.abort(grpc.StatusCode.INTERNAL, "something went wrong here")
        except grpc.aio.AioRpcError as refusal:
            self.refusals.append(_as_it_came(refusal))
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
    """Answers to every method name. Without serializers, messages stay bytes."""

    def __init__(self, proxy: GrpcProxy) -> None:
        self._proxy = proxy

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Return the handler of a method."""
        method = handler_call_details.method

        async def handle(request: bytes, context: "grpc.aio.ServicerContext[Any, Any]") -> bytes:
            return await self._proxy.forward(method, request, context)

        return grpc.unary_unary_rpc_method_handler(handle)


def _passed_on(metadata: Any) -> tuple[tuple[str, str | bytes], ...]:
    """Leave out what gRPC itself sets on every connection; grpc-status-details-bin is not of that kind."""
    return tuple(
        (name, value) for name, value in metadata if name == "grpc-status-details-bin" or not name.startswith(_SET_ANEW)
    )


def _as_it_came(refusal: grpc.aio.AioRpcError) -> bytes:
    trailers = [value for pair in refusal.trailing_metadata() or () for value in pair]
    words = [refusal.code().name, refusal.details() or "", *trailers]
    return b" ".join(word if isinstance(word, bytes) else word.encode() for word in words)


def _as_text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.hex()
