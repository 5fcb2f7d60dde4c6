"""How much time the request that is being served has left, for those who wait on its behalf."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from typing import Final

_ends_at: Final[ContextVar[float]] = ContextVar("request_ends_at", default=math.inf)
"""On the monotonic clock. What runs for no request, such as the price book's refresh, has all the time there is."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Say that what is served while the context lasts must be answered within so many seconds."""
    before = _ends_at.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _ends_at.reset(before)


def without_deadline() -> Context:
    """Return the present context without its end, for work that is shared with requests that end later."""
    context = copy_context()
    context.run(_ends_at.set, math.inf)
    return context


def seconds_left() -> float:
    """Return how long the request that is being served may still take; infinity outside of any."""
    return _ends_at.get() - time.monotonic()
