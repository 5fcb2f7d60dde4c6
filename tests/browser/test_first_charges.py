"""Subscriptions whose first charge fails, and their end."""

import pytest
from playwright.async_api import expect

from .harness.purchases import Purchases, until
from .harness.storefront import CHALLENGED, COFFEE, DECLINED, DECLINED_LATER, GOOD_CARD, MUG, Storefront
from .test_purchases import STANDARD

FINISH = "Pay and start the subscription"


@pytest.mark.parametrize("signed_in", [False, True], ids=["guest", "signed in"])
async def test_a_declined_first_charge_is_finished(shop: Storefront, purchases: Purchases, *, signed_in: bool) -> None:
    """The card can be saved and then declines: the buyer is asked for another card, and the subscription starts."""
    if signed_in:
        await shop.sign_in()
    await shop.begin(COFFEE)
    await shop.pay_with(DECLINED_LATER)
    await shop.is_at_confirmation()
    await purchases.are_only_subscriptions({"incomplete": 1})

    if signed_in:
        await shop.open("/subscriptions")
    await shop.card_number.first.fill(GOOD_CARD)
    await shop.page.get_by_role("button", name=FINISH).first.click()

    await shop.sees("active")
    await purchases.are_only_subscriptions({"active": 1})


async def test_another_decline_while_finishing(shop: Storefront, purchases: Purchases) -> None:
    """The second card is declined too: the message says so, and a third one pays."""
    await shop.begin(COFFEE)
    await shop.pay_with(DECLINED_LATER)
    await shop.is_at_confirmation()
    shop.recorder.expect_status(402)
    await shop.card_number.fill(DECLINED)
    await shop.page.get_by_role("button", name=FINISH).click()
    await shop.is_told("declined", "not been charged")

    await shop.card_number.fill(CHALLENGED)
    await shop.page.get_by_role("button", name=FINISH).click()
    await shop.pass_challenge()

    await shop.sees("active")
    await purchases.are_only_subscriptions({"active": 1})


async def test_the_order_of_a_mixed_cart_stands(shop: Storefront, purchases: Purchases) -> None:
    """The one-time lines are paid with the challenged card, and the subscription's charge is finished."""
    await shop.begin(MUG, COFFEE)
    await shop.pay_with(CHALLENGED)
    await shop.pass_challenge()
    await shop.is_at_confirmation()

    order = await purchases.are_one_order(1800 + STANDARD, subscriptions={"incomplete": 1})
    await shop.sees(order["number"])
    await shop.card_number.fill(GOOD_CARD)
    await shop.page.get_by_role("button", name=FINISH).click()

    await shop.sees("active")
    await purchases.are_one_order(1800 + STANDARD, subscriptions={"active": 1})


async def test_a_subscription_is_ended_and_kept(shop: Storefront, purchases: Purchases) -> None:
    """The buyer ends it with its period, changes their mind, and the row follows."""
    await shop.sign_in()
    await shop.begin(COFFEE)
    await shop.pay_with()
    await shop.sees_completed()
    await purchases.are_only_subscriptions({"active": 1})
    await shop.open("/subscriptions")
    newest = shop.page.get_by_role("article").first

    await newest.get_by_role("button", name="End subscription").click()
    await shop.page.get_by_role("dialog").get_by_role("button", name="End subscription").click()
    await expect(newest.get_by_role("button", name="Keep subscription")).to_be_visible()
    await until(lambda: _ends(purchases, ends=True), "the end in the row")

    await newest.get_by_role("button", name="Keep subscription").click()
    await expect(newest.get_by_role("button", name="End subscription")).to_be_visible()
    await until(lambda: _ends(purchases, ends=False), "no end in the row")


async def _ends(purchases: Purchases, *, ends: bool) -> bool:
    (row,) = await purchases.rows("subscriptions")
    return bool(row["cancel_at_period_end"]) is ends
