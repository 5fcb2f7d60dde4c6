"""Networks and services that fail while a buyer pays."""

import asyncio
import re
from typing import Final

import pytest
from playwright.async_api import Route, expect

from tests.e2e.harness.interceptor import Ending, Moment
from tests.e2e.harness.outgoing_calls import OutgoingCall
from tests.e2e.harness.system import System

from .harness.purchases import Purchases, until
from .harness.storefront import COFFEE, MUG, Storefront
from .test_purchases import STANDARD

CONFIRM: Final = re.compile(r"/v1/(payment|setup)_intents/\w+/confirm")
INITIATE: Final = "**/api/stripe/initiate-checkout"
LOST: Final = "connectionreset"
CONNECTION_ERRORS: Final = r"net::ERR_(CONNECTION_RESET|INTERNET_DISCONNECTED|FAILED|NETWORK_CHANGED)"


async def test_the_network_is_lost_before_the_payment(shop: Storefront, purchases: Purchases) -> None:
    """Stripe never got the payment: the page finds out, says that nothing was charged, and the buyer pays once."""
    await shop.begin(MUG)
    shop.recorder.expect(CONNECTION_ERRORS)
    await shop.page.route(CONFIRM, lambda route: route.abort(LOST))
    await shop.pay_with()

    await shop.is_told("did not go through", "not charged|not been charged")
    await purchases.are_none()
    await shop.page.unroute(CONFIRM)

    await shop.pay_button.click()
    await shop.sees_completed()
    await purchases.are_one_order(1800 + STANDARD)


@pytest.mark.parametrize("cart", [(MUG,), (COFFEE,)], ids=["payment", "setup"])
async def test_the_network_is_lost_after_the_payment(
    shop: Storefront, purchases: Purchases, cart: tuple[str, ...]
) -> None:
    """Stripe took the payment and the answer got lost: the page finds out and shows the order, without a second Pay."""
    await shop.begin(*cart)
    shop.recorder.expect(CONNECTION_ERRORS)
    await shop.page.route(CONFIRM, _lose_the_answer)
    await shop.pay_with()

    await shop.sees_completed()
    if cart == (COFFEE,):
        await purchases.are_only_subscriptions({"active": 1})
    else:
        await purchases.are_one_order(1800 + STANDARD)


async def test_nothing_can_be_paid_while_the_outcome_is_unknown(shop: Storefront, purchases: Purchases) -> None:
    """Answer and network are gone: the message says not to pay again, and Pay does nothing until it is known."""
    await shop.begin(MUG)
    shop.recorder.expect(CONNECTION_ERRORS)
    await shop.page.route(CONFIRM, _lose_the_answer_and_the_network)
    await shop.pay_with()

    await shop.is_told("do not pay again")
    await expect(shop.pay_button).to_be_disabled()
    await until(lambda: _has_order(purchases), "the webhook's order")
    await shop.page.context.set_offline(offline=False)

    await shop.sees_completed()
    await purchases.are_one_order(1800 + STANDARD)


async def test_the_answer_of_initiate_is_lost(shop: Storefront, purchases: Purchases) -> None:
    """The shop repeats the request with the same key: one checkout, one order."""
    await shop.go_to_checkout(MUG)
    await shop.fill_details()
    shop.recorder.expect(CONNECTION_ERRORS)
    await shop.page.route(INITIATE, _lose_the_answer, times=1)
    await shop.continue_to_payment()

    keys = [request.headers["idempotency-key"] for request in shop.recorder.sent_to("/api/stripe/initiate-checkout")]
    assert len(keys) > 1
    assert len(set(keys)) == 1
    await shop.pay_with()
    await shop.sees_completed()
    await purchases.are_one_order(1800 + STANDARD)


