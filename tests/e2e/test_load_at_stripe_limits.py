"""More checkouts than Stripe's limits allow: sixty a second where twenty-five may begin.

The simulator enforces the limits. Times are compared within one run, since other programs may use the machine.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Final

import pytest
import pytest_asyncio

from devstack.stack_options import StackOptions

from .harness.control_api import ControlApi
from .harness.shop import Checkout, Reply, Shop
from .harness.system import System, running_system

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]

OPERATION_LIMIT: Final = 25
OFFERED: Final = 60
"""Checkouts a second."""
POLLS: Final = 20
"""Status polls a second. They retrieve intents, as returns from paying do."""
RETURNS: Final = 8
"""Returns from paying a second: they complete checkouts whose webhooks are lost."""
SECONDS: Final = 20
STEADY_AFTER_SECONDS: Final = 2
STRIPE_SECONDS: Final = 0.2
"""Time that Stripe takes for a request, roughly. The simulator alone would be as fast as our own work is."""
ROUNDS: Final = 3
"""Measurements, of which the best one counts: other programs only make it slower."""
SLOWER_AT_MOST: Final = 1.3
LEAST_A_SECOND: Final = 24
LONGEST_SECONDS: Final = 10.0
HTTP_OK: Final = 200


@dataclass(frozen=True)
class Answer:
    """A reply, with the time that it took and the time since the load began."""

    reply: Reply
    seconds: float
    at: float

    @property
    def is_ok(self) -> bool:
        """True if the request succeeded."""
        return self.reply.status == HTTP_OK


@dataclass(frozen=True)
class Measured:
    """Result of one round."""

    slower: float
    """Time that the slowest hundredth of the returns took under load, over that before."""
    a_second: float
    """Requests of buyers that succeeded, in the steady part of the load."""

    @property
    def is_good(self) -> bool:
        """True if this is as fast as promised."""
        return self.slower <= SLOWER_AT_MOST and self.a_second >= LEAST_A_SECOND


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Run one gateway with Stripe's own limits of operations, straight to the simulator."""
    settings = {
        "STRIPE_OPERATION_REQUESTS_PER_SECOND": str(OPERATION_LIMIT),
        "STRIPE_SHARE": "1",  # no reconciler runs
        "CATALOGUE_REFRESH_SECONDS": "3600",
    }
    options = StackOptions(durable=False, seed=15, settings={"gateway": settings})
    async with running_system(tmp_path_factory.mktemp("holdfast"), options=options) as running:
        yield running


@pytest.mark.parametrize("limit", [100, 25], ids=["live mode", "test mode"])
async def test_fulfilment_is_as_fast_as_ever_while_checkouts_are_refused(system: System, limit: int) -> None:
    """Twenty-four begin each second; the others get a 503 that says when to come back; Stripe refuses nothing.

    In test mode all requests share the account's twenty-five.
    """
    await system.backend.restart("gateway", {"STRIPE_REQUESTS_PER_SECOND": str(limit)})
    rounds: list[Measured] = []
    async with ControlApi(system.backend.addresses.stripe_api) as control_api, system.shop() as shop:
        await control_api.add_webhook_rule(types=["payment_intent.*", "charge.*"], drop=True, count=None)
        while len(rounds) < ROUNDS and not any(each.is_good for each in rounds):
            rounds.append(await _measure(system, shop, control_api, limit))

    assert any(each.is_good for each in rounds), rounds


async def _measure(system: System, shop: Shop, control_api: ControlApi, limit: int) -> Measured:
    await control_api.limit_rates(None, None)
    made = await _checkouts(system, shop, 2 * RETURNS * SECONDS + POLLS)
    returns, polls = iter(made), cycle(made[2 * RETURNS * SECONDS :])
    for each in made[: 2 * RETURNS * SECONDS]:
        await control_api.pay(each.intent_id)
    await control_api.limit_rates(limit, OPERATION_LIMIT)
    latency = await control_api.add_fault(kind="latency_before", seconds=STRIPE_SECONDS, count=None)

    quiet = await _offer(lambda: shop.complete(next(returns)), RETURNS)
    begun, polled, loaded = await asyncio.gather(
        _offer(lambda: shop.initiate(system.cart(mug=1)), OFFERED),
        _offer(lambda: shop.status(next(polls).attempt_id), POLLS),
        _offer(lambda: shop.complete(next(returns)), RETURNS),
    )
    await control_api.remove_fault(latency)

    for name, answers in {"quiet": quiet, "loaded": loaded, "begun": begun, "polled": polled}.items():
        print(limit, name, _summary(answers))  # noqa: T201 — figures for docs/performance.md
    assert all(answer.is_ok for answer in (*quiet, *loaded))
    _check_refusals(begun)
    assert await control_api.refused_by_rate() == {}
    counted = [begun] if limit > OPERATION_LIMIT else [begun, polled, loaded]
    return Measured(_slowest(loaded) / _slowest(quiet), sum(map(_a_second, counted)))


def _check_refusals(begun: Sequence[Answer]) -> None:
    refused = [answer.reply for answer in begun if not answer.is_ok]
    # On a busy machine so many wait for their turn at Stripe that the gateway has no slot for another one.
    assert {(reply.status, reply.problem) for reply in refused} <= {
        (503, "temporarily_unavailable"),
        (503, "overloaded"),
    }
    assert refused
    assert all(1 <= int(reply.headers["Retry-After"]) <= LONGEST_SECONDS for reply in refused)
    assert max(answer.seconds for answer in begun) < LONGEST_SECONDS


async def _checkouts(system: System, shop: Shop, count: int) -> list[Checkout]:
    """Begin checkouts, as fast as the gateway lets them begin."""
    made: list[Checkout] = []
    while len(made) < count:
        replies = await asyncio.gather(*(shop.initiate(system.cart(mug=1)) for _ in range(OPERATION_LIMIT)))
        made += [shop.granted(reply) for reply in replies if reply.status == HTTP_OK]
    return made


async def _offer(request: Callable[[], Awaitable[Reply]], a_second: float) -> list[Answer]:
    """Send requests at a rate, however long each takes."""
    began = time.monotonic()
    sent = []
    for number in range(int(a_second * SECONDS)):
        await asyncio.sleep(began + number / a_second - time.monotonic())
        sent.append(asyncio.create_task(_timed(request(), began)))
    return await asyncio.gather(*sent)


async def _timed(request: Awaitable[Reply], load_began: float) -> Answer:
    began = time.monotonic()
    reply = await request
    ended = time.monotonic()
    return Answer(reply, ended - began, ended - load_began)


def _a_second(answers: Sequence[Answer]) -> float:
    """Return the rate of the successful ones while the load is steady."""
    steady = [answer for answer in answers if answer.is_ok and STEADY_AFTER_SECONDS <= answer.at < SECONDS]
    return len(steady) / (SECONDS - STEADY_AFTER_SECONDS)


def _slowest(answers: Sequence[Answer], share: float = 0.99) -> float:
    """Return the time that one in a hundred exceeds."""
    return sorted(answer.seconds for answer in answers)[int(len(answers) * share) - 1]


def _summary(answers: Sequence[Answer]) -> dict[str, Any]:
    """Return the rate, and the median and slowest hundredth in milliseconds."""
    summary: dict[str, Any] = {"a second": round(_a_second(answers), 2)}
    for name, is_ok in (("ok", True), ("refused", False)):
        some = [answer for answer in answers if answer.is_ok is is_ok]
        if some:
            summary[name] = (len(some), *(round(1000 * _slowest(some, share)) for share in (0.5, 0.99)))
    return summary
