"""Payments and setups through the Payment Element."""

import re
from typing import Final
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import expect

from .shop import Shop

_CHANGE: Final = {"elementType": "payment", "complete": True, "empty": False, "collapsed": False}


@pytest.mark.quick
async def test_the_form_is_filled_in_and_pays(shop: Shop) -> None:
    """A demo buyer only presses Pay. The page hears of it in Stripe's shapes, the simulator in Stripe.js's form."""
    intent = await shop.open()

    await shop.press("Pay")

    answer = await shop.expect_outcome("succeeded")
    (sent,) = await shop.confirms(intent)
    assert answer["paymentIntent"]["id"] == intent.id
    assert await shop.events("payment", "ready") == [{"elementType": "payment"}]
    assert await shop.events("payment", "change") == [_CHANGE | {"value": {"type": "card"}}]
    assert sent["client_secret"] == intent.client_secret
    assert (sent["use_stripe_sdk"], sent["payment_method_data"]["card"]["number"]) == ("true", "4242424242424242")


@pytest.mark.parametrize(
    ("test_card", "decline_code"), [("Declined", "generic_decline"), ("Insufficient funds", "insufficient_funds")]
)
async def test_a_declined_buyer_pays_with_another_card(shop: Shop, test_card: str, decline_code: str) -> None:
    """The error has Stripe's shape, and the same form pays afterwards."""
    await shop.open()
    await shop.fill(test_card)

    await shop.press("Pay")
    error = (await shop.expect_outcome(decline_code))["error"]
    await shop.fill("Success")
    await shop.press("Pay")

    await shop.expect_outcome("succeeded")
    assert (error["type"], error["code"]) == ("card_error", "card_declined")
    assert error["payment_intent"]["status"] == "requires_payment_method"


@pytest.mark.quick
@pytest.mark.parametrize("leaving", ["Fail authentication", "Escape"])
async def test_a_refused_challenge_can_be_tried_again(shop: Shop, leaving: str) -> None:
    """Failing and closing are the same. The focus returns to the button that opened the dialog."""
    await shop.open()
    await shop.fill("3-D Secure")
    await shop.press("Pay")
    dialog = shop.page.get_by_role("dialog", name="Your bank asks you to confirm")
    await expect(dialog).to_contain_text("$19.99")

    await (shop.page.keyboard.press("Escape") if leaving == "Escape" else shop.press(leaving))
    error = (await shop.expect_outcome("payment_intent_authentication_failure"))["error"]

    await expect(shop.page.get_by_role("button", name="Pay", exact=True)).to_be_focused()
    await shop.press("Pay")
    await shop.press("Complete authentication")
    await shop.expect_outcome("succeeded")
    assert error["payment_intent"]["status"] == "requires_payment_method"
    assert await shop.page.locator("[data-simulated-stripe=dialog]").count() == 0


async def test_the_dialog_keeps_the_focus(shop: Shop) -> None:
    """The rest of the page cannot be reached by keyboard while the bank asks."""
    await shop.open()
    await shop.fill("3-D Secure")
    await shop.press("Pay")
    await expect(shop.page.get_by_role("dialog")).to_be_visible()

    for _ in range(6):
        await shop.page.keyboard.press("Tab")
        host = await shop.page.evaluate(
            "document.activeElement.dataset.simulatedStripe ?? document.activeElement.tagName"
        )
        assert host in {"dialog", "BODY"}  # BODY stands for the browser's own controls


async def test_an_intent_that_ends_during_the_challenge(shop: Shop) -> None:
    """Another tab may have superseded the checkout meanwhile."""
    intent = await shop.open()
    await shop.fill("3-D Secure")
    await shop.press("Pay")
    await expect(shop.page.get_by_role("dialog")).to_be_visible()
    await shop.sim.api.v1.payment_intents.cancel_async(intent.id)

    await shop.press("Complete authentication")

    error = (await shop.expect_outcome("payment_intent_unexpected_state"))["error"]
    assert error["payment_intent"]["status"] == "canceled"


