"""Results of a verb: what it prints, and the exit code that scripts read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

from rich.console import RenderableType

from payments_gateway.domain.money import Money


class ExitCode(IntEnum):
    """Exit codes of every verb. They are part of the operator's interface."""

    OK = 0
    """Done, or nothing differs."""
    REFUSED = 1
    """Something differs, was not found, or was refused for good. The output says what."""
    USAGE = 2
    """The arguments or the settings are not valid. Nothing was done."""
    UNAVAILABLE = 3
    """Stripe or a service was unavailable. The same command may succeed later."""
    FAILED = 4
    """A fault of this program. The log on standard error says where."""
    INTERRUPTED = 130
    """Ctrl-C."""


class Refused(Exception):
    """The verb cannot be carried out, now or later. The message is for the operator: ids and amounts only (P7)."""


class UsageFault(Exception):
    """The arguments cannot be right. The message is for the operator."""


@dataclass(frozen=True, slots=True)
class Result:
    """Result of a verb: one JSON document, and the same for people."""

    document: Mapping[str, Any]
    """Keys are camelCase, times ISO 8601 in UTC, amounts as of `money_json`."""
    shown: Sequence[RenderableType]
    exit_code: ExitCode = ExitCode.OK


def money_json(amount: Money | None) -> dict[str, Any] | None:
    """Return an amount as JSON."""
    return None if amount is None else {"minorUnits": amount.minor_units, "currency": amount.currency}


def time_json(time: datetime | None) -> str | None:
    """Return a time as JSON."""
    return None if time is None else time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def money_text(amount: Money | None) -> str:
    """Return an amount for people, in minor units: no currency's decimals can be mistaken."""
    return "-" if amount is None else f"{amount.minor_units} {amount.currency}"


def time_text(time: datetime | None) -> str:
    """Return a time for people, in the time zone of this machine (TZ)."""
    return "-" if time is None else time.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
