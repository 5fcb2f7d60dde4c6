"""Codec between a domain enum and the protobuf enum of the same words."""

from enum import Enum
from typing import TYPE_CHECKING, Final, Generic, TypeVar, cast, overload

if TYPE_CHECKING:
    from google.protobuf.internal.enum_type_wrapper import _EnumTypeWrapper

E = TypeVar("E", bound=Enum)
N = TypeVar("N", bound=int)
D = TypeVar("D")

_UNSPECIFIED: Final = "UNSPECIFIED"
_UNKNOWN: Final = "UNKNOWN"


class EnumCodec(Generic[E, N]):
    """Maps the members of `domain` to the values of `proto` by name, both ways.

    The prefix of the protobuf names is that of the zero value: INTERVAL_UNSPECIFIED makes DAY to INTERVAL_DAY. Both
    enums must have the same words. Words of the contract that this service does not use are listed in `unused`.
    A domain member UNKNOWN, for words of a newer version, has no counterpart and is sent as the zero value.
    Raises ValueError in the constructor, so a missing counterpart stops the import.

        _KINDS: Final = EnumCodec(IntentKind, common_pb2.Intent.Kind)
        _KINDS.to_proto(IntentKind.SETUP)                    # common_pb2.Intent.KIND_SETUP
        _KINDS.from_proto(message.kind)                      # IntentKind | None
        _STATUSES.from_proto(message.status, Status.UNKNOWN) # Status
    """

    def __init__(self, domain: type[E], proto: "_EnumTypeWrapper[N]", *, unused: frozenset[str] = frozenset()) -> None:
        numbers = dict(proto.items())
        zero = next(name for name, number in numbers.items() if number == 0)
        if not zero.endswith(_UNSPECIFIED):
            raise ValueError(f"{proto.DESCRIPTOR.full_name}: the zero value {zero} does not end in {_UNSPECIFIED}")
        self._zero: N = numbers.pop(zero)
        prefix = zero.removesuffix(_UNSPECIFIED)
        members = {prefix + member.name: member for member in domain if member.name != _UNKNOWN}
        unmatched = members.keys() ^ numbers.keys() ^ {prefix + word for word in unused}
        if unmatched:
            raise ValueError(f"{domain.__name__} and {proto.DESCRIPTOR.full_name} differ in {sorted(unmatched)}")
        self._numbers = {member: numbers[name] for name, member in members.items()}
        self._members = {number: member for member, number in self._numbers.items()}

    def to_proto(self, member: E | None) -> N:
        """Return the number of a member; the zero value for None and for UNKNOWN."""
        return self._zero if member is None else self._numbers.get(member, self._zero)

    @overload
    def from_proto(self, number: int) -> E | None: ...
    @overload
    def from_proto(self, number: int, default: D) -> E | D: ...
    def from_proto(self, number: int, default: D | None = None) -> E | D | None:
        """Return the member of a number; the default for the zero value and for numbers of a newer version."""
        return self._members.get(cast("N", number), default)

    def from_valid_proto(self, number: int) -> E:
        """Return the member of a number that validation has accepted. Raises KeyError for any other."""
        return self._members[cast("N", number)]
