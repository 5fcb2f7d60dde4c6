"""One cart in two tabs."""

import pytest
from playwright.async_api import expect

from tests.e2e.harness.control_api import ControlApi

from .harness.purchases import Purchases
from .harness.storefront import MUG, NOTEBOOK, Storefront
from .test_purchases import STANDARD


@pytest.mark.quick
async def test_a_second_tab_replaces_the_first_checkout(shop: Storefront, purchases: Purchases) -> None:
    """The first tab's checkout can be paid no more, and it says so; the second tab pays once."""
    await shop.begin(MUG)
    second = await shop.another_tab("/checkout")
    await second.fill_details()
    await second.continue_to_payment()

    await shop.is_told("replaced", "not been charged")
    await expect(shop.card_number).to_have_count(0)
    await second.pay_with()

    await second.sees_completed()
    order = await purchases.are_one_order(1800 + STANDARD)
    first_checkout, second_checkout = await shop.recorder.granted()
    assert order["checkout_attempt_id"] == second_checkout.attempt_id != first_checkout.attempt_id


async def test_a_deaf_tab_cannot_pay_a_replaced_checkout(shop: Storefront, purchases: Purchases) -> None:
    """A tab that hears nothing of the other still shows its form: Stripe refuses, and the message says why."""
    await shop.page.context.add_init_script("delete globalThis.BroadcastChannel")
    await shop.page.reload()
    await shop.begin(MUG)
    second = await shop.another_tab("/checkout")
    await second.fill_details()
    await second.continue_to_payment()
    shop.recorder.expect_status(400, 402)

    await shop.pay_with()

    await shop.is_told("replaced", "not been charged")
    await purchases.are_none()

    await second.pay_with()
    await second.sees_completed()
    await purchases.are_one_order(1800 + STANDARD)


async def test_paid_in_the_other_tab(shop: Storefront, purchases: Purchases) -> None:
    """The second tab has paid: the first one takes no more money and leads to the confirmation."""
    await shop.begin(MUG)
    second = await shop.another_tab("/checkout")
    await second.fill_details()
    await second.continue_to_payment()
    await second.pay_with()
    await second.sees_completed()
    await purchases.are_one_order(1800 + STANDARD)

    await shop.is_told("placed already", "not charged for it again")
    await shop.page.get_by_role("link", name="confirmation").click()
    await shop.sees_completed()
    await purchases.are_one_order(1800 + STANDARD)


async def test_a_tab_that_was_closed_while_it_paid(
    shop: Storefront, purchases: Purchases, control_api: ControlApi
) -> None:
    """The bank approves later. The shop in another tab finds the cart paid, and begins nothing."""
    await shop.begin(MUG)
    (checkout,) = await shop.recorder.granted()
    second = await shop.another_tab()
    await shop.page.close()
    await control_api.pay(checkout.intent_id)

    await second.open("/checkout")

    await second.is_told("placed already", "not charged for it again")
    await second.page.get_by_role("link", name="confirmation").click()
    await second.sees_completed()
    assert await second.cart() == []
    await purchases.are_one_order(1800 + STANDARD)


async def test_what_was_paid_elsewhere_is_not_paid_again(
    shop: Storefront, purchases: Purchases, control_api: ControlApi
) -> None:
    """The checkout was paid on another page: Stripe refuses the second payment, and the message says it is paid."""
    await shop.begin(MUG)
    (checkout,) = await shop.recorder.granted()
    await control_api.pay(checkout.intent_id)
    await purchases.are_one_order(1800 + STANDARD)
    shop.recorder.expect_status(400, 409)

    await shop.pay_with()

    await shop.is_told("placed already", "not charged for it again")
    await expect(shop.pay_button).to_have_count(0)
    await purchases.are_one_order(1800 + STANDARD)


async def test_a_changed_cart_replaces_the_checkout(shop: Storefront, purchases: Purchases) -> None:
    """The buyer edits, adds to the cart, and pays the new sum: one order, over what was shown last."""
    await shop.begin(MUG)
    await shop.page.get_by_role("button", name="Edit details").click()
    await shop.open()
    await shop.add_to_cart(NOTEBOOK)
    await shop.open("/checkout")
    await shop.fill_details()
    await shop.continue_to_payment()
    await shop.sees(r"\$32\.50")
    await shop.pay_with()

    await shop.sees_completed()
    await purchases.are_one_order(1800 + 950 + STANDARD)


async def test_editing_without_a_change_keeps_the_checkout(shop: Storefront, purchases: Purchases) -> None:
    """The buyer looks at the details and continues: the same checkout, the same intent."""
    await shop.begin(MUG)
    await shop.page.get_by_role("button", name="Edit details").click()
    await shop.continue_to_payment()

    assert len({each.attempt_id for each in await shop.recorder.granted()}) == 1
    await shop.pay_with()
    await shop.sees_completed()
    await purchases.are_one_order(1800 + STANDARD)
