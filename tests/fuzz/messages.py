"""Protobuf messages with hostile values, made from their descriptors; and bytes that are nearly messages."""

import copy
from collections.abc import Iterator
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

from .hostile import CHANGES, INTEGERS, texts

_MOST_ENTRIES: Final = (0, 1, 2, 300)
_DEEPEST: Final = 4
_MOST_CHILDREN: Final = 3
_LEAF_WEIGHT: Final = 4
# Five of invalid UTF-8, a lone surrogate among them; then wrong lengths, unknown fields, groups, wire types 6 and 7.
_NASTY_BYTES: Final = (
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\xc0\x80",
    b"\x0a\x02\xc3\x28",
    b"\x12\x03\xed\xa0\x80",
    b"\x0a\xff\xff\xff\xff\x0f",
    b"\xfa\xff\x03\x03abc",
    b"\x0b\x0c",
    b"\x0b" * 200,
    b"\x0f",
    b"\xff" * 11,
    b"\x00",
)

_RANGES: Final = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.TYPE_SINT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SINT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_FIXED32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_FIXED64: (0, 2**64 - 1),
    FieldDescriptor.TYPE_SFIXED32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SFIXED64: (-(2**63), 2**63 - 1),
}


def scalars(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    """Make values that a field of this kind can hold."""
    if field.type in _RANGES:
        return _integers(*_RANGES[field.type])
    if field.enum_type is not None:
        known = [value.number for value in field.enum_type.values]
        return st.sampled_from(known) | _integers(*_RANGES[FieldDescriptor.TYPE_INT32])
    if field.type == FieldDescriptor.TYPE_STRING:
        return texts()
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=64) | st.binary(min_size=32, max_size=32)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return st.booleans()
    if field.type in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT):
        return st.floats(width=32)
    raise NotImplementedError(f"{field.full_name} is of a kind that no contract used so far")


@st.composite
def filled(draw: st.DrawFn, descriptor: Descriptor, depth: int = 0) -> Message:
    """Make a message of which any field may be missing or hold anything."""
    message: Message = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if draw(st.integers(0, 4)):
            _set(draw, message, field, depth)
    return message


@st.composite
def mutated_message(draw: st.DrawFn, sample: Message) -> Message:
    """Change a message in up to three places."""
    message = copy.deepcopy(sample)
    for _ in range(draw(st.sampled_from(CHANGES))):
        _mutate(draw, message)
    return message


@st.composite
def mutated_bytes(draw: st.DrawFn, sample: bytes) -> bytes:
    """Cut, repeat, overwrite or insert, up to three times."""
    data = sample
    for _ in range(draw(st.integers(1, 3))):
        at, until = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
        new = draw(st.binary(max_size=12) | st.sampled_from(_NASTY_BYTES))
        change = draw(st.sampled_from(("cut", "insert", "overwrite", "repeat", "append")))
        data = {
            "cut": data[:at],
            "insert": data[:at] + new + data[at:],
            "overwrite": data[:at] + new + data[at + len(new) :],
            "repeat": data[:until] + data[at:],
            "append": data + new,
        }[change]
    return data


def _integers(low: int, high: int) -> st.SearchStrategy[int]:
    usual = [number for number in (*INTEGERS, low, high) if low <= number <= high]
    return st.sampled_from(usual) | st.integers(low, high)


def _set(draw: st.DrawFn, message: Message, field: FieldDescriptor, depth: int) -> None:
    message.ClearField(field.name)
    if field.is_repeated:
        _set_repeated(draw, getattr(message, field.name), field, depth)
    elif field.message_type is None:
        setattr(message, field.name, draw(scalars(field)))
    elif depth < _DEEPEST:
        getattr(message, field.name).CopyFrom(draw(filled(field.message_type, depth + 1)))


def _set_repeated(draw: st.DrawFn, entries: Any, field: FieldDescriptor, depth: int) -> None:
    count = draw(st.sampled_from(_MOST_ENTRIES))
    if not count or depth >= _DEEPEST:
        return
    # Many different entries would take long to draw; many equal ones do as well.
    if field.message_type is None:
        entries.extend([draw(scalars(field))] * count)
    else:
        entries.extend([draw(filled(field.message_type, depth + 1))] * count)


def _mutate(draw: st.DrawFn, message: Message) -> None:
    place, field = draw(st.sampled_from(list(_places(message))))
    if draw(st.sampled_from((True,) * 5 + (False,))):
        _set(draw, place, field, depth=1)
    else:
        place.ClearField(field.name)


def _places(message: Message) -> Iterator[tuple[Message, FieldDescriptor]]:
    """Yield every field of the message and of the messages in it, set or not; single values several times.

    A whole message that is replaced has so many faults that none of them gets far.
    """
    fields: Any = message.DESCRIPTOR.fields
    for field in fields:
        yield from [(message, field)] * (_LEAF_WEIGHT if field.message_type is None else 1)
        if field.message_type is not None:
            for child in _children(message, field):
                yield from _places(child)


def _children(message: Message, field: FieldDescriptor) -> list[Message]:
    if field.is_repeated:
        return list(getattr(message, field.name))[:_MOST_CHILDREN]
    # Only what is there: reading a missing message would not create it.
    return [getattr(message, field.name)] if message.HasField(field.name) else []