@pytest.mark.quick
@pytest.mark.parametrize(
    ("press", "redirect_status", "status"),
    [("Approve", "succeeded", "succeeded"), ("Refuse", "failed", "requires_payment_method")],
)
async def test_a_redirect_returns_with_the_intent(shop: Shop, press: str, redirect_status: str, status: str) -> None:
    """The buyer leaves for the wallet's page and arrives at the return URL."""
    intent = await shop.open()
    await shop.choose("Amazon Pay")
    await shop.press("Pay")

    await shop.press(press)

    await shop.page.wait_for_url(re.compile("/return"))
    assert parse_qs(urlsplit(shop.page.url).query) == {
        "checkout": ["1"],
        "payment_intent": [intent.id],
        "payment_intent_client_secret": [intent.client_secret],
        "redirect_status": [redirect_status],
    }
    assert (await shop.sim.api.v1.payment_intents.retrieve_async(intent.id)).status == status


@pytest.mark.parametrize("kind", ["payment_intent", "setup_intent"])
async def test_redirect_always_leaves_the_page(shop: Shop, kind: str) -> None:
    """It is Stripe's default, also for a card that needs no page of a bank."""
    intent = await shop.open(await shop.setup_intent() if kind == "setup_intent" else None, redirect="always")

    await shop.press("Pay")

    await shop.page.wait_for_url(re.compile("/return"))
    query = parse_qs(urlsplit(shop.page.url).query)
    assert (query[kind], query["redirect_status"]) == ([intent.id], ["succeeded"])
    assert query[f"{kind}_client_secret"] == [intent.client_secret]


@pytest.mark.parametrize(("currency", "method"), [("usd", "US bank account"), ("eur", "SEPA debit")])
async def test_a_debit_is_processing(shop: Shop, currency: str, method: str) -> None:
    """The bank takes days. `processing` tells of cards only."""
    await shop.open(await shop.sim.intent(currency=currency))
    await shop.choose(method)

    await shop.press("Pay")

    answer = await shop.expect_outcome("processing")
    assert answer["paymentIntent"]["processing"] is None


async def test_a_setup_intent_saves_a_card(shop: Shop) -> None:
    """After a challenge that was failed first."""
    await shop.open(await shop.setup_intent())
    await shop.fill("3-D Secure")
    await shop.press("Pay")
    await shop.press("Fail authentication")
    error = (await shop.expect_outcome("setup_intent_authentication_failure"))["error"]

    await shop.press("Pay")
    await shop.press("Complete authentication")

    answer = await shop.expect_outcome("succeeded")
    assert error["setup_intent"]["status"] == "requires_payment_method"
    assert answer["setupIntent"]["object"] == "setup_intent"


@pytest.mark.parametrize("kind", ["proxy_error_after", "cut_body_after"])
async def test_a_lost_answer_is_a_connection_error(shop: Shop, kind: str) -> None:
    """The outcome is unknown then, and retrieving the intent tells."""
    intent = await shop.open()
    await shop.sim.control("POST", "/faults", {"kind": kind, "path": "*/confirm"})

    await shop.press("Pay")

    await shop.expect_outcome("api_connection_error")
    retrieved = await shop.page.evaluate(f"stripe.retrievePaymentIntent('{intent.client_secret}')")
    assert retrieved["paymentIntent"]["status"] == "succeeded"


async def test_offline_is_a_connection_error(shop: Shop) -> None:
    """The buyer can press Pay again."""
    await shop.open()
    await shop.page.context.set_offline(True)
    await shop.press("Pay")
    await shop.expect_outcome("api_connection_error")

    await shop.page.context.set_offline(False)
    await shop.press("Pay")

    await shop.expect_outcome("succeeded")


async def test_an_intent_that_cannot_be_paid_any_more(shop: Shop) -> None:
    """Confirming it is an error that has the intent, and no form is shown for it."""
    intent = await shop.open()
    await shop.sim.pay(intent.id)

    await shop.press("Pay")
    error = (await shop.expect_outcome("payment_intent_unexpected_state"))["error"]
    await shop.open(intent)

    assert error["payment_intent"]["status"] == "succeeded"
    assert (await shop.events("payment", "loaderror"))[0]["error"]["code"] == "payment_intent_unexpected_state"
    await expect(shop.page.get_by_role("alert")).to_contain_text("terminal state")
