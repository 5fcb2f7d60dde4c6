"""Screenshots of the shop for the documentation: `make screenshots`.

They are no test, so pytest finds them only by name.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Literal

import pytest
from playwright.async_api import ViewportSize, expect

from .harness.answers import ID, answer, order, subscription
from .harness.axe import DESKTOP, PHONE
from .harness.storefront import ALMANAC, CHALLENGED, COFFEE, DECLINED, MUG, NOTEBOOK, Storefront

FOLDER: Final = Path(__file__).parents[2] / "docs" / "images"
_MAX_BYTES: Final = 125_000
_BELOW: Final = ("declined", "3-d-secure")
"""Pictures of what is further down on the page."""

Scheme = Literal["light", "dark"]
Reach = Callable[[Storefront], Awaitable[object]]


async def _catalogue(shop: Storefront) -> None:
    await shop.add_to_cart(MUG)


async def _cart(shop: Storefront) -> None:
    await shop.add_to_cart(MUG, NOTEBOOK, COFFEE)
    await shop.page.get_by_role("button", name="Cart, 3 items").click()
    await expect(shop.page.get_by_role("dialog").get_by_role("listitem")).to_have_count(3)


async def _details(shop: Storefront) -> None:
    await shop.go_to_checkout(MUG, COFFEE)
    await expect(shop.page.get_by_role("button", name="Continue to payment")).to_be_visible()


async def _payment(shop: Storefront) -> None:
    await shop.go_to_checkout(MUG, COFFEE)
    await shop.continue_to_payment()
    await expect(shop.pay_button).to_be_visible()


async def _declined(shop: Storefront) -> None:
    shop.recorder.expect_status(402)
    await _payment(shop)
    await shop.pay_with(DECLINED)
    await shop.is_told("declined")


async def _challenge(shop: Storefront) -> None:
    await _payment(shop)
    await shop.pay_with(CHALLENGED)
    await expect(shop.page.get_by_role("button", name="Complete authentication")).to_be_visible()


async def _confirmed(shop: Storefront) -> None:
    await shop.go_to_checkout(MUG, NOTEBOOK)
    await shop.continue_to_payment()
    await shop.pay_with()
    await shop.sees_completed()


async def _mixed(shop: Storefront) -> None:
    await shop.go_to_checkout(MUG, COFFEE)
    await shop.continue_to_payment()
    await shop.pay_with()
    await shop.sees_completed()


async def _processing(shop: Storefront) -> None:
    await shop.go_to_checkout(MUG)
    await shop.continue_to_payment()
    await shop.choose_method("US bank account")
    await shop.pay_button.click()
    await shop.is_told("do not pay again")


async def _needs_review(shop: Storefront) -> None:
    await answer(shop.page, "checkout/*", {"status": "needs_review"})
    await shop.open(f"/order-confirmation?checkout={ID}")
    await shop.is_told("contact the shop")


async def _orders(shop: Storefront) -> None:
    listed = [
        order(id="order-1", number="2N8-T4W-KC6"),
        order("partially_refunded", refundedAmount=950),
        order(id="order-3", number="9C3-P6R-VX8", createdAt="2026-10-02T15:10:00Z", totalAmount=4150),
    ]
    await answer(shop.page, "orders*", {"orders": listed})
    await shop.sign_in()
    await shop.open("/orders")
    await shop.page.locator("summary").first.click()
    await shop.sees("1 Quay Street")


async def _subscriptions(shop: Storefront) -> None:
    almanac = {"name": ALMANAC, "priceId": "price_2", "productId": "prod_2", "quantity": 1, "unitAmount": 4200}
    welcome = {"id": "di_1", "name": "Welcome", "percentOff": 20, "endsAt": "2027-03-01T00:00:00Z"}
    listed = [
        subscription(discounts=[welcome]),
        subscription("active", id="ending", cancelAtPeriodEnd=True, endsWithPeriod=True),
        subscription("past_due", amount=4200, interval="year", items=[almanac | {"currency": "usd"}]),
    ]
    shop.recorder.expect_status(422)  # the overdue one is looked at again, and is made up
    await answer(shop.page, "subscriptions*", {"subscriptions": listed})
    await shop.sign_in()
    await shop.open("/subscriptions")
    await shop.sees("overdue")


@pytest.mark.parametrize(
    ("name", "reach", "size", "scheme"),
    [
        ("catalogue", _catalogue, DESKTOP, "light"),
        ("catalogue-phone", _catalogue, PHONE, "dark"),
        ("cart", _cart, DESKTOP, "light"),
        ("details", _details, DESKTOP, "light"),
        ("payment", _payment, DESKTOP, "light"),
        ("payment-phone", _payment, PHONE, "light"),
        ("declined", _declined, DESKTOP, "dark"),
        ("3-d-secure", _challenge, DESKTOP, "light"),
        ("confirmation", _confirmed, DESKTOP, "light"),
        ("confirmation-mixed", _mixed, DESKTOP, "dark"),
        ("confirmation-processing", _processing, PHONE, "light"),
        ("confirmation-needs-review", _needs_review, PHONE, "dark"),
        ("orders", _orders, DESKTOP, "light"),
        ("subscriptions", _subscriptions, DESKTOP, "light"),
    ],
)
async def test_screenshot(shop: Storefront, name: str, reach: Reach, size: ViewportSize, scheme: Scheme) -> None:
    """Make a screenshot that is small enough for the repository."""
    await shop.page.set_viewport_size(size)
    await shop.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    await reach(shop)
    await shop.page.mouse.move(0, 0)
    await shop.page.evaluate("(up) => { document.activeElement?.blur(); if (up) scrollTo(0, 0); }", name not in _BELOW)

    picture = FOLDER / f"{name}.png"
    await shop.page.screenshot(path=picture, animations="disabled", caret="hide")

    assert picture.stat().st_size <= _MAX_BYTES
