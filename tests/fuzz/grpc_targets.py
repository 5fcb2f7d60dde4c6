"""Every rpc of both services: messages with hostile values, and bytes that are no message."""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2
from hypothesis import strategies as st

from checkout.orders.v1 import orders_pb2
from checkout.session.v1 import checkout_session_pb2

from .fuzzed_system import Accounted, FuzzedSystem
from .json_inputs import weighted
from .message_inputs import mutated_bytes, mutated_message, random_message, valid_message
from .targets import CALL_SECONDS, Target, retry_unavailable

SESSION_SERVICE: Final = checkout_session_pb2.DESCRIPTOR.services_by_name["CheckoutSessionService"]
ORDERS_SERVICE: Final = orders_pb2.DESCRIPTOR.services_by_name["OrdersService"]
_DETAILS_KEY: Final = "grpc-status-details-bin"
_FIXED: Final = uuid.UUID(int=2, version=4)
_METADATA_KEYS: Final = ("x-request-id", "x-request-id", "x-request-id-bin", "authorization", "traceparent", "x-any")
_UNKNOWN_FIELDS: Final = (b"", b"", b"", b"\xfa\xff\x03\x03abc", b"\x98\x3f\x01" * 50)
_EXPECTED: Final = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}

Metadata = Mapping[str, str | bytes]


@dataclass(frozen=True)
class RpcCall:
    """One call."""

    method: MethodDescriptor = field(repr=False)
    name: str
    data: bytes
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True)
class RpcResponse:
    """The response, or the status of a failed call."""

    code: grpc.StatusCode
    data: bytes = b""
    details: bytes = b""
    """A google.rpc.Status, if the service sent one."""


def targets(system: FuzzedSystem) -> Iterator[Target]:
    """Yield messages and bytes for each service."""
    for name, service, channel, short_inputs in (
        ("checkout-session", SESSION_SERVICE, system.session_channel, 400),
        ("orders", ORDERS_SERVICE, system.orders_channel, 200),
    ):
        edge = _Edge(channel, system.accounted)
        yield Target(f"grpc {name} messages", _messages(service), edge.send, short_inputs)
        yield Target(f"grpc {name} bytes", _bytes(service), edge.send, short_inputs=100)


def call_method(channel: grpc.Channel, call: RpcCall) -> RpcResponse:
    """Call a method. Raises AssertionError for a call that hangs."""
    invoke: Any = channel.unary_unary(f"/{call.method.containing_service.full_name}/{call.method.name}")
    try:
        response = invoke(call.data, timeout=CALL_SECONDS, metadata=tuple(call.metadata.items()))
    except grpc.RpcError as error:
        failure: Any = error
        trailers = dict(failure.trailing_metadata() or ())
        assert failure.code() is not grpc.StatusCode.DEADLINE_EXCEEDED, f"no response within {CALL_SECONDS:g} s"
        return RpcResponse(failure.code(), details=trailers.get(_DETAILS_KEY, b""))
    return RpcResponse(grpc.StatusCode.OK, response)


class _Edge:
    """One service."""

    def __init__(self, channel: grpc.Channel, accounted: Accounted) -> None:
        self._channel = channel
        self._accounted = accounted

    def send(self, call: RpcCall) -> None:
        response = retry_unavailable(
            lambda: call_method(self._channel, call), lambda got: got.code is grpc.StatusCode.UNAVAILABLE
        )
        assert response.code in _EXPECTED, f"{call.name} answered {response.code.name}"
        if response.code is grpc.StatusCode.OK:
            self._account(call, response)
        elif response.code is not grpc.StatusCode.RESOURCE_EXHAUSTED:  # gRPC's own, for a message that is too large
            assert _reason(response.details), f"{call.name} answered {response.code.name} without a reason"

    def _account(self, call: RpcCall, response: RpcResponse) -> None:
        request = _parse(call.method.input_type, call.data)
        _parse(call.method.output_type, response.data)
        if call.name == "SaveAttempt":
            self._accounted.attempts.add(request.attempt_id)
        elif call.name in {"CloseAttempt", "DeleteAttempt"}:
            self._accounted.tombstones.add(request.attempt_id)
        elif call.name in {"RecordPurchase", "QuarantinePayment"}:
            self._accounted.payments.add(request.payment.intent.id)
            self._accounted.attempts.add(request.payment.attempt_id)


def _messages(service: ServiceDescriptor) -> st.SearchStrategy[RpcCall]:
    def calls(method: MethodDescriptor) -> st.SearchStrategy[RpcCall]:
        numbers = st.just(_FIXED) | st.uuids(version=4)
        near = numbers.map(lambda number: valid_message(method.input_type, number)).flatmap(mutated_message)
        messages = weighted({5: [near], 1: [random_message(method.input_type)]})
        data = st.builds(
            lambda message, unknown: message.SerializeToString() + unknown, messages, st.sampled_from(_UNKNOWN_FIELDS)
        )
        return st.builds(RpcCall, st.just(method), st.just(method.name), data, _metadata())

    return _methods(service).flatmap(calls)


def _bytes(service: ServiceDescriptor) -> st.SearchStrategy[RpcCall]:
    def calls(method: MethodDescriptor) -> st.SearchStrategy[RpcCall]:
        near = mutated_bytes(valid_message(method.input_type, _FIXED).SerializeToString())
        data = weighted({3: [near], 1: [st.binary(max_size=300)]})
        return st.builds(RpcCall, st.just(method), st.just(method.name), data)

    return _methods(service).flatmap(calls)


def _methods(service: ServiceDescriptor) -> st.SearchStrategy[MethodDescriptor]:
    """Choose methods with large requests more often."""
    weights = {method: 1 + valid_message(method.input_type, _FIXED).ByteSize() // 60 for method in service.methods}
    return st.sampled_from([method for method, weight in weights.items() for _ in range(weight)])


def _metadata() -> st.SearchStrategy[Metadata]:
    def entry(key: str) -> st.SearchStrategy[Metadata]:
        # gRPC's client sends only printable ASCII in a text value.
        printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=100).map(str.strip)
        values = st.binary(max_size=100) if key.endswith("-bin") else printable | st.just("x" * 3000)
        return values.map(lambda value: {key: value})

    none: st.SearchStrategy[Metadata] = st.just({})
    return none | st.sampled_from(_METADATA_KEYS).flatmap(entry)


def _parse(descriptor: Any, data: bytes) -> Any:
    try:
        return GetMessageClass(descriptor).FromString(data)
    except DecodeError:
        raise AssertionError(f"OK, but not a {descriptor.full_name}") from None


def _reason(details: bytes) -> str:
    info = error_details_pb2.ErrorInfo()
    status = status_pb2.Status.FromString(details)
    return next((info.reason for detail in status.details if detail.Unpack(info)), "")
