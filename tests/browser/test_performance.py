"""The shop on a slow phone: what a buyer waits for, and what jumps."""

from collections.abc import Awaitable, Callable
from typing import Final

import pytest
from playwright.async_api import expect

from .conftest import OpenShop
from .harness.answers import ID, answer, purchase, subscription
from .harness.axe import PHONE
from .harness.storefront import COFFEE, DECLINED, MUG, Storefront
from .harness.vitals import Vitals, observe, vitals_of

BEST: Final = 3
MOST_VISITS: Final = 9
LCP_MILLISECONDS: Final = 1200
CLS: Final = 0.02
INP_MILLISECONDS: Final = 100

Visit = Callable[[Storefront], Awaitable[object]]


async def _catalogue(shop: Storefront) -> None:
    """Look at the catalogue, fill the cart and change it."""
    await shop.open()
    await shop.add_to_cart(MUG, COFFEE)
    await shop.page.get_by_role("button", name="Cart, 2 items").click()
    await shop.page.get_by_role("dialog").get_by_role("button", name=f"Remove {MUG}").click()
    await expect(shop.page.get_by_role("dialog").get_by_role("listitem")).to_have_count(1)


async def _checkout(shop: Storefront) -> None:
    """Load the checkout, correct a detail, go to the payment, and have a card declined."""
    shop.recorder.expect_status(402)
    await (await shop.open()).add_to_cart(MUG, COFFEE)
    await shop.open("/checkout")
    await shop.page.locator("#checkout-name").fill("")
    await shop.press_continue()
    await shop.is_told("check your details")
    await shop.page.locator("#checkout-name").press_sequentially(shop.details.name.value)
    await shop.continue_to_payment()
    await shop.pay_with(DECLINED)
    await shop.is_told("declined")


async def _confirmation(shop: Storefront) -> None:
    """Load the confirmation of a mixed cart."""
    await answer(shop.page, "checkout/*", purchase(subscription()))
    await shop.open(f"/order-confirmation?checkout={ID}")
    await shop.sees_completed()


@pytest.mark.parametrize("visit", [_catalogue, _checkout, _confirmation], ids=["catalogue", "checkout", "confirmation"])
@pytest.mark.timeout(300)
async def test_a_slow_phone_is_enough(open_shop: OpenShop, visit: Visit) -> None:
    """The processor is four times slower than this one, and nothing is cached. Other programs do not count."""
    visits: list[Vitals] = []
    while len(visits) < MOST_VISITS:
        visits.append(await _first_visit(await open_shop(), visit))
        usual = Vitals.usual(visits, best=BEST)
        if len(visits) >= BEST and _is_fast(usual):
            break

    print(usual, visits, sep="\n")  # noqa: T201 - the figures are worth reading
    assert _is_fast(usual)


async def _first_visit(shop: Storefront, visit: Visit) -> Vitals:
    await shop.page.set_viewport_size(PHONE)
    await observe(shop.page)
    await visit(shop)
    vitals = await vitals_of(shop.page)
    await shop.page.close()
    return vitals


def _is_fast(usual: Vitals) -> bool:
    return usual.lcp_ms <= LCP_MILLISECONDS and usual.cls <= CLS and usual.inp_ms <= INP_MILLISECONDS
