"""Subscriptions after they were bought: charges that fail, the customer portal, their end."""

import re

import pytest
from playwright.async_api import expect

from tests.e2e.harness.control_api import ControlApi
from tests.e2e.harness.stores import Row

from .harness.purchases import Purchases, until
from .harness.storefront import CHALLENGED, COFFEE, DECLINED, DECLINED_LATER, GOOD_CARD, MUG, Storefront
from .test_purchases import STANDARD

FINISH = "Pay and start the subscription"
MONTH_SECONDS = 32 * 24 * 3600


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
    await _buy_coffee(shop, purchases)
    await shop.open("/subscriptions")
    newest = shop.page.get_by_role("article").first

    await newest.get_by_role("button", name="End subscription").click()
    await shop.page.get_by_role("dialog").get_by_role("button", name="End subscription").click()
    await expect(newest.get_by_role("button", name="Keep subscription")).to_be_visible()
    await until(lambda: _ends(purchases, ends=True), "the end in the row")

    await newest.get_by_role("button", name="Keep subscription").click()
    await expect(newest.get_by_role("button", name="End subscription")).to_be_visible()
    await until(lambda: _ends(purchases, ends=False), "no end in the row")


async def test_an_overdue_renewal_is_paid_with_another_card(
    shop: Storefront, purchases: Purchases, control_api: ControlApi
) -> None:
    """The saved card declines after a month: the page takes another one, and the subscription goes on."""
    bought = await _buy_coffee(shop, purchases)
    await control_api.let_behave_like(bought["stripe_payment_method_id"], "pm_card_chargeCustomerFail")
    await control_api.advance_clock(seconds=MONTH_SECONDS)
    await purchases.are_only_subscriptions({"past_due": 1})

    await shop.open("/subscriptions")
    newest = shop.page.get_by_role("article").first
    await newest.get_by_label("Card number").fill(GOOD_CARD)
    await newest.get_by_role("button", name="Pay the overdue amount").click()

    await expect(newest.get_by_text("Active", exact=True)).to_be_visible()
    await purchases.are_only_subscriptions({"active": 1})


async def test_what_the_customer_portal_did_is_shown(
    shop: Storefront, purchases: Purchases, control_api: ControlApi
) -> None:
    """The button leads to Stripe's page and back, and a subscription that was ended there is shown as ending."""
    bought = await _buy_coffee(shop, purchases)
    await shop.open("/subscriptions")

    await shop.page.get_by_role("button", name="Manage payment").first.click()
    shown_there = shop.page.locator("form").filter(has_text=bought["stripe_subscription_id"])
    await shown_there.get_by_role("button", name="Cancel at the period's end").click()
    await until(lambda: _ends(purchases, ends=True), "the end in the row")
    await shop.page.get_by_role("link", name="Return to the shop").click()

    await expect(shop.page).to_have_url(f"{shop.url}/subscriptions")
    await expect(shop.page.get_by_role("article").first.get_by_text(re.compile("^Ends ")).first).to_be_visible()


async def _buy_coffee(shop: Storefront, purchases: Purchases) -> Row:
    """Buy a subscription as a signed-in customer; return its row."""
    await shop.sign_in()
    await shop.begin(COFFEE)
    await shop.pay_with()
    await shop.sees_completed()
    (row,) = await purchases.are_only_subscriptions({"active": 1})
    return row


async def _ends(purchases: Purchases, *, ends: bool) -> bool:
    (row,) = await purchases.rows("subscriptions")
    return (row["cancel_at"] is not None) is ends
