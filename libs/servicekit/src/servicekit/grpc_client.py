"""Calls to another service: a channel that heals by itself, and calls with a deadline whose errors have names."""

import json
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import grpc

from servicekit.certificates import Certificates
from servicekit.errors import INVALID_REQUEST_REASON, ReportedError, read_error
from servicekit.grpc_defaults import DEFAULT_MAX_MESSAGE_BYTES, KEEPALIVE_MS, REQUEST_ID_KEY
from servicekit.grpc_tls import ReloadingChannel
from servicekit.json_logging import request_id
from servicekit.violations import InvalidRequest

_SERVICE_CONFIG: Final = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{}],
            # Only because every rpc is idempotent may a call be sent again.
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.05s",
                "maxBackoff": "0.5s",
                "backoffMultiplier": 3,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}

_PASSING: Final = frozenset(
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
"""What to raise for each ErrorInfo reason: an exception class that needs no arguments, since the reason says it all."""


class ServiceUnavailable(Exception):
    """The other service did not answer in time or is away. The same call may succeed later."""

    def __init__(self, service: str) -> None:
        super().__init__(f"{service} is unavailable")
        self.service = service


class UnexpectedAnswer(Exception):
    """The other service answered with an error that its contract does not name."""

    def __init__(self, service: str, error: ReportedError) -> None:
        super().__init__(f"{service} answered {error.code.name} {error.reason}".rstrip())
        self.error = error


def open_channel(
    target: str, *, certificates: Certificates | None = None, max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES
) -> grpc.aio.Channel:
    """Open a channel that spreads calls over every address of target and reconnects within about a second.

    target is host:port; a DNS name with several addresses (a headless Service) is balanced round robin. With
    certificates it speaks mutual TLS, the server's certificate must name the host, and the certificates are followed
    while the channel is entered as a context. Without, it speaks plaintext.
    """
    address = target if "://" in target else f"dns:///{target}"
    options = _options(max_message_bytes)
    if certificates is None:
        return grpc.aio.insecure_channel(address, options)
    return ReloadingChannel(lambda credentials: grpc.aio.secure_channel(address, credentials, options), certificates)


def _options(max_message_bytes: int) -> list[tuple[str, str | int]]:
    return [
        ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", 3_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 1_000),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        ("grpc.dns_min_time_between_resolutions_ms", 2_000),
        ("grpc.per_rpc_retry_buffer_size", max_message_bytes),  # else a large request would not be sent again
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
    ]


class RpcClient:
    """Calls one service: every call has a deadline, carries the request id, and fails by name."""

    def __init__(self, service: str, errors: ErrorNames, *, timeout_seconds: float) -> None:
        """Prepare calls to a service. timeout_seconds is a call's deadline, retries included."""
        self._service = service
        self._errors = errors
        self._timeout_seconds = timeout_seconds

    async def call(self, method: grpc.aio.UnaryUnaryMultiCallable[Request, Response], request: Request) -> Response:
        """Call one unary method of a stub and return its answer.

        Raises the exception that the reason names, InvalidRequest for refused fields, ServiceUnavailable for what
        may pass, UnexpectedAnswer for the rest.
        """
        current = request_id.get()
        metadata = ((REQUEST_ID_KEY, current),) if current else ()
        try:
            return await method(request, timeout=self._timeout_seconds, metadata=metadata)
        except grpc.aio.AioRpcError as failure:
            raise self._named(read_error(failure)) from failure

    def _named(self, error: ReportedError) -> Exception:
        if error.reason in self._errors:
            return self._errors[error.reason]()
        if error.reason == INVALID_REQUEST_REASON:
            return InvalidRequest(error.violations)
        if error.code in _PASSING:
            return ServiceUnavailable(self._service)
        return UnexpectedAnswer(self._service, error)
