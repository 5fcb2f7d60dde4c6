"""Every rpc of both services: messages with hostile values, and bytes that are none."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2
from hypothesis import strategies as st

from checkout.orders.v1 import orders_pb2
from checkout.session.v1 import checkout_session_pb2

from .findings import CALL_SECONDS, Hang, tried_again
from .hostile import mostly
from .messages import filled, mutated_bytes, mutated_message
from .records import Promised
from .samples import renumbered, sample_of
from .subject import Subject
from .targets import Target

_DETAILS_KEY: Final = "grpc-status-details-bin"
_EXPECTED: Final = frozenset(
    {
        grpc.StatusCode.OK,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)
_METADATA_KEYS: Final = ("x-request-id", "x-request-id", "x-request-id-bin", "authorization", "traceparent", "x-any")


@dataclass(frozen=True)
class RpcCall:
    """One call as it goes out."""

    method: MethodDescriptor
    data: bytes
    metadata: Sequence[tuple[str, str | bytes]] = ()

    def __repr__(self) -> str:
        """Show what the call says, not how it is described."""
        return f"{self.method.name} {self.data!r} {list(self.metadata)}"

    @property
    def path(self) -> str:
        """The method as the wire names it."""
        return f"/{self.method.containing_service.full_name}/{self.method.name}"


@dataclass(frozen=True)
class RpcAnswer:
    """What came back."""

    code: grpc.StatusCode
    data: bytes = b""
    details: bytes = b""
    """google.rpc.Status, if the service sent one."""


def targets(subject: Subject, promised: Promised) -> Iterator[Target]:
    """Yield messages and bytes for each service."""
    for name, service, channel, short in (
        ("checkout-session", checkout_session_pb2.DESCRIPTOR.services_by_name, subject.session_channel, 400),
        ("orders", orders_pb2.DESCRIPTOR.services_by_name, subject.orders_channel, 200),
    ):
        edge = _Edge(channel, promised)
        (descriptor,) = service.values()
        yield Target(f"grpc {name} messages", _messages(descriptor), edge.send, short=short)
        yield Target(f"grpc {name} bytes", _bytes(descriptor), edge.send, short=100)


class _Edge:
    """One service."""

    def __init__(self, channel: grpc.Channel, promised: Promised) -> None:
        self._channel = channel
        self._promised = promised

    def send(self, call: RpcCall) -> None:
        answer = tried_again(lambda: self._answer(call), is_away=lambda got: got.code is grpc.StatusCode.UNAVAILABLE)
        assert answer.code in _EXPECTED, f"{call.method.name} answered {answer.code.name}"
        if answer.code is grpc.StatusCode.OK:
            _note(call, answer, self._promised)
        elif answer.code is not grpc.StatusCode.RESOURCE_EXHAUSTED:  # gRPC's own, for a message over the limit
            assert _reason(answer.details), f"{call.method.name} answered {answer.code.name} without a reason"

    def _answer(self, call: RpcCall) -> RpcAnswer:
        invoke: Any = self._channel.unary_unary(call.path)
        try:
            return RpcAnswer(grpc.StatusCode.OK, invoke(call.data, timeout=CALL_SECONDS, metadata=call.metadata))
        except grpc.RpcError as error:
            failure: Any = error
        if failure.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            raise Hang(f"{call.method.name}: no answer in {CALL_SECONDS:g} s")
        trailers = dict(failure.trailing_metadata() or ())
        return RpcAnswer(failure.code(), details=trailers.get(_DETAILS_KEY, b""))


def _messages(service: ServiceDescriptor) -> st.SearchStrategy[RpcCall]:
    def calls(method: MethodDescriptor) -> st.SearchStrategy[RpcCall]:
        sample = _sample(method)
        fresh = st.uuids(version=4).map(lambda number: renumbered(sample, number))
        near = (st.just(sample) | fresh).flatmap(mutated_message)
        unknown_fields = st.sampled_from((b"", b"", b"", b"\xfa\xff\x03\x03abc", b"\x98\x3f\x01" * 50))
        message = mostly({5: [near], 1: [filled(method.input_type)]})
        data = st.tuples(message, unknown_fields).map(lambda pair: pair[0].SerializeToString() + pair[1])
        return st.builds(RpcCall, st.just(method), data, _metadata())

    return _methods(service).flatmap(calls)


def _bytes(service: ServiceDescriptor) -> st.SearchStrategy[RpcCall]:
    def calls(method: MethodDescriptor) -> st.SearchStrategy[RpcCall]:
        nearly = mutated_bytes(_sample(method).SerializeToString())
        return st.builds(RpcCall, st.just(method), mostly({3: [nearly], 1: [st.binary(max_size=300)]}))

    return _methods(service).flatmap(calls)


def _methods(service: ServiceDescriptor) -> st.SearchStrategy[MethodDescriptor]:
    """Choose methods, the oftener the more they are told."""
    weighed = [[method] * (1 + _sample(method).ByteSize() // 60) for method in service.methods]
    return st.sampled_from([method for methods in weighed for method in methods])


def _metadata() -> st.SearchStrategy[list[tuple[str, str | bytes]]]:
    def entry(key: str) -> st.SearchStrategy[tuple[str, str | bytes]]:
        if key.endswith("-bin"):
            return st.binary(max_size=100).map(lambda value: (key, value))
        # gRPC's client sends no others in a text value.
        printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=100)
        return (printable | st.just("x" * 3000)).map(lambda value: (key, value.strip()))

    entries = st.lists(st.sampled_from(_METADATA_KEYS).flatmap(entry), max_size=2)
    none: st.SearchStrategy[list[tuple[str, str | bytes]]] = st.just([])
    return mostly({1: [none, entries]})


def _sample(method: MethodDescriptor) -> Message:
    return sample_of(method.input_type.full_name, GetMessageClass(method.input_type)())


def _note(call: RpcCall, answer: RpcAnswer, promised: Promised) -> None:
    """Note what an answer says is stored now."""
    request = _parsed(call.method.input_type, call.data)
    _parsed(call.method.output_type, answer.data)
    if call.method.name == "SaveAttempt":
        promised.attempts.add(request.attempt_id)
    elif call.method.name in {"CloseAttempt", "DeleteAttempt"}:
        promised.markers.add(request.attempt_id)
    elif call.method.name in {"RecordPurchase", "QuarantinePayment"}:
        promised.payments.add(request.payment.intent.id)
        promised.attempts.add(request.payment.attempt_id)


def _parsed(descriptor: Any, data: bytes) -> Any:
    try:
        return GetMessageClass(descriptor).FromString(data)
    except DecodeError:
        raise AssertionError(f"OK for what is no {descriptor.full_name}") from None


def _reason(details: bytes) -> str:
    info = error_details_pb2.ErrorInfo()
    status = status_pb2.Status.FromString(details)
    return next((info.reason for detail in status.details if detail.Unpack(info)), "")
