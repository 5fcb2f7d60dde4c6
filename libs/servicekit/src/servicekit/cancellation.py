"""Cancelling for certain. asyncio lets a task drop its cancellation, and some libraries do without meaning to.

Until Python 3.12 `asyncio.wait_for` drops a cancellation that arrives together with the result it waits for.
"""

import asyncio
from typing import Any


def raise_if_cancelled() -> None:
    """Raise CancelledError in a task that was cancelled, even if what it awaited has dropped the cancellation."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def cancel_until_ended(task: asyncio.Task[Any], *, every_seconds: float, within_seconds: float) -> bool:
    """Cancel a task again and again until it ends; return whether it did in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_seconds
    while not task.done() and loop.time() < deadline:
        task.cancel()
        await asyncio.wait([task], timeout=every_seconds)
    return task.done()
