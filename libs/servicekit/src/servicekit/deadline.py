"""Deadline of the request that is served, for code that waits on its behalf."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from typing import Final

_deadline: Final[ContextVar[float]] = ContextVar("request_deadline", default=math.inf)
"""On the monotonic clock. Background work, such as a cache's refresh, has no deadline."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Set the deadline of a request, in seconds from now, while the context lasts."""
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def without_deadline() -> Context:
    """Return a copy of the present context without a deadline, for work that is shared between requests."""
    context = copy_context()
    context.run(_deadline.set, math.inf)
    return context


def seconds_left() -> float:
    """Return the seconds until the deadline of the present request; infinity without one."""
    return _deadline.get() - time.monotonic()
