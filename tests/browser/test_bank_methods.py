"""Payments that leave the page for a bank, and debits that take days."""

from playwright.async_api import expect

from tests.e2e.harness.control_api import ControlApi

from .harness.purchases import Purchases
from .harness.storefront import MUG, Storefront
from .test_purchases import STANDARD

REDIRECT = "Amazon Pay"
DEBIT = "US bank account"


async def at_the_bank(shop: Storefront) -> None:
    """Pay by a method that leads to the bank's own page."""
    await shop.begin(MUG)
    await shop.choose_method(REDIRECT)
    await shop.pay_button.click()
    await expect(shop.page.get_by_role("button", name="Approve")).to_be_visible()


async def test_an_approved_redirect(shop: Storefront, purchases: Purchases) -> None:
    """The buyer comes back to the confirmation; the address keeps no client secret."""
    await at_the_bank(shop)
    await shop.page.get_by_role("button", name="Approve").click()

    await shop.sees_completed()
    order = await purchases.are_one_order(1800 + STANDARD)
    await shop.sees(order["number"])
    assert "client_secret" not in shop.page.url
    assert order["checkout_attempt_id"] in shop.page.url


async def test_a_refused_redirect(shop: Storefront, purchases: Purchases) -> None:
    """The buyer refuses, is told so, goes back and pays by card with a single order."""
    await at_the_bank(shop)
    shop.recorder.expect_status(409)
    await shop.page.get_by_role("button", name="Refuse").click()

    await shop.is_at_confirmation()
    await shop.is_told("not been charged")
    await purchases.are_none()

    await shop.page.get_by_role("link", name="Back to checkout").click()
    await shop.fill_details()
    await shop.continue_to_payment()
    await shop.pay_with()

    await shop.sees_completed()
    await purchases.are_one_order(1800 + STANDARD)


async def test_going_back_from_the_bank(shop: Storefront, purchases: Purchases) -> None:
    """The buyer leaves the bank's page with the back button and pays by card: one order."""
    await at_the_bank(shop)
    await shop.page.go_back()
    await expect(shop.page).to_have_url(f"{shop.url}/checkout")
    await shop.fill_details()
    await shop.continue_to_payment()
    await shop.pay_with()

    await shop.sees_completed()
    await purchases.are_one_order(1800 + STANDARD)


async def test_a_debit_is_processing_until_the_bank_settles_it(
    shop: Storefront, purchases: Purchases, control_api: ControlApi
) -> None:
    """The buyer is told to wait and not to pay again; when the bank settles, the page shows the order."""
    await shop.begin(MUG)
    await shop.choose_method(DEBIT)
    await shop.pay_button.click()

    await shop.is_at_confirmation()
    await shop.is_told("processed", "do not pay again")
    assert await shop.stored_id() is None
    assert await shop.cart() == []
    await purchases.are_none()

    (checkout,) = await shop.recorder.granted()
    await control_api.settle_debit(checkout.intent_id)

    await shop.sees_completed()
    order = await purchases.are_one_order(1800 + STANDARD)
    assert order["checkout_attempt_id"] == checkout.attempt_id


async def test_a_debit_that_the_bank_refuses(shop: Storefront, purchases: Purchases, control_api: ControlApi) -> None:
    """Days later the debit fails: the page says that nothing was charged, and where to order again."""
    await shop.begin(MUG)
    shop.recorder.expect_status(409)
    await shop.choose_method(DEBIT)
    await shop.pay_button.click()
    await shop.is_told("do not pay again")
    (checkout,) = await shop.recorder.granted()

    await control_api.settle_debit(checkout.intent_id, succeed=False)

    await shop.is_told("failed", "not been charged")
    await expect(shop.page.get_by_role("link", name="Go to the shop")).to_be_visible()
    await purchases.are_none()
