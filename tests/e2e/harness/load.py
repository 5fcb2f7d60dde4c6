"""Many purchases at once, with the times at which each was under way.

Times are of the monotonic clock, which all processes of one Linux machine share.
"""

import random
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from .control_api import ControlApi
from .products import run_concurrently
from .shop import Cart, Checkout, Reply, Shop
from .system import System

Answer = TypeVar("Answer")

_TRY_AGAIN = 503


@dataclass(frozen=True)
class Span:
    """Begin and end in seconds."""

    began: float
    ended: float


@dataclass(frozen=True)
class Buyer:
    """A cart to buy; the browser may return to another gateway than it began at."""

    cart: Cart
    begins_at: Shop
    returns_to: Shop


@dataclass(frozen=True)
class Purchase:
    """A purchase as its buyer saw it."""

    buyer: Buyer
    checkout: Checkout
    reply: Reply
    """The answer to the returning browser."""
    returned: Span


@dataclass(frozen=True)
class Reports:
    """Stripe's reports of the payments."""

    spans: Mapping[str, Sequence[Span]]
    """The first attempt of every delivery, by intent id."""
    answers: Counter[int | None]
    """The statuses of all attempts."""

    def overlapping(self, purchases: Iterable[Purchase], *, with_browser: bool = False) -> int:
        """Count the payments that both gateways, or both and the browser, reported at the same moment."""
        return sum(
            _overlap([*self.spans[each.checkout.intent_id], *([each.returned] if with_browser else [])])
            for each in purchases
        )


@asynccontextmanager
async def open_shops(system: System, user_ids: Iterable[str | None]) -> AsyncIterator[list[tuple[Shop, Shop]]]:
    """Open a shop at each of the two gateways for each user; None is a guest."""
    async with AsyncExitStack() as opened:
        yield [
            (
                await opened.enter_async_context(system.shop(user_id=user_id)),
                await opened.enter_async_context(system.shop(user_id=user_id, gateway=1)),
            )
            for user_id in user_ids
        ]


def buyers_of_distinct_sums(
    dice: random.Random,
    shops: Sequence[tuple[Shop, Shop]],
    random_cart: Callable[[], Cart],
    sum_of: Callable[[Cart], int],
    count: int,
) -> Iterator[Buyer]:
    """Yield buyers whose carts all come to different sums; half of them return to another gateway."""
    seen: set[int] = set()
    while len(seen) < count:
        cart = random_cart()
        if sum_of(cart) not in seen:
            seen.add(sum_of(cart))
            of_one_user = dice.choice(shops)
            yield Buyer(cart, begins_at=dice.choice(of_one_user), returns_to=dice.choice(of_one_user))


async def buy_all(buyers: Iterable[Buyer], *, at_once: int, tries: int = 1) -> list[Purchase]:
    """Let buyers buy, `at_once` at a time; the browser returns as soon as Stripe has the money.

    A buyer who is answered 503 repeats the request, `tries` times in all.
    """
    return await run_concurrently([partial(_buy, buyer, tries) for buyer in buyers], at_once=at_once)


async def reports_of(control_api: ControlApi, purchases: Iterable[Purchase]) -> Reports:
    """Return Stripe's reports of these purchases."""
    intent_ids = {purchase.checkout.intent_id for purchase in purchases}
    spans, answers = defaultdict[str, list[Span]](list), Counter[int | None]()
    for each in await control_api.delivery_attempts(event_type="payment_intent.succeeded"):
        if each["object_id"] in intent_ids:
            answers[each["status"]] += 1
            if each["number"] == 1:
                spans[each["object_id"]].append(Span(each["started_monotonic"], each["finished_monotonic"]))
    return Reports(spans, answers)


def _overlap(spans: Sequence[Span]) -> bool:
    """Return True if there was a moment at which all of these were under way."""
    return max(span.began for span in spans) < min(span.ended for span in spans)


async def _buy(buyer: Buyer, tries: int) -> Purchase:
    checkout = buyer.begins_at.granted(await _initiate(buyer, tries))
    (await buyer.begins_at.pay(checkout)).ok()
    reply, returned = await _timed(buyer.returns_to.complete(checkout))
    return Purchase(buyer, checkout, reply, returned)


async def _initiate(buyer: Buyer, tries: int) -> Reply:
    key = str(uuid.uuid4())
    reply = await buyer.begins_at.initiate(buyer.cart, idempotency_key=key)
    for _ in range(tries - 1):
        if reply.status != _TRY_AGAIN:
            break
        reply = await buyer.begins_at.initiate(buyer.cart, idempotency_key=key)
    return reply


async def _timed(call: Awaitable[Answer]) -> tuple[Answer, Span]:
    began = time.monotonic()
    answer = await call
    return answer, Span(began, time.monotonic())
