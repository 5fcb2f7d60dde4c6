"""Durations on the command line, such as 7d, 36h, 90m or 30s."""

import re
from datetime import timedelta
from typing import Final

import typer

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION: Final = re.compile(r"(\d{1,5})([smhd])")


def duration(text: str) -> timedelta:
    """Read a duration. Raises typer.BadParameter."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise typer.BadParameter("must be a number and s, m, h or d, such as 7d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
