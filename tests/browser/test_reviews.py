"""Payments that a person has to look at, and addresses of the confirmation that lead nowhere."""

import re

import pytest
from playwright.async_api import Route, expect

from tests.e2e.harness.control_api import ControlApi
from tests.e2e.harness.system import System

from .conftest import OpenShop
from .harness.purchases import Purchases, until
from .harness.storefront import MUG, Storefront
from .test_purchases import STANDARD


async def test_another_amount_than_agreed(shop: Storefront, purchases: Purchases, system: System) -> None:
    """Stripe received a cent more: no order, one payment to review, and the buyer is told not to pay again."""
    await shop.begin(MUG)
    (checkout,) = await shop.recorder.granted()
    await system.stripe.v1.payment_intents.update_async(checkout.intent_id, {"amount": checkout.amount + 1})
    await shop.pay_with()

    await shop.is_at_confirmation()
    await shop.is_told("person", "charged once", "not pay again", "contact the shop")
    await _is_quarantined(purchases, "amount_mismatch")
    assert await shop.stored_id() is None
    assert await shop.cart() == []


async def test_refunded_before_it_was_recorded(
    shop: Storefront, purchases: Purchases, system: System, control_api: ControlApi
) -> None:
    """The shop refunded the payment at once: no order, and the page asks for no second payment."""
    await shop.begin(MUG)
    (checkout,) = await shop.recorder.granted()
    await control_api.add_webhook_rule(drop=True, count=None)

    async def refund_first(route: Route) -> None:
        await system.stripe.v1.refunds.create_async({"payment_intent": checkout.intent_id})
        await route.continue_()

    await shop.page.route("**/api/orders", refund_first, times=1)
    await shop.pay_with()

    await shop.is_at_confirmation()
    await shop.is_told("not pay again")
    await _is_quarantined(purchases, "refunded")


async def test_the_confirmation_without_a_checkout(shop: Storefront, purchases: Purchases) -> None:
    """The page says that there is nothing to show, and leads to the shop."""
    await shop.open("/order-confirmation")

    await shop.is_told("no checkout", "no money")
    await shop.page.get_by_role("link", name=re.compile("shop", re.IGNORECASE)).last.click()
    await expect(shop.product(MUG)).to_be_visible()
    await purchases.are_none()


@pytest.mark.parametrize("checkout", ["0b8f4e0e-6f5a-4a55-9a3e-6a2f0f1f7c1d", "not-an-id"])
async def test_the_confirmation_of_an_unknown_checkout(shop: Storefront, checkout: str) -> None:
    """An id that nobody knows, or that is none: nothing is shown but a way forward."""
    shop.recorder.expect_status(404, 422)
    await shop.open(f"/order-confirmation?checkout={checkout}")

    await shop.is_told("cannot be shown|no checkout", "no money")


async def test_the_confirmation_of_somebody_else(shop: Storefront, open_shop: OpenShop, purchases: Purchases) -> None:
    """A signed-in user's confirmation shows a guest nothing of it, and shows it to the user after a sign-in."""
    await shop.sign_in()
    await shop.begin(MUG)
    await shop.pay_with()
    await shop.sees_completed()
    order = await purchases.are_one_order(1800 + STANDARD)

    guest = await open_shop()
    guest.recorder.expect_status(404)
    await guest.page.goto(shop.page.url)
    await guest.is_told("cannot be shown", "another account")
    await expect(guest.page.get_by_text(order["number"])).to_have_count(0)

    await guest.page.get_by_role("button", name="Sign in as demo customer").first.click()
    await guest.sees(order["number"])


async def _is_quarantined(purchases: Purchases, reason: str) -> None:
    async def is_decided() -> bool:
        return bool(await purchases.rows("payments"))

    await until(is_decided, "the decision")
    (payment,) = await purchases.rows("payments")
    assert (payment["outcome"], payment["quarantine_reason"]) == ("quarantined", reason)
    assert not await purchases.rows("orders")
    assert len(await purchases.taken()) == 1
