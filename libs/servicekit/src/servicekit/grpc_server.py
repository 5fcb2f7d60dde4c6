"""Runs a gRPC service: health, reflection in development, errors by table, access log, metrics, orderly stop."""

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc import status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from servicekit.cancellation import cancel_until_ended
from servicekit.certificates import Certificates
from servicekit.errors import DETAILS_KEY, ErrorAnswer, ErrorTable, answer_for, to_status
from servicekit.grpc_defaults import DEFAULT_MAX_MESSAGE_BYTES, REQUEST_ID_KEY
from servicekit.grpc_tls import names_of_caller, server_credentials
from servicekit.health import Readiness, ReadinessCheck
from servicekit.json_logging import accept_request_id, forget_attempt, request_id
from servicekit.metrics import GRPC_HANDLED, GRPC_SECONDS, Probe
from servicekit.tls_files import TlsFiles

_log = logging.getLogger(__name__)
_access_log = logging.getLogger("access")

_OK: Final = ErrorAnswer(grpc.StatusCode.OK, "")
_CANCELLED: Final = ErrorAnswer(grpc.StatusCode.CANCELLED, "cancelled")
_INTERNAL: Final = ErrorAnswer(grpc.StatusCode.INTERNAL, "internal")
_MALFORMED: Final = ErrorAnswer(grpc.StatusCode.INVALID_ARGUMENT, "malformed_message")
_CALLER_NOT_ALLOWED: Final = ErrorAnswer(grpc.StatusCode.PERMISSION_DENIED, "caller_not_allowed")
_ALIVE_SECONDS: Final = 30.0
"""A readiness check is given up after a fraction of this: who has not checked for so long hangs."""
_CANCEL_EVERY_SECONDS: Final = 0.2
_CANCEL_WITHIN_SECONDS: Final = 2.0
_FINISH_MS: Final = 60_000
"""How long calls on a connection that is to be made anew may take; no call's deadline is longer."""
_QUIET_PREFIXES: Final = ("/grpc.health.", "/grpc.reflection.")


class MalformedMessage(Exception):
    """What was sent is no message of the method's type."""

    def __init__(self) -> None:
        super().__init__("the request cannot be read")


class CallerNotAllowed(Exception):
    """The caller's certificate is of our authority, but its name is not among those that may call."""


@dataclass(frozen=True, slots=True)
class MutualTls:
    """Only who shows a certificate of our authorities is served."""

    certificates: Certificates
    client_names: frozenset[str] = frozenset()
    """Names of which the certificate must have one for calls of the service; none means any. Health is for all."""
    connection_seconds: float = 600.0
    """After about so long a client must connect, and show its certificate, anew. No call is lost by it."""

    @classmethod
    def with_files(cls, files: TlsFiles | None, client_names: Iterable[str] = ()) -> "MutualTls | None":
        """Read the files, if there are any. Raises CertificateUnusable."""
        return cls(Certificates("grpc", files), frozenset(client_names)) if files else None


class GrpcServer:
    """One service behind one port. Build it, start it, then wait for the signal to stop."""

    def __init__(
        self,
        *,
        service_name: str,
        listen: str,
        errors: ErrorTable,
        domain: str,
        readiness: Sequence[ReadinessCheck] = (),
        with_reflection: bool = False,
        drain_seconds: float = 10.0,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
        tls: MutualTls | None = None,
    ) -> None:
        """Prepare a server.

        service_name is the protobuf service's full name, listen is host:port (port 0 takes a free one), domain names
        the service in ErrorInfo. Without tls it speaks plaintext to whoever asks.
        """
        self._service_name = service_name
        self._listen = listen
        self._tls = tls
        self._drain_seconds = drain_seconds
        self._readiness = Readiness([*readiness, *([_followed(tls.certificates)] if tls else ())])
        self._health = health.aio.HealthServicer()
        self._watcher: asyncio.Task[None] | None = None
        self.port = 0
        self.grpc = grpc.aio.server(
            interceptors=[_CallGuard(errors, domain, tls.client_names if tls else frozenset())],
            options=[
                ("grpc.so_reuseport", 0),  # a second server on the port is a mistake, not a way to share load
                ("grpc.max_receive_message_length", max_message_bytes),
                ("grpc.max_send_message_length", max_message_bytes),
                # No ping is one too many: while a client reads a long answer slowly, it measures its bandwidth with
                # them, and a server that counts them closes the connection, with every call on it.
                ("grpc.http2.max_ping_strikes", 0),
                *(_renewal(tls) if tls else ()),
            ],
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.grpc)
        if with_reflection:
            reflection.enable_server_reflection(
                [service_name, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME],
                self.grpc,
            )

    async def start(self) -> int:
        """Listen and begin to report readiness; returns the port."""
        self.port = self._open_port()
        await self._tell(ready=False)  # a health servicer says serving before anyone asked
        await self.grpc.start()
        await self._tell(ready=await self._readiness.check())
        self._watcher = asyncio.create_task(self._readiness.watch(lambda ready: self._tell(ready=ready)))
        _log.info("listening", extra={"port": self.port})
        return self.port

    @property
    def probes(self) -> dict[str, Probe]:
        """What HTTP may be told of health, for who has no certificate to ask over gRPC with."""
        return {"/livez": self._is_alive, "/readyz": lambda: self._is_alive() and self._readiness.reason is None}

    async def serve(self) -> None:
        """Start, run until SIGTERM or SIGINT, then stop in order."""
        stopping = stop_signal()
        await self.start()
        await stopping.wait()
        await self.stop()

    async def stop(self) -> None:
        """Report not-serving, let calls in flight finish for up to drain_seconds, then close."""
        _log.info("draining", extra={"seconds": self._drain_seconds})
        await self._health.enter_graceful_shutdown()  # from here on what the watcher tells is ignored
        await self._end_watching()
        await self.grpc.stop(self._drain_seconds)
        _log.info("stopped")

    def _open_port(self) -> int:
        if self._tls is None:
            return self.grpc.add_insecure_port(self._listen)
        return self.grpc.add_secure_port(self._listen, server_credentials(self._tls.certificates))

    def _is_alive(self) -> bool:
        return self._readiness.seconds_since_check < _ALIVE_SECONDS

    async def _end_watching(self) -> None:
        if self._watcher is None:
            return
        ended = await cancel_until_ended(
            self._watcher, every_seconds=_CANCEL_EVERY_SECONDS, within_seconds=_CANCEL_WITHIN_SECONDS
        )
        if not ended:
            _log.error("a readiness check does not end")

    async def _tell(self, *, ready: bool) -> None:
        status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", self._service_name):
            await self._health.set(name, status)


