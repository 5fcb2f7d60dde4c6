"""Clock that is wrong by HOLDFAST_CLOCK_SKEW_SECONDS, for a process with this folder in PYTHONPATH.

This kernel has no namespace for the time of day, and a preloaded library would need a compiler.
"""

import datetime as dt
import os
from typing import Any

_SECONDS = float(os.environ.get("HOLDFAST_CLOCK_SKEW_SECONDS") or 0)
_TrueDatetime = dt.datetime


class _AnyDatetime(type):
    """Takes every datetime for an instance, because those that the interpreter makes are of the true class."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _TrueDatetime)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, _TrueDatetime)


class _SkewedDatetime(_TrueDatetime, metaclass=_AnyDatetime):
    """A datetime class whose present is wrong."""

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Any:
        """Return the wrong time."""
        return _TrueDatetime.now(tz) + dt.timedelta(seconds=_SECONDS)


if _SECONDS:
    # Not time.time: gRPC compares its deadlines with the true clock.
    dt.datetime = _SkewedDatetime  # type: ignore[misc]
