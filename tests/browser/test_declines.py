"""Cards that the bank declines, and its question of 3-D Secure."""

import pytest

from .harness.purchases import Purchases
from .harness.storefront import CHALLENGED, COFFEE, DECLINED, MUG, NO_FUNDS, Storefront
from .test_purchases import STANDARD

DECLINED_AFTER_CHALLENGE = "4000008400001629"


@pytest.mark.quick
async def test_another_card_after_a_decline(shop: Storefront, purchases: Purchases) -> None:
    """The message says that nothing was charged; the same checkout is paid with another card."""
    await shop.begin(MUG)
    shop.recorder.expect_status(402)
    await shop.pay_with(DECLINED)

    await shop.is_told("declined", "not been charged", "another card")
    await purchases.are_none()

    await shop.pay_with()

    await shop.sees_completed()
    order = await purchases.are_one_order(1800 + STANDARD)
    (checkout,) = await shop.recorder.granted()
    assert order["checkout_attempt_id"] == checkout.attempt_id


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        (NO_FUNDS, "funds"),
        ("4000000000000069", "expired"),
        ("4000000000000127", "security code"),
        ("4000000000000119", "could not be processed"),
    ],
)
async def test_each_decline_says_why(shop: Storefront, purchases: Purchases, card: str, reason: str) -> None:
    """The bank's reason is said in the shop's words, with what happened to the money."""
    await shop.begin(MUG)
    shop.recorder.expect_status(402)
    await shop.pay_with(card)

    await shop.is_told(reason, "not been charged")
    await purchases.are_none()


async def test_an_incomplete_card_is_not_sent(shop: Storefront, purchases: Purchases) -> None:
    """The field says what is missing, and the buyer may go on."""
    await shop.begin(MUG)
    await shop.pay_with("4242")

    await shop.sees("card number is incomplete")
    await purchases.are_none()

    await shop.pay_with()

    await shop.sees_completed()
    await purchases.are_one_order(1800 + STANDARD)


@pytest.mark.quick
async def test_a_passed_challenge_pays(shop: Storefront, purchases: Purchases) -> None:
    """The bank asks, the buyer confirms."""
    await shop.begin(MUG)
    await shop.pay_with(CHALLENGED)
    await shop.pass_challenge()

    await shop.sees_completed()
    await purchases.are_one_order(1800 + STANDARD)


@pytest.mark.parametrize("cart", [(MUG,), (COFFEE,)], ids=["payment", "setup"])
async def test_a_failed_challenge_charges_nothing(
    shop: Storefront, purchases: Purchases, cart: tuple[str, ...]
) -> None:
    """The buyer fails the bank's question, is told, and pays with another card."""
    await shop.begin(*cart)
    shop.recorder.expect_status(402)
    await shop.pay_with(CHALLENGED)
    await shop.fail_challenge()

    await shop.is_told("could not confirm", "not been charged")
    await purchases.are_none()

    await shop.pay_with()

    await shop.sees_completed()
    if cart == (COFFEE,):
        await purchases.are_only_subscriptions({"active": 1})
    else:
        await purchases.are_one_order(1800 + STANDARD)


async def test_a_closed_challenge_charges_nothing(shop: Storefront, purchases: Purchases) -> None:
    """The buyer closes the bank's dialog, is told, and tries again."""
    await shop.begin(MUG)
    await shop.pay_with(CHALLENGED)
    await shop.close_challenge()

    await shop.is_told("not been charged")
    await purchases.are_none()

    await shop.pay_button.click()
    await shop.pass_challenge()

    await shop.sees_completed()
    await purchases.are_one_order(1800 + STANDARD)


async def test_a_decline_after_a_passed_challenge(shop: Storefront, purchases: Purchases) -> None:
    """The buyer passed, and the bank still declines."""
    await shop.begin(MUG)
    shop.recorder.expect_status(402)
    await shop.pay_with(DECLINED_AFTER_CHALLENGE)
    await shop.pass_challenge()

    await shop.is_told("declined", "not been charged")
    await purchases.are_none()
