"""The error table: how a domain exception becomes an answer, and how a caller reads that answer back.

Domain exceptions know no status codes. Each edge has one table from exception type to answer, looked up along the
exception's MRO. On the wire the answer is google.rpc.Status with ErrorInfo (reason, domain) and, for bad input,
BadRequest with one violation per field.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import grpc
from google.protobuf import any_pb2, message
from google.rpc import error_details_pb2, status_pb2

from servicekit.violations import FieldViolation, InvalidRequest

DETAILS_KEY = "grpc-status-details-bin"
INVALID_REQUEST_REASON = "invalid_request"


@dataclass(frozen=True)
class ErrorAnswer:
    """What a caller is told for one kind of exception."""

    code: grpc.StatusCode
    reason: str
    """Stable lower_snake_case word that callers act on."""


ErrorTable = Mapping[type[Exception], ErrorAnswer]
"""Answer by exception type. A subclass without a row of its own takes its nearest ancestor's."""


def answer_for(failure: Exception, table: ErrorTable) -> ErrorAnswer | None:
    """Return the failure's row of the table, or None for an exception that nobody expected."""
    for ancestor in type(failure).__mro__:
        if ancestor in table:
            return table[ancestor]
    if isinstance(failure, InvalidRequest):
        return ErrorAnswer(grpc.StatusCode.INVALID_ARGUMENT, INVALID_REQUEST_REASON)
    return None


def to_status(failure: Exception, answer: ErrorAnswer, domain: str) -> status_pb2.Status:
    """Return the wire form of an answer."""
    details: list[message.Message] = [error_details_pb2.ErrorInfo(reason=answer.reason, domain=domain)]
    if isinstance(failure, InvalidRequest):
        details.append(
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(field=found.field, description=found.description)
                    for found in failure.violations
                ]
            )
        )
    return status_pb2.Status(
        code=answer.code.value[0],
        message=str(failure) or answer.reason,
        details=[_pack(detail) for detail in details],
    )


def _pack(detail: message.Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed


@dataclass(frozen=True)
class ReportedError:
    """An error as a caller reads it off the wire."""

    code: grpc.StatusCode
    reason: str
    """Empty when the answer carried no ErrorInfo: it came from gRPC itself."""
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
            return list(status_pb2.Status.FromString(value).details)
    return ()
