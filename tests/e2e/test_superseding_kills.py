"""A gateway is killed after each step of superseding: nobody pays twice, and nobody is stuck (P3)."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import pytest
import pytest_asyncio

from .conftest import Waiter
from .harness.buyer import Buyer
from .harness.interceptor import Breakpoint
from .harness.outgoing_calls import OutgoingCall as Call
from .harness.shop import Cart, Checkout, Shop
from .harness.system import System
from .test_superseding import STEPS, assert_bought_once

KILLED: Final = "gateway-2"


@dataclass
class CutTab:
    """A tab whose request to supersede a checkout was cut by the kill."""

    buyer: Buyer
    old: Checkout
    key: str
    cart: Cart
    held: Breakpoint
    request: "asyncio.Task[object]"

    async def repeat(self) -> int:
        """Repeat the request; return its status."""
        return (await self.buyer.initiate(self.cart, key=self.key)).status


async def repeat_the_request(tab: CutTab) -> None:
    """Send the request again; the new cart is granted."""
    assert await tab.repeat() == 200


async def pay_the_old_secret(tab: CutTab) -> None:
    """Pay where the buyer was, because no answer came; then send the request again."""
    await tab.buyer.shop.pay(tab.old)

    paid = "succeeded" in (await tab.buyer.statuses()).values()
    assert await tab.repeat() == (409 if paid else 200)


async def go_on_in_the_old_tab(tab: CutTab) -> None:
    """Go back and change the cart again."""
    await tab.buyer.begin(tab.buyer.system.cart(tote=1).superseding(tab.old.attempt_id))


async def go_on_in_the_old_tab_and_repeat(tab: CutTab) -> None:
    """Go back and change the cart again; then the first tab sends its request again."""
    await go_on_in_the_old_tab(tab)

    assert await tab.repeat() in {200, 409}


CONTINUATIONS: Final[tuple[Callable[[CutTab], Awaitable[None]], ...]] = (
    repeat_the_request,
    pay_the_old_secret,
    go_on_in_the_old_tab,
    go_on_in_the_old_tab_and_repeat,
)


@pytest_asyncio.fixture(loop_scope="session")
async def cut_tabs(system: System, shop: Shop, request: pytest.FixtureRequest) -> AsyncIterator[list[CutTab]]:
    """Hold one request for each continuation after the same step, and kill the gateway."""
    step: Call = request.param
    async with system.shop(gateway=1) as door:
        tabs = [await cut_after(step, Buyer(system, shop), door) for _ in CONTINUATIONS]
        await system.backend.kill(KILLED)
        for tab in tabs:
            tab.held.drop()
        await asyncio.gather(*(tab.request for tab in tabs), return_exceptions=True)
    try:
        yield tabs
    finally:
        await system.backend.start(KILLED)


@pytest.mark.parametrize(
    "cut_tabs",
    [pytest.param(step, id=step.name, marks=[] if step is Call.CLOSE_ATTEMPT else pytest.mark.long) for step in STEPS],
    indirect=True,
)
async def test_p3_a_kill_after_any_step_of_superseding_harms_nobody(cut_tabs: list[CutTab], settled: Waiter) -> None:
    """However the buyer goes on, all their secrets together make one purchase."""
    assert all(tab.request.exception() for tab in cut_tabs)

    for tab, go_on in zip(cut_tabs, CONTINUATIONS, strict=True):
        await go_on(tab)

        assert len(await tab.buyer.payable()) <= 1, go_on.__name__
        await assert_bought_once(tab.buyer, settled)


async def cut_after(step: Call, buyer: Buyer, door: Shop) -> CutTab:
    """Send a request that supersedes a checkout, and hold the answer of one of its steps."""
    old = await buyer.begin(buyer.system.cart(mug=1))
    held = buyer.system.proxies.break_after(step)
    key, cart = str(uuid.uuid4()), buyer.system.cart(mug=2).superseding(old.attempt_id)
    request = asyncio.create_task(door.initiate(cart, idempotency_key=key))
    await held.hit()
    return CutTab(buyer, old, key, cart, held, request)
