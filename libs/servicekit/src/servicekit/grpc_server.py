"""gRPC server: health, reflection in development, errors by table, access log, metrics, graceful stop."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc import status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from servicekit.cancellation import cancel_until_ended
from servicekit.certificates import Certificates, TlsFiles
from servicekit.errors import DETAILS_KEY, ErrorAnswer, ErrorTable, answer_for, to_status
from servicekit.grpc_defaults import DEFAULT_MAX_MESSAGE_BYTES, REQUEST_ID_KEY
from servicekit.grpc_tls import caller_names, server_credentials
from servicekit.health import Readiness, ReadinessCheck
from servicekit.json_logging import accept_request_id, log_access, request_id, unbind_attempt
from servicekit.load_shedding import DEFAULT_MAX_IN_FLIGHT, OVERLOADED_REASON, Criticality, LoadShedder, Overloaded
from servicekit.metrics import GRPC_IN_FLIGHT, GRPC_REQUEST_SECONDS, GRPC_REQUESTS, Probe
from servicekit.stopping import stop_signal

_log = logging.getLogger(__name__)

_OK: Final = ErrorAnswer(grpc.StatusCode.OK, "")
_CANCELLED: Final = ErrorAnswer(grpc.StatusCode.CANCELLED, "cancelled")
_INTERNAL: Final = ErrorAnswer(grpc.StatusCode.INTERNAL, "internal")
_MALFORMED: Final = ErrorAnswer(grpc.StatusCode.INVALID_ARGUMENT, "malformed_message")
_CALLER_NOT_ALLOWED: Final = ErrorAnswer(grpc.StatusCode.PERMISSION_DENIED, "caller_not_allowed")
_OVERLOADED: Final = ErrorAnswer(grpc.StatusCode.RESOURCE_EXHAUSTED, OVERLOADED_REASON)
_TOO_LATE: Final = ErrorAnswer(grpc.StatusCode.DEADLINE_EXCEEDED, "too_late")
_LEAST_SECONDS: Final = 0.1
"""Time until its deadline below which a call is not begun: it waited too long here, or an earlier try took its time."""
_CANCEL_EVERY_SECONDS: Final = 0.2
_CANCEL_WITHIN_SECONDS: Final = 2.0
_CONNECTION_SECONDS: Final = 120.0
"""Age, varied by a tenth, at which a connection is closed. No call is lost; the client resolves the name anew, finds
new replicas, and shows its present certificate."""
_GRACE_MS: Final = 60_000
"""Time for the calls in flight on a connection that is closed for its age; no call has a longer deadline."""
_QUIET_PREFIXES: Final = ("/grpc.health.", "/grpc.reflection.")


class MalformedMessage(Exception):
    """The request is not a message of the method's type."""

    def __init__(self) -> None:
        super().__init__("the request cannot be read")


class _TooLate(Exception):
    """The call's deadline is so near that it was not begun."""


class CallerNotAllowed(Exception):
    """Our authority issued the caller's certificate, but none of its names may call."""


@dataclass(frozen=True, slots=True)
class MutualTls:
    """Mutual TLS: only callers with a certificate of our authorities are served."""

    certificates: Certificates
    client_names: frozenset[str] = frozenset()
    """A caller's certificate must have one of these names; empty allows any. Health is open to all of them."""

    @classmethod
    def with_files(cls, files: TlsFiles | None, client_names: Iterable[str] = ()) -> "MutualTls | None":
        """Return mutual TLS with these files, or None without files. Raises CertificateUnusable."""
        return cls(Certificates("grpc", files), frozenset(client_names)) if files else None


