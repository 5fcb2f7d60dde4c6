"""Prices and products that change while a buyer has them in the cart."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import expect

from tests.e2e.harness.products import BillingInterval, Price, Product, create_prices, until_on_sale
from tests.e2e.harness.system import System

from .conftest import OpenShop
from .harness.purchases import Purchases
from .harness.storefront import MUG, Storefront
from .test_purchases import STANDARD


async def test_the_price_has_changed(open_shop: OpenShop, purchases: Purchases, system: System) -> None:
    """The trial is gone, so something is due today: the new sum is shown before anything is paid."""
    table = Product("Tide table", {"usd": 700}, billing=BillingInterval("month", trial_days=7))
    async with _on_sale(system, table) as price:
        shop = await open_shop()
        await shop.go_to_checkout("Tide table")
        await shop.fill_details()
        await system.stripe.v1.prices.update_async(price.id, {"metadata": {"trial_days": "0"}})
        await _until_catalogue(system, lambda items: items[price.id]["recurring"]["trialDays"] == 0)
        await shop.press_continue()

        await shop.is_told("price has changed", "not been charged")
        await shop.sees(r"\$7\.00")
        await purchases.are_none()

        await shop.pay_with()
        await shop.sees_completed()
        await purchases.are_only_subscriptions({"active": 1})


async def test_an_item_is_gone(open_shop: OpenShop, purchases: Purchases, system: System) -> None:
    """The shop stopped selling it: the message says so, and the rest of the cart can be bought."""
    async with _on_sale(system, Product("Signal flag", {"usd": 1100})) as price:
        shop = await open_shop()
        await shop.go_to_checkout("Signal flag", MUG)
        await shop.fill_details()
        shop.recorder.expect_status(409)
        await system.stripe.v1.prices.update_async(price.id, {"active": False})
        await _until_catalogue(system, lambda items: price.id not in items)
        await shop.press_continue()

        await shop.is_told("not on sale any more", "not been charged")
        await purchases.are_none()
        await shop.is_told("no longer on sale: Signal flag")
        await shop.page.get_by_role("button", name="Take it out").click()
        await shop.continue_to_payment()
        await shop.pay_with()

        await shop.sees_completed()
        await purchases.are_one_order(1800 + STANDARD)


async def test_a_subscription_that_cannot_begin_is_told_until_it_was_mended(
    open_shop: OpenShop, purchases: Purchases, system: System
) -> None:
    """The price is taken back while the buyer pays: nobody asks for money again, and the mended one is shown."""
    async with _on_sale(system, Product("Star chart", {"usd": 900}, billing=BillingInterval("month"))) as price:
        shop = await open_shop()
        await shop.begin("Star chart")
        await system.stripe.v1.prices.update_async(price.id, {"active": False})
        await shop.pay_with()

        await shop.is_told("needs attention", "not been charged")
        (row,) = await purchases.are_only_subscriptions({"activation_failed": 1})
        await expect(shop.card_number).to_be_hidden()

        await system.stripe.v1.prices.update_async(price.id, {"active": True})
        await system.rpc.retry_activation(str(row["id"]))
        await shop.page.reload()
        await shop.sees("being set up")


async def test_the_shop_cannot_be_read(shop: Storefront) -> None:
    """The catalogue does not load: the page says so and tries again when asked."""
    shop.recorder.expect("net::ERR_CONNECTION_RESET")
    await shop.page.route("**/api/catalog", lambda route: route.abort("connectionreset"))
    await shop.page.reload()
    await shop.is_told("did not load")
    await shop.page.unroute("**/api/catalog")

    await shop.page.get_by_role("button", name="Try again").click()
    await expect(shop.product(MUG)).to_be_visible()


@asynccontextmanager
async def _on_sale(system: System, product: Product) -> AsyncIterator[Price]:
    (price,) = await create_prices(system.stripe, [product])
    async with system.shop() as gateway:
        await until_on_sale([gateway], [price])
    yield price
    await system.stripe.v1.prices.update_async(price.id, {"active": False})
    await _until_catalogue(system, lambda items: price.id not in items)


async def _until_catalogue(system: System, shows: Callable[[Mapping[str, Any]], bool]) -> None:
    """Wait until the gateway has read Stripe's prices again, and shows this."""
    async with system.shop() as gateway, asyncio.timeout(20):
        while not shows({item["priceId"]: item for item in (await gateway.catalogue()).ok()["items"]}):  # noqa: ASYNC110 — polls a server
            await asyncio.sleep(0.1)
