"""Event loop of a service's process: uvloop, with a garbage collector that seldom works."""

import gc
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import uvloop

T = TypeVar("T")

_COLLECTED_AFTER: Final = (20_000, 20, 100)
"""Allocations until the youngest objects are looked at, and such looks until those of the next generation are."""


def run_service(serving: Coroutine[Any, Any, T]) -> T:
    """Run the coroutine of a command to its end, and return its result. Call it once, when everything is imported.

    By default Python looks for unreachable cycles after 700 allocations, which is several times for each request, and
    the more requests are in flight, the more objects it looks at in vain. What was imported stays, and is left out.
    """
    gc.freeze()
    gc.set_threshold(*_COLLECTED_AFTER)
    return uvloop.run(serving)
