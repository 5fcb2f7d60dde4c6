"""Valid and mutated protobuf messages, generated from their descriptors."""

import copy
import uuid
from collections.abc import Iterator
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import orders_pb2

from .json_inputs import CHANGE_COUNTS, INTEGERS, texts

_OTHER_ATTEMPT: Final = str(uuid.UUID(int=8, version=4))
_AMOUNTS: Final = {"total": 1000, "received": 1000}
"""Amounts in minor units, by field. Every other amount is 500: the total is one line and the shipping (P5)."""

_DURATION_SECONDS: Final = 60

_VALUES: Final[dict[str, Any]] = {
    "country": "US",
    "currency": "usd",
    "minor_units": 500,
    "order_id": _OTHER_ATTEMPT,
    "page_token": "",
    "request_hash": b"h" * 32,
    "seconds": 4_000_000_000,
    "nanos": 0,
    "subscription_id": _OTHER_ATTEMPT,
    "successor": _OTHER_ATTEMPT,
    "supersedes": _OTHER_ATTEMPT,
    "version": 0,
}
"""Valid values by field, where the default for the field's type is not valid."""
_ABSENT: Final = {"encrypted_content"}
"""Fields that are valid only in a request with another reason."""


def valid_message(descriptor: Descriptor, number: uuid.UUID) -> Any:
    """Return a message that passes validation; the number makes its attempt and its intent unique."""
    message: Any = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if field.containing_oneof is not None and field.containing_oneof.fields[0] is not field:
            continue
        if field.name in _ABSENT:
            continue
        if field.message_type is None:
            _set_scalar(message, field, _valid_scalar(field, number))
            continue
        child = valid_message(field.message_type, number)
        if field.message_type.name == "Duration":
            child.seconds = _DURATION_SECONDS
        if field.message_type.name == "Money":
            child.minor_units = _AMOUNTS.get(field.name, child.minor_units)
        if field.is_repeated:
            getattr(message, field.name).append(child)
        else:
            getattr(message, field.name).CopyFrom(child)
    if isinstance(message, common_pb2.CheckoutContext):
        one_time = message.items.add()
        one_time.CopyFrom(message.items[0])
        one_time.ClearField("recurring")
        one_time.price_id = "price_2"
    if isinstance(message, orders_pb2.QuarantinePaymentRequest):
        message.reason = orders_pb2.QUARANTINE_REASON_AMOUNT_MISMATCH
    return message


def _set_scalar(message: Any, field: FieldDescriptor, value: Any) -> None:
    if field.is_repeated:
        getattr(message, field.name).append(value)
    else:
        setattr(message, field.name, value)


@st.composite
def mutated_message(draw: st.DrawFn, sample: Message) -> Message:
    """Change a message in up to three places."""
    message = copy.deepcopy(sample)
    for _ in range(draw(st.sampled_from(CHANGE_COUNTS))):
        place, field = draw(st.sampled_from(list(_places(message))))
        if field.is_repeated:
            entries = getattr(place, field.name)
            repeated = list(entries[:1]) * draw(st.sampled_from((0, 2, 300)))
            place.ClearField(field.name)
            entries.extend(repeated)
        elif field.message_type is not None or not draw(st.integers(0, 5)):
            place.ClearField(field.name)
        else:
            setattr(place, field.name, draw(_scalars(field)))
    return message


def _valid_scalar(field: FieldDescriptor, number: uuid.UUID) -> Any:
    if field.name in {"attempt_id", "attempt_ids"}:
        return str(number)
    if field.full_name == "checkout.common.v1.Intent.id":
        return f"pi_{number.hex}"
    if field.name in _VALUES:
        return _VALUES[field.name]
    if field.enum_type is not None:
        return field.enum_type.values[1 if field.name in {"kind", "channel"} else -1].number
    if field.type == FieldDescriptor.TYPE_BOOL:
        return False
    return f"{field.name}_1" if field.type == FieldDescriptor.TYPE_STRING else 1


def _scalars(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.type == FieldDescriptor.TYPE_STRING:
        return texts()
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=64) | st.binary(min_size=32, max_size=32)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return st.booleans()
    high = 2**63 if field.type == FieldDescriptor.TYPE_INT64 else 2**31
    known = [value.number for value in field.enum_type.values] if field.enum_type is not None else INTEGERS
    return st.sampled_from([value for value in known if -high <= value < high]) | st.integers(-high, high - 1)


def _places(message: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the fields of a message and of the messages in it; scalars four times, to change them more often."""
    for field in message.DESCRIPTOR.fields:
        yield from [(message, field)] * (4 if field.message_type is None else 1)
        if field.message_type is not None:
            value = getattr(message, field.name)
            for child in value[:3] if field.is_repeated else [value] * message.HasField(field.name):
                yield from _places(child)
