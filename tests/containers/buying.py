"""Purchases at published ports: carts by product, and waits as a browser waits."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

import aiohttp

from tests.e2e.harness.shop import Cart, Checkout, Line, Reply, Shop

from .compose_project import PUBLISHABLE_KEY

BALANCED: Final = ("checkout-session", "orders", "payments-gateway")
"""Services of which each replica has answered when purchases were made at each gateway."""
ACCESS_LINE: Final = '"logger": "access"'
"""Part of a service's log line of a call that it has answered."""
_KINDS: Final = {"order": ("mug",), "subscription": ("coffee",), "both": ("mug", "coffee", "almanac")}
_OK: Final = 200


async def buy_at_each(gateways: Sequence[str], stripe_api: str) -> None:
    """Buy one of each kind at each of two gateways, and see the purchase at the other. Raises AssertionError."""
    async with AsyncExitStack() as stack:
        first, second = [
            await stack.enter_async_context(
                Shop(gateway=gateway, stripe_api=stripe_api, publishable_key=PUBLISHABLE_KEY, jwt_secret="")
            )
            for gateway in gateways
        ]
        for here, there in ((first, second), (second, first)):
            await _until_stocked(here)
            for kind, slugs in _KINDS.items():
                checkout = await buy(here, await cart_of(here, *slugs))
                purchase = await until_completed(there, checkout.attempt_id)
                assert (purchase["order"] is not None) == (kind != "subscription")
                statuses = {each["status"] for each in purchase["subscriptions"]}
                assert statuses == (set() if kind == "order" else {"active"})


async def _until_stocked(shop: Shop) -> None:
    """Wait until a gateway sells everything: it may have read the shop while the simulator was filling it."""
    wanted = {f"holdfast_{slug}" for slugs in _KINDS.values() for slug in slugs}

    async def stocked() -> Reply | None:
        reply = await shop.catalogue()
        sold = {item["productId"] for item in reply.body["items"]} if reply.status == _OK else set()
        return reply if wanted <= sold and reply.body["shippingOptions"] else None

    await until(stocked)


async def cart_of(shop: Shop, *slugs: str) -> Cart:
    """Return a cart of products with the cheapest shipping option, if it is shipped."""
    catalogue = (await shop.catalogue()).ok()
    on_sale = {item["productId"]: item for item in catalogue["items"]}
    chosen = [on_sale[f"holdfast_{slug}"] for slug in slugs]
    shipped = any(item["type"] == "one_time" for item in chosen)
    option = min(catalogue["shippingOptions"], key=lambda each: each["amount"])["id"]
    return Cart([Line(item["priceId"]) for item in chosen], shipping_option_id=option if shipped else None)


async def buy(shop: Shop, cart: Cart) -> Checkout:
    """Buy one cart; repeat failed requests with the same idempotency key."""
    key = str(uuid.uuid4())

    async def granted() -> Reply | None:
        reply = await shop.initiate(cart, idempotency_key=key)
        return None if reply.status >= 500 else reply

    checkout = shop.granted(await until(granted))
    (await shop.pay(checkout)).ok()
    return checkout


async def until(found: Callable[[], Awaitable[Reply | None]], *, seconds: float = 120) -> Reply:
    """Repeat a request until it succeeds, as a browser does while a service is unavailable."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                if (reply := await found()) is not None:
                    return reply
            except (aiohttp.ClientError, ConnectionError):
                pass
            await asyncio.sleep(0.1)


async def until_completed(shop: Shop, attempt_id: str) -> Any:
    """Wait until a checkout is completed and no subscription is pending; return its purchase."""

    async def completed() -> Reply | None:
        reply = await shop.status(attempt_id)
        if reply.status != _OK or reply.body["status"] != "completed":
            return None
        return None if any(each["status"] == "pending" for each in reply.body["purchase"]["subscriptions"]) else reply

    return (await until(completed)).body["purchase"]
