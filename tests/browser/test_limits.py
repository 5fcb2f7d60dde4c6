"""A gateway with a short pay-by, and with rate limits."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from playwright.async_api import expect

from tests.e2e.harness.shop import Checkout
from tests.e2e.harness.system import System

from .conftest import OpenShop
from .harness.purchases import Purchases, until
from .harness.storefront import MUG
from .test_purchases import STANDARD

PAY_BY_SECONDS: Final = 2.0
SHORT: Final = {"PAY_BY_HOURS": str(PAY_BY_SECONDS / 3600)}
LIMITED: Final = {"INITIATE_PER_ADDRESS_PER_MINUTE": "9", "INITIATE_PER_ADDRESS_BURST": "1"}


async def test_an_expired_checkout(open_shop: OpenShop, purchases: Purchases, system: System) -> None:
    """The buyer took too long: the message says that nothing was charged, and a new checkout is paid."""
    async with _gateway_with(system, SHORT):
        shop = await open_shop()
        await shop.begin(MUG)
        (checkout,) = await shop.recorder.granted()
        await until(partial(_has_expired, system, checkout), "the end of the checkout")
    shop.recorder.expect_status(400, 402)
    await shop.pay_with()

    await shop.is_told("expired", "not been charged")
    await purchases.are_none()

    await shop.continue_to_payment()
    await shop.pay_with()
    await shop.sees_completed()
    order = await purchases.are_one_order(1800 + STANDARD)
    assert order["checkout_attempt_id"] != checkout.attempt_id


async def test_too_many_checkouts(open_shop: OpenShop, purchases: Purchases, system: System) -> None:
    """The message says how long to wait, and afterwards the checkout begins."""
    async with _gateway_with(system, LIMITED), system.shop() as neighbour:
        shop = await open_shop()
        shop.recorder.expect_status(429)
        await shop.go_to_checkout(MUG)
        await shop.fill_details()
        await neighbour.initiate(system.cart(mug=1))

        await shop.press_continue()

        await shop.is_told("too many", "not been charged", "wait")
        await shop.sees(r"try again in \d+ s")
        await purchases.are_none()
        await expect(shop.continue_button).to_be_enabled(timeout=20_000)
        await shop.continue_to_payment()
        await shop.pay_with()

        await shop.sees_completed()
        await purchases.are_one_order(1800 + STANDARD)


async def _has_expired(system: System, checkout: Checkout) -> bool:
    async with system.shop() as another_page:
        return str((await another_page.status(checkout.attempt_id)).ok()["status"]) == "expired"


@asynccontextmanager
async def _gateway_with(system: System, settings: Mapping[str, str]) -> AsyncIterator[None]:
    """Restart the gateway with some settings, and as usual afterwards."""
    usual = {name: value for name, value in system.backend.settings_of("gateway").items() if name in settings}
    await system.backend.restart("gateway", settings)
    try:
        yield
    finally:
        await system.backend.restart("gateway", {"PAY_BY_HOURS": "24"} | usual)
