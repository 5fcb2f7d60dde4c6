"""Purchases that go well: each cart, as a guest and signed in, by card and by wallet."""

from typing import Final

import pytest

from .harness.purchases import Purchases
from .harness.storefront import ALMANAC, COFFEE, GAZETTE, MUG, NOTEBOOK, Storefront

STANDARD: Final = 500
"""Shipping, in cents."""


@pytest.mark.quick
async def test_a_guest_buys_in_three_clicks(shop: Storefront, purchases: Purchases) -> None:
    """Buy now, continue, pay: the test data is filled in, and the confirmation shows the order."""
    await shop.sees(MUG, r"\$18\.00", COFFEE, r"\$14\.00")
    await shop.buy_now(MUG)
    await shop.continue_to_payment()
    await shop.pay_button.click()

    await shop.sees_completed()
    order = await purchases.are_one_order(1800 + STANDARD)
    await shop.sees(order["number"], MUG, r"\$23\.00")
    assert order["user_id"] is None


@pytest.mark.quick
async def test_what_a_guest_types_is_recorded(shop: Storefront, purchases: Purchases) -> None:
    """Contact and address of the form are in the order's row, and the cart is empty afterwards."""
    await shop.begin(MUG, NOTEBOOK)
    assert await shop.stored_id() == (await shop.recorder.granted())[-1].attempt_id
    await shop.pay_with()

    await shop.sees_completed()
    order = await purchases.are_one_order(1800 + 950 + STANDARD)
    details = shop.details
    assert order["contact_email"] == details.email.value
    assert (order["contact_name"], order["contact_phone"]) == (details.name.value, details.phone.value)
    assert (order["shipping_line1"], order["shipping_city"]) == (details.line1.value, details.city.value)
    assert (order["shipping_postal_code"], order["shipping_country"]) == (details.postal_code.value, "US")
    assert await shop.stored_id() is None
    assert await shop.cart() == []


async def test_a_guest_subscribes(shop: Storefront, purchases: Purchases) -> None:
    """A cart of subscriptions is a setup, and one active subscription."""
    await shop.begin(COFFEE)
    await shop.sees(r"\$14\.00", "month")
    await shop.pay_with()

    await shop.sees_completed()
    (row,) = await purchases.are_only_subscriptions({"active": 1})
    await shop.sees(COFFEE)
    assert (row["user_id"], row["checkout_attempt_id"]) == (None, (await shop.recorder.granted())[-1].attempt_id)


async def test_a_trial_charges_nothing_today(shop: Storefront, purchases: Purchases) -> None:
    """Nothing is due today, and the subscription is trialing."""
    await shop.begin(GAZETTE)
    await shop.sees(r"\$0\.00")
    await shop.pay_with()

    await shop.sees_completed()
    await purchases.are_only_subscriptions({"trialing": 1})


@pytest.mark.quick
async def test_a_guest_buys_a_mixed_cart(shop: Storefront, purchases: Purchases) -> None:
    """One order over the one-time lines and shipping, one subscription for each interval, and both sums shown."""
    await shop.begin(MUG, COFFEE, ALMANAC)
    await shop.sees(r"\$79\.00")
    await shop.pay_with()

    await shop.sees_completed()
    order = await purchases.are_one_order(1800 + STANDARD, subscriptions={"active": 2})
    await shop.sees(order["number"], COFFEE, ALMANAC)


@pytest.mark.parametrize("cart", [(MUG,), (COFFEE,), (MUG, COFFEE)], ids=["one-time", "subscription", "mixed"])
async def test_a_signed_in_user_finds_the_purchase(
    shop: Storefront, purchases: Purchases, cart: tuple[str, ...]
) -> None:
    """The rows belong to the user, whose pages list the order and the subscription."""
    await shop.sign_in()
    await shop.begin(*cart)
    await shop.pay_with()
    await shop.sees_completed()

    if MUG in cart:
        order = await purchases.are_one_order(1800 + STANDARD, subscriptions={"active": 1} if COFFEE in cart else {})
        assert order["user_id"] == "ada"
        await shop.open("/orders")
        await shop.sees(order["number"], r"\$23\.00")
    else:
        await purchases.are_only_subscriptions({"active": 1})
    if COFFEE in cart:
        (subscription,) = await purchases.rows("subscriptions")
        assert subscription["user_id"] == "ada"
        await shop.open("/subscriptions")
        await shop.sees(COFFEE, "next charge")


async def test_a_wallet_pays(shop: Storefront, purchases: Purchases) -> None:
    """The wallet's button pays without a card being typed."""
    await shop.begin(MUG)
    await shop.page.get_by_role("button", name="Pay with Google Pay").click()
    await shop.page.get_by_role("dialog").get_by_role("button", name="Pay").click()

    await shop.sees_completed()
    await purchases.are_one_order(1800 + STANDARD)


async def test_a_closed_wallet_charges_nothing(shop: Storefront, purchases: Purchases) -> None:
    """The buyer closes the wallet and pays by card."""
    await shop.begin(MUG)
    await shop.page.get_by_role("button", name="Pay with Google Pay").click()
    await shop.page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    await purchases.are_none()

    await shop.pay_with()

    await shop.sees_completed()
    await purchases.are_one_order(1800 + STANDARD)
