"""One buyer with several tabs: the secrets that they were given, and which of them can still take money."""

import asyncio
import uuid
from typing import Final

from .shop import Cart, Checkout, Reply, Shop
from .system import System

PAYABLE: Final = frozenset({"requires_payment_method", "requires_confirmation", "requires_action"})
"""Statuses of an intent that can still be paid."""


class Buyer:
    """Keeps every checkout that was granted, because a forgotten tab can be paid at any time."""

    def __init__(self, system: System, shop: Shop) -> None:
        self.system = system
        self.shop = shop
        self.granted: list[Checkout] = []
        """In the order of the answers."""

    async def initiate(self, cart: Cart, *, key: str | None = None, door: Shop | None = None) -> Reply:
        """Initiate a checkout with this key, or a fresh one; note it if it is granted."""
        door = door or self.shop
        reply = await door.initiate(cart, idempotency_key=key or str(uuid.uuid4()))
        if reply.body and "clientSecret" in reply.body:
            self.granted.append(door.granted(reply))
        return reply

    async def begin(self, cart: Cart) -> Checkout:
        """Initiate a checkout that must be granted."""
        (await self.initiate(cart)).ok()
        return self.granted[-1]

    async def statuses(self) -> dict[str, str]:
        """Return Stripe's status of every intent whose secret was released, by id."""
        intents = self.system.stripe.v1.payment_intents
        found = await asyncio.gather(*(intents.retrieve_async(each) for each in self.intent_ids))
        return {intent.id: str(intent.status) for intent in found}

    async def payable(self) -> list[str]:
        """Return the released intents that can still be paid."""
        return [intent_id for intent_id, status in (await self.statuses()).items() if status in PAYABLE]

    async def pay_with_every_secret(self) -> list[Checkout]:
        """Try to pay with every secret, the oldest first; return the checkouts whose payment succeeded."""
        for checkout in self.granted:
            await self.shop.pay(checkout)
        statuses = await self.statuses()
        by_intent = {each.intent_id: each for each in self.granted}
        return [each for each in by_intent.values() if statuses[each.intent_id] == "succeeded"]

    @property
    def intent_ids(self) -> list[str]:
        """The intents whose secret was released, without repetition."""
        return list(dict.fromkeys(each.intent_id for each in self.granted))


async def payable_intents(system: System) -> set[str]:
    """Return the newest hundred intents' ids at Stripe that can still be paid, released or not."""
    listed = await system.stripe.v1.payment_intents.list_async({"limit": 100})
    return {intent.id for intent in listed.data if intent.status in PAYABLE}
