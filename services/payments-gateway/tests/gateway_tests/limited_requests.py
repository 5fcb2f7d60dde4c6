"""Requests that ask a limiter for their turn, in virtual time."""

import asyncio
import math
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

from payments_gateway.stripe_api.rate_limiter import Priority, RequestRates, StripeLimiter

from .virtual_time import run_in_virtual_time

FULFIL, BUY, BROWSE = Priority.FULFIL, Priority.BUY, Priority.BROWSE
CREATE, RETRIEVE, SUBSCRIBE = "POST /v1/payment_intents", "GET /v1/payment_intents/{id}", "POST /v1/subscriptions"
LIMIT = 25
"""Stripe's limit of an operation."""
NO_LIMIT = 1e9
LONG = 100.0


def in_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an asynchronous test on a clock that jumps."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        run_in_virtual_time(test(*args, **kwargs))

    return run


def limiter(
    *, slots: int = 1000, total: float = NO_LIMIT, operation: float = NO_LIMIT, max_wait_seconds: float = LONG
) -> StripeLimiter:
    """Return a limiter whose limits are high unless given."""
    return StripeLimiter(
        max_concurrent=slots,
        rates=RequestRates(total, operation),
        max_wait_seconds=max_wait_seconds,
        monotonic=asyncio.get_running_loop().time,
    )


def now() -> float:
    """Return the seconds since the test began."""
    return asyncio.get_running_loop().time()


class Request:
    """A request that ends after its time, or when it is told to."""

    def __init__(
        self,
        limits: StripeLimiter,
        priority: Priority = BUY,
        operation: str = CREATE,
        *,
        takes: float = math.inf,
        seconds: float = LONG,
    ) -> None:
        self.priority, self.operation = priority, operation
        self.began_at, self.started_at = now(), math.inf
        self.ended = asyncio.Event()
        self.task = asyncio.create_task(self._run(limits, takes, seconds))

    async def _run(self, limits: StripeLimiter, takes: float, seconds: float) -> None:
        async with limits.acquire(self.operation, self.priority, timeout_seconds=seconds):
            self.started_at = now()
            if takes == math.inf:
                await self.ended.wait()
            else:
                await asyncio.sleep(takes)

    @property
    def has_slot(self) -> bool:
        """True once it has got its slot."""
        return self.started_at < math.inf

    @property
    def waited(self) -> float:
        """Seconds until it got its slot."""
        return self.started_at - self.began_at

    async def end(self) -> None:
        """Release the slot."""
        self.ended.set()
        await self.task


async def settle() -> None:
    """Let everything that can happen now happen, and what rounding has put off."""
    for _ in range(20):
        await asyncio.sleep(1e-7)


async def end_all(*requests: Request) -> None:
    """End requests in whatever order they get their slots."""
    for request in requests:
        request.ended.set()
    await asyncio.gather(*(request.task for request in requests))


async def offer(
    limits: StripeLimiter, a_second: float, seconds: float, priority: Priority, operation: str
) -> list[Request]:
    """Make requests at a rate, whatever becomes of them; each takes a tenth of a second."""
    made = []
    for _ in range(round(a_second * seconds)):
        made.append(Request(limits, priority, operation, takes=0.1))
        await asyncio.sleep(1 / a_second)
    await asyncio.gather(*(each.task for each in made), return_exceptions=True)
    return made


def most_in_a_second(requests: list[Request]) -> int:
    """Return the largest number of requests that started within a second, whenever it begins."""
    starts = sorted(each.started_at for each in requests if each.has_slot)
    return max(sum(begin <= other < begin + 1 for other in starts) for begin in starts)


def refused_by_stripe(requests: list[Request]) -> int:
    """Return how many of one operation Stripe would refuse: its bucket holds the tokens of one second."""
    refused, tokens, filled_at = 0, float(LIMIT), 0.0
    for start in sorted(each.started_at for each in requests if each.has_slot):
        tokens = min(LIMIT, tokens + (start - filled_at) * LIMIT)
        filled_at = start
        if tokens < 1:
            refused += 1
        else:
            tokens -= 1
    return refused