def _followed(certificates: Certificates) -> ReadinessCheck:
    """Look at the files at each check of readiness: a server that nobody connects to would keep an old certificate."""

    async def look() -> None:
        certificates.current()

    return look


def stop_signal() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    return stopping


class _CallGuard(grpc.aio.ServerInterceptor):
    """Stands around every call: request id, access log, metrics, and exceptions turned into answers."""

    def __init__(self, errors: ErrorTable, domain: str, client_names: frozenset[str]) -> None:
        self._errors = {**errors, CallerNotAllowed: _CALLER_NOT_ALLOWED, MalformedMessage: _MALFORMED}
        self._domain = domain
        self._client_names = client_names

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Wrap the handler of a unary call; health and reflection stay as they are."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or handler.unary_unary is None or method.startswith(_QUIET_PREFIXES):
            return handler
        return grpc.unary_unary_rpc_method_handler(
            # Bytes that are no message are our caller's fault; gRPC itself would answer UNKNOWN and log a trace.
            self._guarded(method, handler.unary_unary, handler.request_deserializer),
            response_serializer=handler.response_serializer,
        )

    def _guarded(self, method: str, handle: Any, read: Any) -> Any:
        async def guarded(sent: Any, context: "grpc.aio.ServicerContext[Any, Any]") -> Any:
            accept_request_id(_offered_request_id(context))
            forget_attempt()
            began = time.perf_counter()
            answer = _OK
            try:
                self._require_known_caller(context)
                return await handle(_read(sent, read), context)
            except Exception as failure:  # noqa: BLE001 — the one place where the unknown becomes INTERNAL
                answer = answer_for(failure, self._errors) or _INTERNAL
                await self._abort(context, failure, answer)
                return None  # gRPC knows that the call is over
            except asyncio.CancelledError:
                answer = _CANCELLED
                raise
            finally:
                _observe(method, answer, time.perf_counter() - began)

        return guarded

    def _require_known_caller(self, context: "grpc.aio.ServicerContext[Any, Any]") -> None:
        if self._client_names and self._client_names.isdisjoint(names_of_caller(context)):
            raise CallerNotAllowed

    async def _abort(
        self, context: "grpc.aio.ServicerContext[Any, Any]", failure: Exception, answer: ErrorAnswer
    ) -> None:
        told: Exception = failure
        if answer is _INTERNAL:
            _log.error("unexpected failure", exc_info=failure)
            told = Exception("internal error")
        status = to_status(told, answer, self._domain)
        try:
            await context.abort(answer.code, status.message, _trailer(status))
        except grpc.aio.AbortError as raised:
            # gRPC keeps it in the context, and the frames that it came through keep the context and the request:
            # they would stay in memory until Python next looks for such rings.
            raised.__traceback__ = raised.__context__ = None


def _renewal(tls: MutualTls) -> tuple[tuple[str, int], ...]:
    """Return the options by which no connection outlives the certificate that it was opened with for long."""
    return (
        ("grpc.max_connection_age_ms", round(tls.connection_seconds * 1000)),
        ("grpc.max_connection_age_grace_ms", _FINISH_MS),
    )


def _read(sent: bytes, read: Callable[[bytes], Any]) -> Any:
    try:
        return read(sent)
    except DecodeError:
        raise MalformedMessage from None


def _offered_request_id(context: "grpc.aio.ServicerContext[Any, Any]") -> str | None:
    for key, value in context.invocation_metadata() or ():
        if key == REQUEST_ID_KEY and isinstance(value, str):
            return value
    return None


def _trailer(status: status_pb2.Status) -> tuple[tuple[str, str | bytes], ...]:
    return (DETAILS_KEY, status.SerializeToString()), (REQUEST_ID_KEY, request_id.get())


def _observe(method: str, answer: ErrorAnswer, seconds: float) -> None:
    GRPC_HANDLED.labels(method, answer.code.name).inc()
    GRPC_SECONDS.labels(method).observe(seconds)
    outcome = {"code": answer.code.name, "ms": round(seconds * 1000, 2)}
    _access_log.info(method, extra=outcome | ({"reason": answer.reason} if answer.reason else {}))
