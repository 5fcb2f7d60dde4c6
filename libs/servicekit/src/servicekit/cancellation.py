"""Reliable cancellation: asyncio lets a task drop it, and asyncio.wait_for does so before Python 3.12.

It drops a cancellation that arrives together with the result that it waits for.
"""

import asyncio
from typing import Any


def raise_if_cancelled() -> None:
    """Raise CancelledError in a task whose cancellation was dropped by something that it awaited."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def cancel_until_ended(task: asyncio.Task[Any], *, every_seconds: float, within_seconds: float) -> bool:
    """Cancel a task repeatedly until it ends; return False if it did not end in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_seconds
    while not task.done() and loop.time() < deadline:
        task.cancel()
        await asyncio.wait([task], timeout=every_seconds)
    return task.done()