class GrpcServer:
    """One service on one port. Build it, start it, then wait for the signal to stop.

    service_name is the protobuf service's full name, listen is host:port (port 0 takes a free one), domain names the
    service in ErrorInfo. Without tls it serves plaintext to every caller. criticality names the rpcs that are refused
    before the others, which are Criticality.HIGH, when nearly max_in_flight calls are in flight.
    """

    def __init__(
        self,
        *,
        service_name: str,
        listen: str,
        errors: ErrorTable,
        domain: str,
        max_in_flight: int = DEFAULT_MAX_IN_FLIGHT,
        criticality: Mapping[str, Criticality] | None = None,
        readiness: Sequence[ReadinessCheck] = (),
        with_reflection: bool = False,
        lame_duck_seconds: float = 0.0,
        drain_seconds: float = 10.0,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
        connection_seconds: float = _CONNECTION_SECONDS,
        tls: MutualTls | None = None,
    ) -> None:
        self._service_name = service_name
        self._listen = listen
        self._tls = tls
        self._lame_duck_seconds = lame_duck_seconds
        self._drain_seconds = drain_seconds
        self._readiness = Readiness([*readiness, *([_refresh(tls.certificates)] if tls else ())])
        shedder = LoadShedder(max_in_flight)
        GRPC_IN_FLIGHT.set_function(lambda: shedder.in_flight)
        self._health = health.aio.HealthServicer()
        self._watcher: asyncio.Task[None] | None = None
        self.port = 0
        self.grpc = grpc.aio.server(
            interceptors=[
                _RequestInterceptor(
                    errors,
                    domain,
                    tls.client_names if tls else frozenset(),
                    shedder,
                    criticality or {},
                )
            ],
            options=[
                ("grpc.so_reuseport", 0),  # a second server on the port is a mistake
                ("grpc.max_receive_message_length", max_message_bytes),
                ("grpc.max_send_message_length", max_message_bytes),
                # A client that reads a long answer slowly pings often, to measure its bandwidth. A server that counts
                # the pings would close the connection with every call on it.
                ("grpc.http2.max_ping_strikes", 0),
                ("grpc.max_connection_age_ms", round(connection_seconds * 1000)),
                ("grpc.max_connection_age_grace_ms", _GRACE_MS),
            ],
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.grpc)
        if with_reflection:
            reflection.enable_server_reflection(
                [service_name, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME],
                self.grpc,
            )

    async def start(self) -> int:
        """Listen and begin to report readiness; return the port."""
        self.port = self._open_port()
        await self._report(ready=False)  # a health servicer starts as serving
        await self.grpc.start()
        await self._report(ready=await self._readiness.check())
        self._watcher = asyncio.create_task(self._readiness.watch(lambda ready: self._report(ready=ready)))
        _log.info("listening", extra={"port": self.port})
        return self.port

    @property
    def probes(self) -> dict[str, Probe]:
        """Health probes over HTTP, for orchestrators that have no client certificate."""
        return self._readiness.probes

    async def serve(self) -> None:
        """Start, run until SIGTERM or SIGINT, then stop gracefully."""
        stopping = stop_signal()
        await self.start()
        await stopping.wait()
        await self.stop()

    async def stop(self) -> None:
        """Report not-serving, serve for lame_duck_seconds, let calls in flight finish for up to drain_seconds, close.

        Callers and balancers take notice of the report meanwhile, and turn to other replicas.
        """
        self._readiness.stop()
        await self._health.enter_graceful_shutdown()  # ignores later reports of the watcher
        _log.info("stopping", extra={"lame_duck_seconds": self._lame_duck_seconds})
        await asyncio.sleep(self._lame_duck_seconds)
        _log.info("draining", extra={"seconds": self._drain_seconds})
        await self.grpc.stop(self._drain_seconds)
        await self._stop_watcher()  # last: a process whose readiness is not watched counts as hung
        _log.info("stopped")

    def _open_port(self) -> int:
        if self._tls is None:
            return self.grpc.add_insecure_port(self._listen)
        return self.grpc.add_secure_port(self._listen, server_credentials(self._tls.certificates))

    async def _stop_watcher(self) -> None:
        if self._watcher is None:
            return
        ended = await cancel_until_ended(
            self._watcher, every_seconds=_CANCEL_EVERY_SECONDS, within_seconds=_CANCEL_WITHIN_SECONDS
        )
        if not ended:
            _log.error("readiness check ignores its cancellation")

    async def _report(self, *, ready: bool) -> None:
        status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", self._service_name):
            await self._health.set(name, status)


def _refresh(certificates: Certificates) -> ReadinessCheck:
    """Return a check that reads the files: an idle server would otherwise keep and report an old certificate."""

    async def check() -> None:
        certificates.current()

    return check


