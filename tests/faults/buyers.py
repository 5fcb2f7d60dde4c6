"""Buyers: what their browsers send, again and again until they get an answer, and what they pay."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import stripe

from tests.e2e.harness.shop import Cart, Reply, Shop

from .faulty_system import GATEWAYS, FaultySystem
from .history import BuyerHistory, Granted, History
from .plan import ONCE, Fate

_REPEAT_SECONDS: Final = 40.0
"""Time for which a browser repeats a request."""
_CARD: Final = "pm_card_visa"
_DECLINED_CARD: Final = "pm_card_chargeDeclined"
_CHALLENGED_CARD: Final = "pm_card_threeDSecure2Required"
_BANK_DEBIT: Final = "pm_usBankAccount"
_OK: Final = 200
_REPEATED: Final = frozenset({429, 502, 503, 504})
"""Statuses after which a browser repeats its request."""
_ENDED: Final = frozenset({404, 409, 422})
"""Statuses that say why it cannot go on."""
_BEGIN_AFRESH: Final = frozenset({"checkout_not_found", "attempt_closed"})
_AT_THE_BANK: Final = "processing"


class CannotGoOn(Exception):
    """The buyer gives up: the shop did not answer for long, or refuses."""

    def __init__(self, problem: str = "") -> None:
        super().__init__(problem)
        self.problem = problem


@dataclass(frozen=True)
class Door:
    """The shop at one of the gateways."""

    shop: Shop
    gateway: int


class Buyer:
    """One buyer, with the fate that the plan gave them."""

    def __init__(self, faulty: FaultySystem, history: History, buyer: BuyerHistory) -> None:
        self._faulty, self._system, self._control_api = faulty, faulty.system, faulty.control_api
        self._history, self._buyer, self._plan = history, buyer, buyer.plan
        self._rng = buyer.plan.rng
        self._doors: list[Door] = []
        self._chain = 0

    async def run(self) -> None:
        """Do what the plan says, as far as the faults let it."""
        numbers = range(len(GATEWAYS))
        shops = [self._system.shop(user_id=self._plan.user_id, gateway=number) for number in numbers]
        self._doors = [Door(shop, number) for shop, number in zip(shops, numbers, strict=True)]
        try:
            with suppress(CannotGoOn):  # what they left must be resolved
                await self._buy()
        finally:
            for shop in shops:
                await shop.close()

    async def _buy(self) -> None:
        checkouts = await self._begin_all()
        newest = checkouts[-1]
        match self._plan.fate:
            case Fate.ABANDONED | Fate.SUPERSEDED_AND_LEFT:
                await self._look(newest)
                return
            case Fate.DECLINED:
                await self._pay(newest, _DECLINED_CARD)
                await self._look(newest)
                return
            case Fate.TWO_TABS:
                await asyncio.gather(*(self._pay(each, _CARD) for each in checkouts))
            case Fate.PAID_AFTER_DECLINE:
                await self._pay(newest, _DECLINED_CARD)
                await self._pay(newest, _CARD)
            case Fate.CHALLENGED:
                await self._pay_with_challenge(newest)
            case Fate.DEBITED | Fate.DEBIT_FAILED:
                await self._pay_by_debit(newest)
            case Fate.AMOUNT_CHANGED:
                await self._change_amount(newest)
                await self._pay(newest, _CARD)
            case _:
                await self._pay(newest, _CARD)
        await self._return(newest)
        if self._plan.fate in {Fate.REFUNDED, Fate.REFUNDED_IN_PART}:
            await self._refund(newest)

    async def _begin_all(self) -> list[Granted]:
        """Begin a checkout and those that supersede it."""
        first = self._cart(0)
        if self._plan.fate is Fate.REPEATED:
            key = self._key()
            granted = list(await asyncio.gather(*(self._begin(first, key) for _ in range(2))))
        else:
            granted = [await self._begin(first, self._key())]
        for number in range(1, len(self._plan.carts)):
            await self._pause()
            granted.append(await self._supersede(granted[-1], number))
        return granted

    async def _supersede(self, old: Granted, number: int) -> Granted:
        """Replace a checkout; begin afresh if the shop does not know it any more."""
        try:
            return await self._begin(self._cart(number).superseding(old.attempt_id), self._key())
        except CannotGoOn as refusal:
            if refusal.problem not in _BEGIN_AFRESH:
                raise
            self._chain += 1
            return await self._begin(self._cart(number), self._key())

    async def _begin(self, cart: Cart, key: str) -> Granted:
        """Initiate a checkout with a key, and note it when it is granted."""
        asked_at, chain = time.time(), self._chain
        door, reply = await self._ask("initiate", lambda door: door.shop.initiate(cart, idempotency_key=key))
        if reply.status != _OK:
            raise CannotGoOn(reply.problem)
        checkout = door.shop.granted(reply)
        quantities = {line.price_id: line.quantity for line in cart.lines}
        granted = Granted(
            attempt_id=checkout.attempt_id,
            intent_id=checkout.intent_id,
            amount=checkout.amount,
            currency=checkout.currency,
            quantities=quantities,
            chain=chain,
            gateway=door.gateway,
            asked_at=asked_at,
            granted_at=time.time(),
        )
        self._buyer.granted.append(granted)
        return granted

    async def _pay(self, checkout: Granted, method: str) -> str:
        """Confirm the intent at Stripe; return its status."""
        await self._pause()
        return str((await self._control_api.pay(checkout.intent_id, payment_method=method))["status"])

    async def _pay_with_challenge(self, checkout: Granted) -> None:
        if await self._pay(checkout, _CHALLENGED_CARD) == "requires_action":
            await self._pause()
            await _unless_refused(self._control_api.pass_challenge(checkout.intent_id))

    async def _pay_by_debit(self, checkout: Granted) -> None:
        """Pay by a debit that stays at the bank for a while."""
        if await self._pay(checkout, _BANK_DEBIT) != _AT_THE_BANK:
            return
        await self._return(checkout)
        await asyncio.sleep(self._rng.uniform(1.0, 6.0))
        succeed = self._plan.fate is Fate.DEBITED
        await _unless_refused(self._control_api.settle_debit(checkout.intent_id, succeed=succeed))

    async def _return(self, checkout: Granted) -> None:
        """Complete the checkout, like a browser that returns from Stripe; some buyers close it."""
        if not (self._plan.returns and self._faulty.plan.browsers):
            return
        await self._ask("complete", lambda door: complete(door.shop, checkout))

    async def _look(self, checkout: Granted) -> None:
        """Read the checkout's status."""
        if self._plan.returns and self._faulty.plan.browsers:
            await self._ask("status", lambda door: door.shop.status(checkout.attempt_id))

    async def _refund(self, checkout: Granted) -> None:
        """Give the money back, all of it or half, as the merchant does in the Dashboard."""
        await asyncio.sleep(self._rng.choice([0.0, self._rng.uniform(2.0, 10.0)]))  # before or after the decision
        amount = checkout.amount if self._plan.fate is Fate.REFUNDED else checkout.amount // 2
        refunds = self._system.stripe.v1.refunds
        await self._at_stripe(lambda: refunds.create_async({"payment_intent": checkout.intent_id, "amount": amount}))

    async def _change_amount(self, checkout: Granted) -> None:
        """Ask for less than the order costs, as nobody but a program with the secret key can."""
        intents, amount = self._system.stripe.v1.payment_intents, checkout.amount - 100
        await self._at_stripe(lambda: intents.update_async(checkout.intent_id, {"amount": amount}))

    async def _at_stripe(self, call: Callable[[], Awaitable[Any]]) -> None:
        """Act as the merchant, again until Stripe answers; it refuses what is not possible, or was done already."""
        deadline = time.monotonic() + _REPEAT_SECONDS
        while time.monotonic() < deadline:
            try:
                await call()
            except stripe.InvalidRequestError:
                return
            except (stripe.StripeError, aiohttp.ClientError, AttributeError):  # also an answer that is no object
                await self._pause()
            else:
                return

    async def _ask(self, name: str, send: Callable[[Door], Awaitable[Reply]]) -> tuple[Door, Reply]:
        """Send a request until it is answered, at any gateway; note the answer."""
        deadline = time.monotonic() + _REPEAT_SECONDS
        while time.monotonic() < deadline:
            door = self._rng.choice(self._doors)
            try:
                reply = await send(door)
            except (aiohttp.ClientError, TimeoutError):
                self._history.answers[f"{name}: none"] += 1
            else:
                self._history.answers[f"{name}: {reply.status} {reply.problem}".strip()] += 1
                if reply.status < 300 or reply.status in _ENDED:
                    return door, reply
                if reply.status not in _REPEATED:
                    self._history.wrong_answers.append(f"{name} was answered {reply.status}")
                    raise CannotGoOn(reply.problem)
            await asyncio.sleep(self._rng.uniform(0.1, 0.8))
        raise CannotGoOn

    async def _pause(self) -> None:
        await asyncio.sleep(self._rng.uniform(0.0, 0.5))

    def _cart(self, number: int) -> Cart:
        quantities = self._plan.carts[number]
        cart = self._system.cart(**quantities)
        shipped = any(product in ONCE for product in quantities)
        return cart if shipped else Cart(cart.lines)

    def _key(self) -> str:
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))


async def complete(shop: Shop, checkout: Granted) -> Reply:
    """POST orders for a granted checkout."""
    kind = "setupIntentId" if checkout.intent_id.startswith("seti_") else "paymentIntentId"
    body = {"checkoutAttemptId": checkout.attempt_id, kind: checkout.intent_id}
    return await shop.request("POST", "/api/orders", json=body)


async def _unless_refused(call: Awaitable[Any]) -> None:
    """Let the bank act, unless the intent has moved on meanwhile."""
    with suppress(AssertionError):
        await call
