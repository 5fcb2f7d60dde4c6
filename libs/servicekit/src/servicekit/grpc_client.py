"""Calls to another service: a channel that reconnects by itself, and calls with a deadline and named errors."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import grpc

from servicekit.certificates import Certificates
from servicekit.errors import INVALID_REQUEST_REASON, ReportedError, read_error
from servicekit.grpc_defaults import DEFAULT_MAX_MESSAGE_BYTES, REQUEST_ID_KEY
from servicekit.grpc_tls import ReloadingChannel
from servicekit.json_logging import request_id
from servicekit.load_shedding import OVERLOADED_REASON
from servicekit.unavailable import ServiceOverloaded, ServiceUnavailable
from servicekit.violations import InvalidRequest

_RETRY_POLICY: Final = {
    # A call may be sent again only because every rpc is idempotent. One that was refused because of overload is not:
    # RESOURCE_EXHAUSTED is for the caller's caller to wait for.
    "maxAttempts": 4,
    "initialBackoff": "0.05s",
    "maxBackoff": "0.5s",
    "backoffMultiplier": 3,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
_RETRY_THROTTLING: Final = {"maxTokens": 1000, "tokenRatio": 0.5}
"""A failure costs a token, a success returns half of one, and below half of them nothing is sent again: a service that
is overloaded does not get each call four times."""
_PING_MS: Final = 1_000
"""Idle time after which a connection is pinged, and time for its answer: a frozen replica is left in twice as long."""

_TRANSIENT: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
    }
)

Request = TypeVar("Request")
Response = TypeVar("Response")

ErrorNames = Mapping[str, Callable[[], Exception]]
"""Exception to raise for each ErrorInfo reason: a class that takes no arguments."""


class UnexpectedAnswer(Exception):
    """The other service answered with an error that its contract does not name."""

    def __init__(self, service: str, error: ReportedError) -> None:
        super().__init__(f"{service} answered {error.code.name} {error.reason}".rstrip())
        self.error = error


def open_channel(
    target: str,
    *,
    certificates: Certificates | None = None,
    try_seconds: float | None = None,
    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
) -> grpc.aio.Channel:
    """Open a channel that balances calls over every address of target and reconnects within about a second.

    target is host:port; a DNS name with several addresses (a headless Service) is balanced round robin over those that
    report to serve and answer pings. A try of a call that takes longer than try_seconds is given up, and the call is
    sent again. With certificates it speaks mutual TLS, the server's certificate must name the host, and renewed
    certificates are used while the channel is entered as a context. Without certificates it speaks plaintext.
    """
    address = target if "://" in target else f"dns:///{target}"
    options = _options(max_message_bytes, try_seconds)
    if certificates is None:
        return grpc.aio.insecure_channel(address, options)
    return ReloadingChannel(lambda credentials: grpc.aio.secure_channel(address, credentials, options), certificates)


def _options(max_message_bytes: int, try_seconds: float | None) -> list[tuple[str, str | int]]:
    return [
        ("grpc.service_config", json.dumps(_service_config(try_seconds))),
        ("grpc.experimental.enable_hedging", 1),  # gRPC reads perAttemptRecvTimeout only with this
        ("grpc.keepalive_time_ms", _PING_MS),
        ("grpc.keepalive_timeout_ms", _PING_MS),
        ("grpc.http2.ping_timeout_ms", _PING_MS),  # a keepalive ping waits behind gRPC's own, which has 60 s
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 1_000),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        ("grpc.dns_min_time_between_resolutions_ms", 2_000),
        ("grpc.per_rpc_retry_buffer_size", max_message_bytes),  # a larger request is not retried
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
    ]


def _service_config(try_seconds: float | None) -> Mapping[str, Any]:
    per_try = {} if try_seconds is None else {"perAttemptRecvTimeout": f"{try_seconds:f}s"}
    return {
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": ""},
        "retryThrottling": _RETRY_THROTTLING,
        "methodConfig": [{"name": [{}], "retryPolicy": _RETRY_POLICY | per_try}],
    }


class RpcClient:
    """Client of one service: every call has a deadline, carries the request id, and fails with a named exception.

    timeout_seconds is a call's deadline, retries included.
    """

    def __init__(self, service: str, errors: ErrorNames, *, timeout_seconds: float) -> None:
        self._service = service
        self._errors = errors
        self._timeout_seconds = timeout_seconds

    async def call(self, method: grpc.aio.UnaryUnaryMultiCallable[Request, Response], request: Request) -> Response:
        """Call one unary method of a stub and return its answer.

        Raises the exception that the reason names, InvalidRequest for refused fields, ServiceOverloaded,
        ServiceUnavailable for another transient failure, UnexpectedAnswer for the rest.
        """
        current = request_id.get()
        metadata = ((REQUEST_ID_KEY, current),) if current else ()
        try:
            return await method(request, timeout=self._timeout_seconds, metadata=metadata)
        except grpc.aio.AioRpcError as failure:
            raise self._exception_for(read_error(failure)) from failure

    def _exception_for(self, error: ReportedError) -> Exception:
        if error.reason in self._errors:
            return self._errors[error.reason]()
        if error.reason == INVALID_REQUEST_REASON:
            return InvalidRequest(error.violations)
        if error.reason == OVERLOADED_REASON:
            return ServiceOverloaded(self._service)
        if error.code in _TRANSIENT:
            return ServiceUnavailable(self._service)
        return UnexpectedAnswer(self._service, error)
