"""Buyers who come at a steady rate, however long each is served, and all that was answered to them."""

import asyncio
import os
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import aiohttp

from .shop import Cart, Reply, Shop

CHECKOUTS_A_SECOND: Final = float(os.environ.get("CHECKOUTS_A_SECOND", "10"))
"""Stripe allows 25 by default; two cores that do other work meanwhile bear less."""
_ANSWER_SECONDS: Final = 10.0
_HTTP_OK: Final = 200


@dataclass(frozen=True)
class Request:
    """One request of a buyer to the gateway. None is repeated, so that each that fails is seen."""

    kind: str
    began: float
    """In seconds of the monotonic clock."""
    seconds: float
    outcome: str
    """Status, with the problem if there is one, or the name of an exception."""
    is_ok: bool


@dataclass
class Load:
    """Requests and payments of the buyers."""

    requests: list[Request] = field(default_factory=list)
    paid: set[str] = field(default_factory=set)
    """Ids of the intents that Stripe has the money of."""

    @property
    def failed(self) -> list[Request]:
        """The requests that failed."""
        return [each for each in self.requests if not each.is_ok]


def summary(requests: Sequence[Request]) -> dict[str, Any]:
    """Return how often each outcome occurred, and the median and slowest hundredth of the successes in milliseconds."""
    seconds = sorted(each.seconds for each in requests if each.is_ok)
    return {
        **Counter(f"{each.kind} {each.outcome}" for each in requests),
        "ms": [round(1000 * seconds[int(len(seconds) * share)]) for share in (0.5, 0.99)] if seconds else [],
    }


async def buy_steadily(shop: Shop, cart: Callable[[], Cart], a_second: float, until: asyncio.Event) -> Load:
    """Let buyers come at a rate until the event is set, and wait until all of them are served."""
    load, began = Load(), time.monotonic()
    async with asyncio.TaskGroup() as buyers:
        for number in count():
            await asyncio.sleep(began + number / a_second - time.monotonic())
            if until.is_set():
                break
            buyers.create_task(_buy(shop, cart(), load))
    return load


async def _buy(shop: Shop, cart: Cart, load: Load) -> None:
    """Begin a checkout, pay, return from Stripe, and look at the confirmation."""
    granted = await _send("initiate", shop.initiate(cart, idempotency_key=str(uuid.uuid4())), load)
    if granted is None:
        return
    checkout = shop.granted(granted)
    (await shop.pay(checkout)).ok()
    load.paid.add(checkout.intent_id)
    await _send("complete", shop.complete(checkout), load)
    await _send("status", shop.status(checkout.attempt_id), load)


async def _send(kind: str, request: Awaitable[Reply], load: Load) -> Reply | None:
    """Send a request and note its outcome; return the reply if it is a success."""
    began, reply = time.monotonic(), None
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reply = await request
        outcome = f"{reply.status} {reply.problem}".rstrip()
    except (aiohttp.ClientError, TimeoutError) as failure:
        outcome = type(failure).__name__
    is_ok = reply is not None and reply.status == _HTTP_OK
    load.requests.append(Request(kind, began, time.monotonic() - began, outcome, is_ok))
    return reply if is_ok else None
