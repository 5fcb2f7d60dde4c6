"""Every rpc of both services, with hostile values in its request."""

import uuid
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2
from hypothesis import strategies as st

from checkout.orders.v1 import orders_pb2, stripe_events_pb2
from checkout.session.v1 import checkout_session_pb2

from .fuzzed_system import FuzzedSystem
from .message_inputs import mutated_message, valid_message
from .targets import CALL_SECONDS, Target, retry_unavailable

SESSION_SERVICE: Final = checkout_session_pb2.DESCRIPTOR.services_by_name["CheckoutSessionService"]
ORDERS_SERVICE: Final = orders_pb2.DESCRIPTOR.services_by_name["OrdersService"]
EVENTS_SERVICE: Final = stripe_events_pb2.DESCRIPTOR.services_by_name["StripeEventsService"]
_DETAILS_KEY: Final = "grpc-status-details-bin"
_FIXED: Final = uuid.UUID(int=2, version=4)
_UNKNOWN_FIELDS: Final = (b"", b"", b"", b"\xfa\xff\x03\x03abc", b"\x98\x3f\x01" * 50)
_FAULTS: Final = ("CANCELLED", "UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE")

Metadata = Mapping[str, str]
RpcCall = tuple[str, bytes, Metadata]
"""Method name, request and metadata."""


def targets(system: FuzzedSystem) -> Iterator[Target]:
    """Yield the requests to each gRPC service."""
    for name, service, channel, short_inputs in (
        ("checkout-session", SESSION_SERVICE, system.session_channel, 400),
        ("orders", ORDERS_SERVICE, system.orders_channel, 200),
        ("orders events", EVENTS_SERVICE, system.orders_channel, 100),
    ):
        yield Target(f"grpc {name}", _calls(service), partial(_send, system, channel, service), short_inputs)


def call_method(
    channel: grpc.Channel, method: MethodDescriptor, request: bytes, metadata: Metadata | None = None
) -> tuple[grpc.StatusCode, bytes]:
    """Call a method; return OK and the response, or another status with its serialised google.rpc.Status."""
    invoke: Any = channel.unary_unary(f"/{method.containing_service.full_name}/{method.name}")
    try:
        return grpc.StatusCode.OK, invoke(request, timeout=CALL_SECONDS, metadata=tuple((metadata or {}).items()))
    except grpc.RpcError as error:
        failure: Any = error
        return failure.code(), dict(failure.trailing_metadata() or ()).get(_DETAILS_KEY, b"")


def _send(system: FuzzedSystem, channel: grpc.Channel, service: ServiceDescriptor, call: RpcCall) -> None:
    name, request, metadata = call
    method = service.methods_by_name[name]
    code, response = retry_unavailable(
        lambda: call_method(channel, method, request, metadata), lambda got: got[0] is grpc.StatusCode.UNAVAILABLE
    )
    assert code.name not in _FAULTS, f"{name} answered {code.name}"
    if code is grpc.StatusCode.OK:
        GetMessageClass(method.output_type).FromString(response)
        _announce(system, GetMessageClass(method.input_type).FromString(request), name)
    elif code is not grpc.StatusCode.RESOURCE_EXHAUSTED:  # gRPC's own, for a message that is too large
        assert _reason(response), f"{name} answered {code.name} without a reason"


def _announce(system: FuzzedSystem, request: Any, name: str) -> None:
    if name == "SaveAttempt":
        system.announce(request.attempt_id, "attempt", "closed")
    elif name in {"CloseAttempt", "DeleteAttempt"}:
        system.announce(request.attempt_id, "closed")
    elif name == "DeleteAttempts":
        for attempt_id in request.attempt_ids:
            system.announce(attempt_id, "closed")
    elif name in {"RecordPurchase", "QuarantinePayment"}:
        system.announce(request.payment.attempt_id, "orders")
        system.announce(request.payment.intent.id, "payments")
        system.decided_payments.add(request.payment.intent.id)


def _calls(service: ServiceDescriptor) -> st.SearchStrategy[RpcCall]:
    """Choose methods with large requests more often."""
    sizes = {method: valid_message(method.input_type, _FIXED).ByteSize() for method in service.methods}
    methods = [method for method, size in sizes.items() for _ in range(1 + size // 60)]
    return st.sampled_from(methods).flatmap(
        lambda method: st.tuples(st.just(method.name), _requests(method), _metadata())
    )


def _requests(method: MethodDescriptor) -> st.SearchStrategy[bytes]:
    numbers = st.just(_FIXED) | st.uuids(version=4)
    messages = numbers.map(lambda number: valid_message(method.input_type, number)).flatmap(mutated_message)
    return st.builds(
        lambda message, unknown: message.SerializeToString() + unknown, messages, st.sampled_from(_UNKNOWN_FIELDS)
    )


def _metadata() -> st.SearchStrategy[Metadata]:
    # gRPC's client sends only printable ASCII in a text value.
    printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=100).map(str.strip)
    none: st.SearchStrategy[Metadata] = st.just({})
    return none | (printable | st.just("x" * 3000)).map(lambda value: {"x-request-id": value})


def _reason(details: bytes) -> str:
    info = error_details_pb2.ErrorInfo()
    status = status_pb2.Status.FromString(details)
    return next((info.reason for detail in status.details if detail.Unpack(info)), "")
