"""Reader of a request's fields that collects their violations."""

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import Enum
from types import TracebackType
from typing import Any, Final, Self, TypeVar, cast
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from checkout.common.v1 import common_pb2
from checkout_rules.fields import (
    amount_violations,
    currency_violations,
    id_violations,
    required_id_violations,
    required_text_violations,
    uuid_violations,
)
from checkout_rules.limits import MAX_ATTEMPT_ID_CHARACTERS
from orders.api.messages import money_from_proto
from orders.domain.checkout import Money
from servicekit.enum_codec import EnumCodec
from servicekit.violations import FieldViolation, raise_if_invalid

_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_LAST_SECOND: Final = 253_402_300_799
"""Of the year 9999."""
_BILLION: Final = 1_000_000_000

E = TypeVar("E", bound=Enum)


class FieldReader:
    """Reads fields and collects violations, and raises InvalidRequest with all of them when its block is left.

    The values count only after that: an invalid field reads as any value.

        with FieldReader() as fields:
            return fields.uuid("order_id", request.order_id)
    """

    def __init__(self) -> None:
        self._violations: list[FieldViolation] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, failure: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if failure is None:
            self.raise_if_invalid()

    def raise_if_invalid(self) -> None:
        """Raise InvalidRequest if there is any violation so far."""
        raise_if_invalid(self._violations)

    def require(self, condition: object, field: str, message: str) -> None:
        """Add a violation unless the condition holds. The message continues the field's name."""
        if not condition:
            self._violations.append(FieldViolation(field, message))

    def add(self, violations: Iterable[FieldViolation]) -> None:
        """Add the violations that a rule found."""
        self._violations.extend(violations)

    def id(self, field: str, value: str) -> str:
        """Read a required id of Stripe's or of a user."""
        self.add(required_id_violations(field, value))
        return value

    def optional_id(self, field: str, value: str) -> str | None:
        """Read an optional id of Stripe's or of a user."""
        self.add(id_violations(field, value))
        return value or None

    def attempt_id(self, field: str, value: str) -> str:
        """Read a required attempt id. It comes from Stripe's metadata, so it may be any text."""
        self.add(required_text_violations(field, value, MAX_ATTEMPT_ID_CHARACTERS))
        return value

    def uuid(self, field: str, value: str) -> UUID:
        """Read a required UUID."""
        violations = uuid_violations(field, value)
        self.add(violations)
        return UUID(int=0) if violations else UUID(value)

    def enum(self, field: str, number: int, codec: EnumCodec[E, Any]) -> E:
        """Read a required enum value."""
        member = codec.from_proto(number)
        self.require(member is not None, field, "must be one of the contract's values")
        return cast("E", member)

    def money(self, field: str, value: common_pb2.Money, *, present: bool) -> Money:
        """Read a required amount; `present` tells if the field is set."""
        self.require(present, field, "is required")
        if present:
            self.add(amount_violations(field, value))
            self.add(currency_violations(f"{field}.currency", value.currency))
        return money_from_proto(value)

    def currency(self, field: str, value: str) -> str:
        """Read a required currency."""
        self.add(currency_violations(field, value))
        return value

    def timestamp(self, field: str, value: Timestamp, *, present: bool) -> datetime:
        """Read a required moment; `present` tells if the field is set."""
        valid = present and 0 <= value.seconds <= _LAST_SECOND and 0 <= value.nanos < _BILLION
        self.require(valid, field, "must be a time between the years 1970 and 9999")
        return value.ToDatetime(tzinfo=UTC) if valid else _EPOCH

    def optional_timestamp(self, field: str, value: Timestamp, *, present: bool) -> datetime | None:
        """Read an optional moment; `present` tells if the field is set."""
        return self.timestamp(field, value, present=True) if present else None

    def version(self, field: str, value: int, *, least: int = 1) -> int:
        """Read the version of a row. The next one must fit into the column too."""
        self.require(least <= value < 2**63 - 1, field, f"must be at least {least}")
        return value
