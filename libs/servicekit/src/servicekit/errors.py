"""Error table: from a domain exception to an error answer, and back at the caller.

Domain exceptions know no status codes. Each edge has one table from exception type to answer, looked up along the
exception's MRO. On the wire the answer is google.rpc.Status with ErrorInfo (reason, domain) and, for bad input,
BadRequest with one violation per broken rule; for overload, RetryInfo.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import grpc
from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import error_details_pb2, status_pb2

from servicekit.load_shedding import RETRY_AFTER_SECONDS, Overloaded
from servicekit.violations import FieldViolation, InvalidRequest

DETAILS_KEY: Final = "grpc-status-details-bin"
INVALID_REQUEST_REASON: Final = "invalid_request"

_MAX_TEXT_CHARACTERS: Final = 200
_MAX_VIOLATION_BYTES: Final = 2048
"""Errors travel as trailing metadata. Peers accept 8 KiB of it and drop a longer answer whole."""


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """Answer for one kind of exception."""

    code: grpc.StatusCode
    reason: str
    """Stable word in lower_snake_case that callers act on."""


ErrorTable = Mapping[type[Exception], ErrorAnswer]
"""Answer by exception type. A subclass without a row of its own takes its nearest ancestor's."""

_COMMON_ROWS: Final[ErrorTable] = {
    InvalidRequest: ErrorAnswer(grpc.StatusCode.INVALID_ARGUMENT, INVALID_REQUEST_REASON),
    # Raised by generated code for an rpc that the servicer leaves out.
    NotImplementedError: ErrorAnswer(grpc.StatusCode.UNIMPLEMENTED, "unimplemented"),
}


def answer_for(failure: Exception, table: ErrorTable) -> ErrorAnswer | None:
    """Return the failure's row of the table, or None for an unexpected exception."""
    rows = (table.get(ancestor) or _COMMON_ROWS.get(ancestor) for ancestor in type(failure).__mro__)
    return next((row for row in rows if row), None)


def to_status(failure: Exception, answer: ErrorAnswer, domain: str) -> status_pb2.Status:
    """Return the wire form of an answer."""
    details: list[message.Message] = [error_details_pb2.ErrorInfo(reason=answer.reason, domain=domain)]
    if isinstance(failure, InvalidRequest):
        details.append(error_details_pb2.BadRequest(field_violations=_that_fit(failure.violations)))
    if isinstance(failure, Overloaded):
        details.append(error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=RETRY_AFTER_SECONDS)))
    return status_pb2.Status(
        code=answer.code.value[0],
        message=_shorten(str(failure)) or answer.reason,
        details=[_pack(detail) for detail in details],
    )


def _that_fit(
    violations: Sequence[FieldViolation],
) -> Iterator[error_details_pb2.BadRequest.FieldViolation]:
    room = _MAX_VIOLATION_BYTES
    for found in violations:
        room -= len(found.field.encode()) + len(found.description.encode())
        if room < 0:
            return
        yield error_details_pb2.BadRequest.FieldViolation(field=found.field, description=found.description)


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_TEXT_CHARACTERS else f"{text[:_MAX_TEXT_CHARACTERS]}..."


def _pack(detail: message.Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed


@dataclass(frozen=True, slots=True)
class ReportedError:
    """Error as a caller reads it off the wire."""

    code: grpc.StatusCode
    reason: str
    """Empty when the answer carries no ErrorInfo: it came from gRPC itself."""
    violations: tuple[FieldViolation, ...] = ()


def read_error(failure: grpc.aio.AioRpcError) -> ReportedError:
    """Read reason and field violations from a failed call."""
    reason, violations = "", []
    for detail in _details(failure):
        info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(bad_request):
            violations = [FieldViolation(found.field, found.description) for found in bad_request.field_violations]
    return ReportedError(failure.code(), reason, tuple(violations))


def _details(failure: grpc.aio.AioRpcError) -> Iterable[any_pb2.Any]:
    for key, value in failure.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            return _parse(value)
    return ()


def _parse(status: bytes) -> Iterable[any_pb2.Any]:
    try:
        return list(status_pb2.Status.FromString(status).details)
    except message.DecodeError:  # written by a proxy between the two services
        return ()
