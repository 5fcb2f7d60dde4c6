"""The way back from a payment: reloads, double clicks, the back button, and webhooks early, late and never."""

import re
from typing import Final

from playwright.async_api import expect

from tests.e2e.harness.control_api import ControlApi
from tests.e2e.harness.outgoing_calls import OutgoingCall
from tests.e2e.harness.system import System

from .conftest import OpenShop
from .harness.purchases import Purchases, until
from .harness.storefront import MUG, NOTEBOOK, Storefront
from .test_bank_methods import at_the_bank
from .test_purchases import STANDARD

COMPLETE: Final = "/api/orders"


async def test_a_double_click_pays_once(shop: Storefront, purchases: Purchases) -> None:
    """Two clicks on Pay are one payment."""
    await shop.begin(MUG)
    await shop.pay_button.dblclick()

    await shop.sees_completed()
    await purchases.are_one_order(1800 + STANDARD)


async def test_a_double_click_begins_once(shop: Storefront, purchases: Purchases) -> None:
    """Two clicks on Continue are one checkout."""
    await shop.go_to_checkout(MUG)
    await shop.fill_details()
    await shop.page.get_by_role("button", name="Continue to payment").dblclick()
    await expect(shop.card_number).to_be_visible()

    assert len({each.attempt_id for each in await shop.recorder.granted()}) == 1
    await shop.pay_with()
    await shop.sees_completed()
    await purchases.are_one_order(1800 + STANDARD)


async def test_a_reload_during_confirmation(shop: Storefront, purchases: Purchases, system: System) -> None:
    """The gateway's answer is on its way when the page is reloaded: the page finds the order."""
    held = system.proxies.break_after(OutgoingCall.RECORD_PURCHASE)
    await shop.begin(MUG)
    await shop.pay_with()
    await held.hit()

    await shop.page.reload()
    held.release()

    await shop.sees_completed()
    await purchases.are_one_order(1800 + STANDARD)


async def test_a_reload_of_the_payment_form_charges_nothing(shop: Storefront, purchases: Purchases) -> None:
    """A reload before paying leads back to the details; the next checkout replaces the first one."""
    await shop.begin(MUG)
    await shop.page.reload()
    await shop.fill_details()
    await shop.continue_to_payment()
    await shop.pay_with()

    await shop.sees_completed()
    order = await purchases.are_one_order(1800 + STANDARD)
    first, *_, last = await shop.recorder.granted()
    assert order["checkout_attempt_id"] == last.attempt_id != first.attempt_id


async def test_the_confirmation_survives_reloads(shop: Storefront, purchases: Purchases) -> None:
    """Reloaded, in a second tab and in another browser, the confirmation shows the same order."""
    await shop.begin(MUG)
    await shop.pay_with()
    await shop.sees_completed()
    order = await purchases.are_one_order(1800 + STANDARD)

    await shop.page.reload()
    await shop.sees_completed()
    await shop.sees(order["number"])

    tab = await shop.another_tab(shop.page.url.removeprefix(shop.url))
    await tab.sees(order["number"])
    await purchases.are_one_order(1800 + STANDARD)


async def test_the_bank_returns_into_another_browser(
    shop: Storefront, open_shop: OpenShop, purchases: Purchases
) -> None:
    """A bank's app opens the return address elsewhere: the purchase is completed there."""
    await at_the_bank(shop)
    return_url = await approve_only(shop)

    elsewhere = await open_shop()
    await elsewhere.page.goto(return_url)
    await elsewhere.sees_completed()
    await purchases.are_one_order(1800 + STANDARD)


async def test_back_after_paying(shop: Storefront, purchases: Purchases) -> None:
    """The back button leads to no form that takes money again; the next cart is a new order."""
    await shop.begin(MUG)
    await shop.pay_with()
    await shop.sees_completed()
    await purchases.are_one_order(1800 + STANDARD)

    await shop.page.go_back()
    await expect(shop.page).not_to_have_url(re.compile("/order-confirmation"))
    await expect(shop.card_number).to_have_count(0)
    assert await shop.cart() == []
    await purchases.are_one_order(1800 + STANDARD)

    await shop.begin(NOTEBOOK)
    await shop.pay_with()
    await shop.sees_completed()
    await until(lambda: _have(purchases, 2), "a second order")
    assert sorted((await purchases.taken()).values()) == [950 + STANDARD, 1800 + STANDARD]


async def test_the_webhook_never_arrives(shop: Storefront, purchases: Purchases, control_api: ControlApi) -> None:
    """The browser's return is enough."""
    await control_api.add_webhook_rule(drop=True, count=None)
    await shop.begin(MUG)
    await shop.pay_with()

    await shop.sees_completed()
    order = await purchases.are_one_order(1800 + STANDARD)
    (payment,) = await purchases.rows("payments")
    assert payment["channel"] == "browser_return"
    await shop.sees(order["number"])


async def test_the_webhook_arrives_before_the_return(shop: Storefront, purchases: Purchases) -> None:
    """The order is recorded before the browser asks for it; it is shown, and there is no second."""
    release = await shop.hold(COMPLETE)
    await shop.begin(MUG)
    await shop.pay_with()
    await until(lambda: _have(purchases, 1), "the webhook's order")

    release()

    await shop.sees_completed()
    order = await purchases.are_one_order(1800 + STANDARD)
    (payment,) = await purchases.rows("payments")
    assert payment["channel"] == "webhook"
    await shop.sees(order["number"])


async def test_the_buyer_never_returns(shop: Storefront, purchases: Purchases) -> None:
    """The tab is closed at the bank after approval: the webhook makes the order."""
    await at_the_bank(shop)
    await approve_only(shop)
    await shop.page.close()

    await purchases.are_one_order(1800 + STANDARD)


async def approve_only(shop: Storefront) -> str:
    """Approve as the bank's page does, but do not follow the redirect; return where it leads.

    A route of Playwright would not do: it does not see a redirect.
    """
    answer = await shop.page.context.request.post(shop.page.url, form={"outcome": "pass"}, max_redirects=0)
    return answer.headers["location"]


async def _have(purchases: Purchases, count: int) -> bool:
    return len(await purchases.rows("orders")) == count
