"""Many purchases at once, each with a note of when it did what.

Times are of the monotonic clock, which all processes of one Linux machine share.
"""

import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from .knobs import Knobs
from .shop import Cart, Checkout, Reply, Shop
from .wares import few_at_once

Answer = TypeVar("Answer")

_TRY_AGAIN = 503


@dataclass(frozen=True)
class Span:
    """When something began and ended, in seconds."""

    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began


@dataclass(frozen=True)
class Buyer:
    """Somebody about to buy, who need not come back to the gateway that began the checkout."""

    cart: Cart
    begins_at: Shop
    returns_to: Shop


@dataclass(frozen=True)
class Purchase:
    """A purchase as its buyer saw it."""

    buyer: Buyer
    checkout: Checkout
    reply: Reply
    """What the browser was answered when it came back."""
    initiate: Span
    come_back: Span


@dataclass(frozen=True)
class Reports:
    """How Stripe reported payments."""

    spans: Mapping[str, Sequence[Span]]
    """By intent id, the first try of every delivery."""
    answers: Counter[int | None]
    """What all tries were answered."""


async def rush(buyers: Iterable[Buyer], *, at_once: int, tries: int = 1) -> list[Purchase]:
    """Let buyers buy, so many at a time, each coming back as soon as Stripe has the money.

    A buyer who is asked to try again later (503) does so, this many times in all.
    """
    return await few_at_once([partial(_buy, buyer, tries) for buyer in buyers], at_once=at_once)


async def reports_of(knobs: Knobs, purchases: Iterable[Purchase]) -> Reports:
    """Return how Stripe reported the payments of these purchases."""
    ours = {purchase.checkout.intent_id for purchase in purchases}
    spans, answers = defaultdict[str, list[Span]](list), Counter[int | None]()
    for each in await knobs.delivery_attempts(event_type="payment_intent.succeeded"):
        if each["object_id"] in ours:
            answers[each["status"]] += 1
            if each["number"] == 1:
                spans[each["object_id"]].append(Span(each["started_monotonic"], each["finished_monotonic"]))
    return Reports(spans, answers)


def overlap(spans: Sequence[Span]) -> bool:
    """Whether there was a moment at which all of these were under way."""
    return max(span.began for span in spans) < min(span.ended for span in spans)


async def _buy(buyer: Buyer, tries: int) -> Purchase:
    granted, initiate = await _timed(_asked(buyer, tries))
    checkout = buyer.begins_at.opened(granted)
    (await buyer.begins_at.pay(checkout)).ok()
    reply, come_back = await _timed(buyer.returns_to.come_back(checkout))
    return Purchase(buyer, checkout, reply, initiate, come_back)


async def _asked(buyer: Buyer, tries: int) -> Reply:
    """Ask for the checkout; more than once, if at all, as the same request."""
    key = str(uuid.uuid4()) if tries > 1 else None
    for _ in range(tries - 1):
        reply = await buyer.begins_at.initiate(buyer.cart, idempotency_key=key)
        if reply.status != _TRY_AGAIN:
            return reply
    return await buyer.begins_at.initiate(buyer.cart, idempotency_key=key)


async def _timed(call: Awaitable[Answer]) -> tuple[Answer, Span]:
    began = time.monotonic()
    answer = await call
    return answer, Span(began, time.monotonic())
