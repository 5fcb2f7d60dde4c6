"""Purchases at published ports: carts by product, and waits as a browser waits."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final

import aiohttp

from tests.e2e.harness.shop import Cart, Checkout, Line, Reply, Shop

_OK: Final = 200


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