async def test_a_service_is_away_when_the_checkout_begins(
    shop: Storefront, purchases: Purchases, system: System
) -> None:
    """The buyer is told that nothing was charged and tries again once the service is back."""
    await shop.go_to_checkout(MUG)
    await shop.fill_details()
    shop.recorder.expect_status(503)
    fault = system.proxies.checkout_session.interceptor.add_fault(
        OutgoingCall.SAVE_ATTEMPT, Moment.BEFORE_EFFECT, Ending.BREAKS
    )
    await shop.press_continue()

    await shop.is_told("not available", "not been charged", "try again|in a moment")
    await purchases.are_none()
    fault.lift()

    await shop.page.get_by_role("button", name=re.compile("Continue to payment|Try again")).first.click()
    await expect(shop.card_number).to_be_visible()
    await shop.pay_with()
    await shop.sees_completed()
    await purchases.are_one_order(1800 + STANDARD)


async def test_a_service_is_away_when_the_buyer_has_paid(
    shop: Storefront, purchases: Purchases, system: System
) -> None:
    """The payment stands: the page says not to pay again and shows the order when the service is back."""
    await shop.begin(MUG)
    shop.recorder.expect_status(503)
    interceptor = system.proxies.orders.interceptor
    faults = [
        interceptor.add_fault(call, Moment.BEFORE_EFFECT, Ending.BREAKS)
        for call in (OutgoingCall.RECORD_PURCHASE, OutgoingCall.GET_PURCHASE)
    ]
    await shop.pay_with()

    await shop.is_at_confirmation()
    await shop.is_told("do not pay again")
    for fault in faults:
        fault.lift()

    await shop.sees_completed(seconds=60)
    await purchases.are_one_order(1800 + STANDARD)


async def test_stripe_js_does_not_load(shop: Storefront, purchases: Purchases) -> None:
    """The page says that payment cannot begin and how to go on; a later try works."""
    shop.recorder.expect(CONNECTION_ERRORS)
    shop.recorder.expect("Failed to load Stripe")
    await shop.page.route("**/stripe.js", lambda route: route.abort(LOST))
    await shop.go_to_checkout(MUG)
    await shop.fill_details()
    await shop.press_continue()

    await shop.is_told("not been charged")
    await purchases.are_none()
    await shop.page.unroute("**/stripe.js")

    await shop.page.get_by_role("button", name=re.compile("again", re.IGNORECASE)).click()
    await expect(shop.card_number).to_be_visible()
    await shop.pay_with()
    await shop.sees_completed()
    await purchases.are_one_order(1800 + STANDARD)


async def test_offline_when_the_checkout_begins(shop: Storefront, purchases: Purchases) -> None:
    """The message says that there is no connection; what was typed stays, and it goes on when the network is back."""
    await shop.go_to_checkout(MUG)
    await shop.fill_details()
    shop.recorder.expect(CONNECTION_ERRORS)
    await shop.page.context.set_offline(offline=True)
    await shop.press_continue()

    await shop.is_told("no connection", "not been charged")
    await shop.page.context.set_offline(offline=False)

    await shop.page.get_by_role("button", name=re.compile("Continue to payment|Try again")).first.click()
    await expect(shop.card_number).to_be_visible()
    await shop.pay_with()
    await shop.sees_completed()
    order = await purchases.are_one_order(1800 + STANDARD)
    assert order["contact_email"] == shop.details.email.value


async def test_offline_at_the_confirmation(shop: Storefront, purchases: Purchases) -> None:
    """The payment is made and the network goes: the page asks for no money and shows the order afterwards."""
    await shop.begin(MUG)
    shop.recorder.expect(CONNECTION_ERRORS)

    async def lose_the_network(route: Route) -> None:
        await shop.page.context.set_offline(offline=True)
        await route.abort("internetdisconnected")

    await shop.page.route("**/api/orders", lose_the_network, times=1)
    await shop.pay_with()
    await shop.is_told("do not pay again")
    await purchases.are_one_order(1800 + STANDARD)

    await shop.page.context.set_offline(offline=False)
    await shop.sees_completed(seconds=60)
    await purchases.are_one_order(1800 + STANDARD)


async def _lose_the_answer(route: Route) -> None:
    await route.fetch()
    await route.abort(LOST)


async def _lose_the_answer_and_the_network(route: Route) -> None:
    await route.fetch()
    await asyncio.gather(route.abort(LOST), route.request.frame.page.context.set_offline(offline=True))


async def _has_order(purchases: Purchases) -> bool:
    return bool(await purchases.rows("orders"))
