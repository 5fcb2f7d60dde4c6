"""Protobuf messages generated from their descriptors: valid, mutated or random; and bytes that are nearly messages."""

import copy
import uuid
from collections.abc import Iterator
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

from checkout.common.v1 import common_pb2

from .json_inputs import CHANGE_COUNTS, INTEGERS, texts

_MAX_DEPTH: Final = 4
_CHANGED_ENTRIES: Final = 3
_RANGES: Final = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_ENUM: (-(2**31), 2**31 - 1),
}
_BYTES: Final = (
    b"\xff\xfe",  # not UTF-8
    b"\x12\x03\xed\xa0\x80",  # a field with a lone surrogate
    b"\x0a\xff\xff\xff\xff\x0f",  # a length beyond the end
    b"\xfa\xff\x03\x03abc",  # an unknown field
    b"\x0b" * 200,  # nested groups
    b"\x0f",  # wire type 7
    b"\xff" * 11,  # a varint that is too long
    b"\x00",
)

_OTHER_ATTEMPT: Final = str(uuid.UUID(int=8, version=4))
_AMOUNTS: Final = {"total": 1000, "received": 1000}
"""Amounts in minor units, by field. Every other amount is 500: the total is one line and the shipping (P5)."""

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
    "supersedes": _OTHER_ATTEMPT,
    "version": 0,
}
"""Valid values by field, where the default for the field's type is not valid."""


def valid_message(descriptor: Descriptor, number: uuid.UUID) -> Any:
    """Return a message that passes validation; the number makes its attempt and its intent unique."""
    message: Any = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if field.containing_oneof is not None and field.containing_oneof.fields[0] is not field:
            continue
        if field.message_type is None:
            setattr(message, field.name, _valid_scalar(field, number))
            continue
        child = valid_message(field.message_type, number)
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
    return message


@st.composite
def random_message(draw: st.DrawFn, descriptor: Descriptor, depth: int = 0) -> Message:
    """Generate a message with hostile values in most fields."""
    message: Message = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if draw(st.integers(0, 4)):
            _set(draw, message, field, depth)
    return message


@st.composite
def mutated_message(draw: st.DrawFn, sample: Message) -> Message:
    """Change a message in up to three places."""
    message = copy.deepcopy(sample)
    for _ in range(draw(st.sampled_from(CHANGE_COUNTS))):
        place, field = draw(st.sampled_from(list(_places(message))))
        if draw(st.integers(0, 5)):
            _set(draw, place, field, depth=1)
        else:
            place.ClearField(field.name)
    return message


@st.composite
def mutated_bytes(draw: st.DrawFn, sample: bytes) -> bytes:
    """Cut, insert, overwrite or repeat, up to three times."""
    data = sample
    for _ in range(draw(st.integers(1, 3))):
        start, end = draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))
        data = data[:start] + draw(st.binary(max_size=12) | st.sampled_from(_BYTES)) + data[end:]
    return data


def _valid_scalar(field: FieldDescriptor, number: uuid.UUID) -> Any:
    if field.name == "attempt_id":
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
    if field.cpp_type in _RANGES:
        low, high = _RANGES[field.cpp_type]
        known = [value.number for value in field.enum_type.values] if field.enum_type is not None else INTEGERS
        return st.sampled_from([value for value in known if low <= value <= high]) | st.integers(low, high)
    if field.type == FieldDescriptor.TYPE_STRING:
        return texts()
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=64) | st.binary(min_size=32, max_size=32)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return st.booleans()
    raise NotImplementedError(f"no values for the type of {field.full_name}")


def _set(draw: st.DrawFn, message: Message, field: FieldDescriptor, depth: int) -> None:
    message.ClearField(field.name)
    if depth >= _MAX_DEPTH and field.message_type is not None:
        return
    value = draw(_scalars(field) if field.message_type is None else random_message(field.message_type, depth + 1))
    if field.is_repeated:
        # Equal entries: different ones would take long to draw.
        getattr(message, field.name).extend([value] * draw(st.sampled_from((0, 1, 2, 300))))
    elif field.message_type is None:
        setattr(message, field.name, value)
    else:
        getattr(message, field.name).CopyFrom(value)


def _places(message: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the fields of a message and of the messages in it; scalars four times, to change them more often."""
    for field in message.DESCRIPTOR.fields:
        yield from [(message, field)] * (4 if field.message_type is None else 1)
        if field.message_type is not None:
            value = getattr(message, field.name)
            children = value[:_CHANGED_ENTRIES] if field.is_repeated else [value] * message.HasField(field.name)
            for child in children:
                yield from _places(child)
