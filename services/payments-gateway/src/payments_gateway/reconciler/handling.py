"""Handling of many objects by one sweep: a few at the same time, and none stops the others."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

from payments_gateway.domain.stripe_errors import StripeUnavailable
from servicekit.json_logging import unbind_attempt
from servicekit.unavailable import ServiceUnavailable

_log = logging.getLogger(__name__)

AT_ONCE: Final = 8
"""Objects handled at the same time. Stripe's limits are kept elsewhere (ADR 34)."""

T = TypeVar("T")


async def for_each(items: Iterable[T], handle: Callable[[T], Awaitable[None]]) -> None:
    """Handle items, a few at the same time. The first failure cancels the others."""
    places = asyncio.Semaphore(AT_ONCE)

    async def handle_one(item: T) -> None:
        async with places:
            unbind_attempt()
            await handle(item)

    tasks = [asyncio.create_task(handle_one(item)) for item in items]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def failure_of(work: Awaitable[object], **fields: str) -> Exception | None:
    """Wait for the handling of one object; return and log its failure, whatever it is."""
    try:
        await work
    except (ServiceUnavailable, StripeUnavailable) as unavailable:
        _log.warning("could not be handled, tried again later", extra={**fields, "reason": type(unavailable).__name__})
        return unavailable
    except Exception as failure:  # noqa: BLE001 — one object must not stop the others; it is tried again
        _log.exception("could not be handled, tried again later", extra=fields)
        return failure
    return None