class _RequestInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every request: request id, access log, metrics, and the answer to an exception."""

    def __init__(
        self,
        errors: ErrorTable,
        domain: str,
        client_names: frozenset[str],
        shedder: LoadShedder,
        criticality: Mapping[str, Criticality],
    ) -> None:
        self._errors = {
            **errors,
            CallerNotAllowed: _CALLER_NOT_ALLOWED,
            MalformedMessage: _MALFORMED,
            Overloaded: _OVERLOADED,
            _TooLate: _TOO_LATE,
        }
        self._domain = domain
        self._client_names = client_names
        self._shedder = shedder
        self._criticality = criticality
        self._overloaded = to_status(Overloaded(), _OVERLOADED, domain)
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Wrap the handler of a unary method once, except those of health and reflection."""
        method = handler_call_details.method
        if (wrapped := self._wrapped.get(method)) is not None:
            return wrapped
        handler = await continuation(handler_call_details)
        if handler is None or handler.unary_unary is None or method.startswith(_QUIET_PREFIXES):
            return handler
        self._wrapped[method] = grpc.unary_unary_rpc_method_handler(
            # Parsed in here: for bytes that are no message gRPC itself would answer UNKNOWN and log a trace.
            self._wrap(method, handler.unary_unary, handler.request_deserializer),
            response_serializer=handler.response_serializer,
        )
        return self._wrapped[method]

    def _wrap(self, method: str, handle: Any, parse: Any) -> Any:
        criticality = self._criticality.get(method.rpartition("/")[2], Criticality.HIGH)
        observe = _observer(method)

        async def wrapped(request: Any, context: "grpc.aio.ServicerContext[Any, Any]") -> Any:
            accept_request_id(_caller_request_id(context))
            unbind_attempt()
            started = time.perf_counter()
            answer = _OK
            try:
                self._require_allowed_caller(context)
                _require_time(context)
                with self._shedder.acquire(criticality):
                    return await handle(_parse(request, parse), context)
            except Exception as failure:  # noqa: BLE001 — the one place where the unknown becomes INTERNAL
                answer = answer_for(failure, self._errors) or _INTERNAL
                await self._abort(context, failure, answer)
                return None  # gRPC knows that the call is over
            except asyncio.CancelledError:
                answer = _CANCELLED
                raise
            finally:
                observe(answer, time.perf_counter() - started)

        return wrapped

    def _require_allowed_caller(self, context: "grpc.aio.ServicerContext[Any, Any]") -> None:
        if self._client_names and self._client_names.isdisjoint(caller_names(context)):
            raise CallerNotAllowed

    async def _abort(
        self, context: "grpc.aio.ServicerContext[Any, Any]", failure: Exception, answer: ErrorAnswer
    ) -> None:
        if answer is _INTERNAL:
            _log.error("unexpected failure", exc_info=failure)
            failure = Exception("internal error")
        # Refusals because of overload are many, and must be cheap (ADR 51).
        status = self._overloaded if answer is _OVERLOADED else to_status(failure, answer, self._domain)
        try:
            await context.abort(answer.code, status.message, _trailer(status))
        except grpc.aio.AbortError as raised:
            # gRPC keeps the exception in the context, and its frames keep the context and the request: a cycle that
            # would hold them in memory until the next garbage collection.
            raised.__traceback__ = raised.__context__ = None


def _require_time(context: "grpc.aio.ServicerContext[Any, Any]") -> None:
    remaining: Any = context.time_remaining()  # None, not infinity, if the caller set no deadline
    if remaining is not None and remaining < _LEAST_SECONDS:
        raise _TooLate("too little time was left to begin the call")


def _parse(request: bytes, parse: Callable[[bytes], Any]) -> Any:
    try:
        return parse(request)
    except DecodeError:
        raise MalformedMessage from None


def _caller_request_id(context: "grpc.aio.ServicerContext[Any, Any]") -> str | None:
    for key, value in context.invocation_metadata() or ():
        if key == REQUEST_ID_KEY and isinstance(value, str):
            return value
    return None


def _trailer(status: status_pb2.Status) -> tuple[tuple[str, str | bytes], ...]:
    return (DETAILS_KEY, status.SerializeToString()), (REQUEST_ID_KEY, request_id.get())


def _observer(method: str) -> Callable[[ErrorAnswer, float], None]:
    """Return a function that counts and logs a call of this method. It looks its metrics up once."""
    duration = GRPC_REQUEST_SECONDS.labels(method)
    counter = cache(lambda code: GRPC_REQUESTS.labels(method, code.name))

    def observe(answer: ErrorAnswer, seconds: float) -> None:
        counter(answer.code).inc()
        duration.observe(seconds)
        outcome = {"code": answer.code.name, "ms": round(seconds * 1000, 2)}
        log_access(method, outcome | ({"reason": answer.reason} if answer.reason else {}))

    return observe
