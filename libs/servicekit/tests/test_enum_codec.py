"""Enums over the wire: by name, both ways, proven complete when they are built."""

from enum import StrEnum
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

from servicekit.enum_codec import EnumCodec


class Color(StrEnum):
    """A domain enum with a word for those of a newer version."""

    RED = "red"
    BLUE = "blue"
    UNKNOWN = "unknown"


def proto_enum(*names: str) -> Any:
    """Return a protobuf enum as generated code has it, numbered from 0."""
    file = FileDescriptorProto(name="color.proto", syntax="proto3")
    enum = file.enum_type.add(name="Color")
    for number, name in enumerate(names):
        enum.value.add(name=name, number=number)
    pool = DescriptorPool()
    pool.Add(file)
    return EnumTypeWrapper(pool.FindEnumTypeByName("Color"))


@pytest.fixture
def codec() -> EnumCodec[Color, int]:
    """Return a codec of two words."""
    return EnumCodec(Color, proto_enum("COLOR_UNSPECIFIED", "COLOR_RED", "COLOR_BLUE"))


@pytest.mark.parametrize(("member", "number"), [(Color.RED, 1), (Color.BLUE, 2)])
def test_members_and_numbers_match_by_name(codec: EnumCodec[Color, int], member: Color, number: int) -> None:
    """A member becomes the value with its name, and back."""
    assert codec.to_proto(member) == number
    assert codec.from_proto(number) is member
    assert codec.from_valid_proto(number) is member


@pytest.mark.parametrize("number", [0, 3, -1])
def test_numbers_without_a_member_give_the_default(codec: EnumCodec[Color, int], number: int) -> None:
    """A number of a newer version raises nothing."""
    assert codec.from_proto(number) is None
    assert codec.from_proto(number, Color.UNKNOWN) is Color.UNKNOWN


@pytest.mark.parametrize("member", [None, Color.UNKNOWN])
def test_nothing_and_unknown_are_unspecified_on_the_wire(codec: EnumCodec[Color, int], member: Color | None) -> None:
    """The zero value stands for both."""
    assert codec.to_proto(member) == 0


@pytest.mark.parametrize(
    "names",
    [
        ("COLOR_UNSPECIFIED", "COLOR_RED"),
        ("COLOR_UNSPECIFIED", "COLOR_RED", "COLOR_BLUE", "COLOR_GREEN"),
        ("COLOR_NONE", "COLOR_RED", "COLOR_BLUE"),
    ],
)
def test_enums_of_different_words_are_refused(names: tuple[str, ...]) -> None:
    """A word that only one side has stops the import, not a request."""
    with pytest.raises(ValueError, match="COLOR_"):
        EnumCodec(Color, proto_enum(*names))


def test_unused_words_of_the_contract_may_be_named() -> None:
    """A service that needs only some words lists the others; they read as unknown."""
    names = ("COLOR_UNSPECIFIED", "COLOR_RED", "COLOR_BLUE", "COLOR_GREEN")

    codec = EnumCodec(Color, proto_enum(*names), unused=frozenset({"GREEN"}))

    assert codec.from_proto(3) is None
