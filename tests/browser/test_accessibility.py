"""Every page in every state: axe finds nothing, and the keyboard alone is enough."""

from collections.abc import Awaitable, Callable
from typing import Final

import pytest
from playwright.async_api import expect

from .harness.answers import ID, SUBSCRIPTION_STATUSES, answer, item, order, problem, purchase, subscription
from .harness.axe import violations
from .harness.purchases import Purchases
from .harness.storefront import CHALLENGED, COFFEE, DECLINED, DECLINED_LATER, MUG, NO_FUNDS, Storefront
from .test_purchases import STANDARD

_TABS: Final = 60
_FOCUSED: Final = """() => {
    let focused = document.activeElement;
    while (focused.shadowRoot?.activeElement) focused = focused.shadowRoot.activeElement;
    return focused.ariaLabel || (focused.labels?.[0] ?? focused).textContent.trim();
}"""
State = Callable[[Storefront], Awaitable[object]]


async def _catalogue(shop: Storefront) -> None:
    await shop.sees(MUG)


async def _catalogue_loading(shop: Storefront) -> None:
    await shop.hold("/api/catalog")
    await shop.page.reload(wait_until="commit")
    await expect(shop.page.locator(".skeleton").first).to_be_visible()


async def _catalogue_failed(shop: Storefront) -> None:
    shop.recorder.expect_status(500)
    await answer(shop.page, "catalog", problem("internal", 500), status=500)
    await shop.open()
    await shop.sees("did not load")


async def _offline(shop: Storefront) -> None:
    shop.recorder.expect("ERR_INTERNET_DISCONNECTED")
    await shop.page.context.set_offline(offline=True)
    await shop.sees("you are offline")


async def _cart_empty(shop: Storefront) -> None:
    await shop.page.get_by_role("button", name="Cart, 0 items").click()
    await shop.sees("it is empty")


async def _cart(shop: Storefront) -> None:
    await shop.add_to_cart(MUG, COFFEE)
    await shop.page.get_by_role("button", name="Cart, 2 items").click()
    await expect(shop.page.get_by_role("dialog").get_by_role("listitem")).to_have_count(2)


async def _checkout_empty(shop: Storefront) -> None:
    await shop.open("/checkout")
    await shop.sees("nothing to pay")


async def _details(shop: Storefront) -> None:
    await shop.go_to_checkout(MUG, COFFEE)
    await expect(shop.page.locator("#checkout-email")).to_be_visible()


async def _details_with_errors(shop: Storefront) -> None:
    await shop.go_to_checkout(MUG)
    for name in ("email", "name", "line1", "city"):
        await shop.page.locator(f"#checkout-{name}").fill("")
    await shop.press_continue()
    await shop.is_told("check your details")


async def _details_refused(shop: Storefront) -> None:
    shop.recorder.expect_status(500)
    await answer(shop.page, "stripe/initiate-checkout", problem("internal", 500), status=500)
    await shop.go_to_checkout(MUG)
    await shop.press_continue()
    await shop.is_told("not been charged")


async def _payment(shop: Storefront) -> None:
    await shop.go_to_checkout(MUG, COFFEE)
    await shop.continue_to_payment()
    await expect(shop.pay_button).to_be_visible()


async def _declined(shop: Storefront) -> None:
    shop.recorder.expect_status(402)
    await _payment(shop)
    await shop.pay_with(DECLINED)
    await shop.is_told("declined", "not been charged")


async def _invalid_card(shop: Storefront) -> None:
    await _payment(shop)
    await shop.pay_with("4242")
    await shop.is_told("card")


async def _challenge(shop: Storefront) -> None:
    await _payment(shop)
    await shop.pay_with(CHALLENGED)
    await expect(shop.page.get_by_role("button", name="Complete authentication")).to_be_visible()


async def _wallet(shop: Storefront) -> None:
    await _payment(shop)
    await shop.page.get_by_role("button", name="Pay with Google Pay").click()
    await expect(shop.page.get_by_role("button", name="Confirm with Google Pay")).to_be_visible()


async def _paid_elsewhere(shop: Storefront) -> None:
    await answer(shop.page, "checkout/*", purchase())
    await shop.go_to_checkout(MUG)
    await shop.page.evaluate(
        "(id) => localStorage.setItem('checkoutAttemptId', JSON.stringify({ id, begunAt: Date.now() }))", ID
    )
    await shop.page.reload()
    await shop.is_told("placed already")


def _confirmation(status: str, *told: str) -> State:
    async def reach(shop: Storefront) -> None:
        await answer(shop.page, "checkout/*", {"status": status})
        await shop.open(f"/order-confirmation?checkout={ID}")
        await shop.is_told(*told)

    return reach


async def _confirmation_loading(shop: Storefront) -> None:
    await shop.hold("/api/checkout/*")
    await shop.open(f"/order-confirmation?checkout={ID}")
    await shop.is_told("looking up")


async def _confirmation_completed(shop: Storefront) -> None:
    await answer(shop.page, "checkout/*", purchase())
    await shop.open(f"/order-confirmation?checkout={ID}")
    await shop.sees_completed()


async def _confirmation_mixed(shop: Storefront) -> None:
    await answer(shop.page, "checkout/*", purchase(subscription(), subscription("trialing", trialEnd=None)))
    await shop.open(f"/order-confirmation?checkout={ID}")
    await shop.sees_completed()


async def _confirmation_unfinished(shop: Storefront) -> None:
    await shop.go_to_checkout(COFFEE)
    await shop.continue_to_payment()
    await shop.pay_with(DECLINED_LATER)
    await shop.is_at_confirmation()
    await expect(shop.card_number).to_be_visible()


async def _confirmation_without_id(shop: Storefront) -> None:
    await shop.open("/order-confirmation")
    await shop.is_told("no checkout")


async def _confirmation_not_found(shop: Storefront) -> None:
    shop.recorder.expect_status(404)
    await shop.open(f"/order-confirmation?checkout={ID}")
    await shop.is_told("cannot be shown")


async def _confirmation_unavailable(shop: Storefront) -> None:
    shop.recorder.expect_status(500)
    await answer(shop.page, "checkout/*", problem("internal", 500), status=500)
    await shop.open(f"/order-confirmation?checkout={ID}")
    await shop.is_told("do not pay again")


async def _orders_signed_out(shop: Storefront) -> None:
    await shop.open("/orders")
    await shop.sees("listed for signed-in customers")


async def _orders_empty(shop: Storefront) -> None:
    await answer(shop.page, "orders?*", {"orders": []})
    await answer(shop.page, "orders", {"orders": []})
    await shop.sign_in()
    await shop.open("/orders")
    await shop.sees("no orders yet")


async def _orders(shop: Storefront) -> None:
    orders = [
        order(),
        order("partially_refunded", refundedAmount=500),
        order("refunded", refundedAmount=6000),
        order("disputed", disputedAmount=6000),
        order("unknown"),
    ]
    await answer(shop.page, "orders?*", {"orders": orders, "nextCursor": "next"})
    await answer(shop.page, "orders", {"orders": orders, "nextCursor": "next"})
    await shop.sign_in()
    await shop.open("/orders")
    await shop.page.locator("summary").first.click()
    await shop.sees("1 Quay Street")


async def _subscriptions_signed_out(shop: Storefront) -> None:
    await shop.open("/subscriptions")
    await shop.sees("signed-in customers")


async def _subscriptions(shop: Storefront) -> None:
    shop.recorder.expect_status(422)  # those that are looked at again are made up
    listed = [subscription(status) for status in SUBSCRIPTION_STATUSES]
    listed.append(subscription(id="ending", cancelAtPeriodEnd=True, endsWithPeriod=True))
    listed.append(subscription(id="ending later", cancelAt="2027-03-01T00:00:00Z"))
    listed.append(subscription(id="paused", pauseCollection={"behavior": "void", "resumesAt": "2027-03-01T00:00:00Z"}))
    by_use = {**item("Refills", 0), "quantity": None, "unitAmount": None}
    half = {"id": "di_1", "name": "Welcome", "percentOff": 50}
    listed.append(subscription(id="by use", amount=None, items=[by_use], discounts=[half]))
    await answer(shop.page, "subscriptions?*", {"subscriptions": listed})
    await answer(shop.page, "subscriptions", {"subscriptions": listed})
    await shop.sign_in()
    await shop.open("/subscriptions")
    await shop.sees("payment overdue")


async def _subscriptions_empty(shop: Storefront) -> None:
    await answer(shop.page, "subscriptions?*", {"subscriptions": []})
    await answer(shop.page, "subscriptions", {"subscriptions": []})
    await shop.sign_in()
    await shop.open("/subscriptions")
    await shop.sees("no subscriptions yet")


async def _portal_refused(shop: Storefront) -> None:
    shop.recorder.expect_status(404)
    await answer(shop.page, "subscriptions/*/portal", problem("subscription_not_found", 404), status=404)
    await _subscriptions(shop)
    await shop.page.get_by_role("button", name="Manage payment").first.click()
    await shop.is_told("not found")


async def _confirmation_needs_attention(shop: Storefront) -> None:
    await answer(shop.page, "checkout/*", purchase(subscription("activation_failed")))
    await shop.open(f"/order-confirmation?checkout={ID}")
    await shop.is_told("needs attention", "not been charged")


async def _ending(shop: Storefront) -> None:
    await _subscriptions(shop)
    await shop.page.get_by_role("button", name="End subscription").first.click()
    await shop.sees("End this subscription")


STATES: Final[dict[str, State]] = {
    "catalogue": _catalogue,
    "catalogue loading": _catalogue_loading,
    "catalogue failed": _catalogue_failed,
    "offline": _offline,
    "cart empty": _cart_empty,
    "cart": _cart,
    "checkout empty": _checkout_empty,
    "details": _details,
    "details with errors": _details_with_errors,
    "details refused": _details_refused,
    "payment": _payment,
    "payment declined": _declined,
    "payment with an invalid card": _invalid_card,
    "3-D Secure": _challenge,
    "wallet": _wallet,
    "paid in another tab": _paid_elsewhere,
    "confirmation loading": _confirmation_loading,
    "confirmation processing": _confirmation("processing", "do not pay again"),
    "confirmation completed": _confirmation_completed,
    "confirmation mixed": _confirmation_mixed,
    "confirmation with a first charge to finish": _confirmation_unfinished,
    "confirmation with a subscription that needs attention": _confirmation_needs_attention,
    "confirmation needs review": _confirmation("needs_review", "contact the shop"),
    "confirmation payment failed": _confirmation("payment_failed", "not been charged"),
    "confirmation requires action": _confirmation("requires_action", "not been charged"),
    "confirmation open": _confirmation("open", "not been charged"),
    "confirmation expired": _confirmation("expired", "not been charged"),
    "confirmation superseded": _confirmation("superseded", "not been charged"),
    "confirmation without an id": _confirmation_without_id,
    "confirmation not found": _confirmation_not_found,
    "confirmation unavailable": _confirmation_unavailable,
    "orders signed out": _orders_signed_out,
    "orders empty": _orders_empty,
    "orders": _orders,
    "subscriptions signed out": _subscriptions_signed_out,
    "subscriptions empty": _subscriptions_empty,
    "subscriptions with a portal that does not open": _portal_refused,
    "subscriptions": _subscriptions,
    "ending a subscription": _ending,
}


async def test_a_purchase_with_the_keyboard_alone(shop: Storefront, purchases: Purchases) -> None:
    """Tab, Enter and typing are enough, and the focus is where something new is to be read."""
    keyboard = shop.page.keyboard
    await _tab_to(shop, f"Buy now: {MUG}")
    await keyboard.press("Enter")
    await expect(shop.page.get_by_role("heading", name="Checkout", level=1)).to_be_focused()

    await shop.page.locator("#checkout-email").wait_for()
    await _tab_to(shop, "E-mail")
    await keyboard.press("Control+A")
    await keyboard.press("Delete")
    await _tab_to(shop, "Continue to payment")
    await keyboard.press("Enter")
    await expect(shop.page.get_by_role("alert").filter(has_text="check your details")).to_be_focused()

    await _tab_to(shop, "E-mail")
    await keyboard.type(shop.details.email.value)
    await _tab_to(shop, "Continue to payment")
    await keyboard.press("Enter")
    await expect(shop.page.get_by_role("heading", name="Payment")).to_be_focused()

    await expect(shop.card_number).to_be_visible()
    await _tab_to(shop, "Card number")
    await keyboard.type(CHALLENGED)
    await _tab_to(shop, "Pay $")
    await keyboard.press("Enter")
    await shop.page.get_by_role("button", name="Complete authentication").wait_for()
    await _tab_to(shop, "Complete authentication")
    await keyboard.press("Enter")

    await shop.sees_completed()
    await expect(shop.page.get_by_role("heading", level=1)).to_be_focused()
    await purchases.are_one_order(1800 + STANDARD)


async def test_the_focus_moves_to_a_refusal(shop: Storefront) -> None:
    """A declined card is said where the focus goes."""
    shop.recorder.expect_status(402)
    await _payment(shop)
    await shop.pay_with(NO_FUNDS)

    await expect(shop.page.get_by_role("alert").filter(has_text="Not enough funds")).to_be_focused()


async def _tab_to(shop: Storefront, name: str) -> None:
    """Press Tab until what has the focus is called this."""
    seen: list[str] = []
    while not any(each.startswith(name) for each in seen[-1:]):
        assert len(seen) < _TABS, f"{name} cannot be reached: {seen}"
        await shop.page.keyboard.press("Tab")
        seen.append(await shop.page.evaluate(_FOCUSED))


@pytest.mark.parametrize("state", [pytest.param(reach, id=name) for name, reach in STATES.items()])
async def test_axe_finds_nothing(shop: Storefront, state: State) -> None:
    """In light and dark, on a desktop and a phone."""
    await state(shop)

    assert not await violations(shop.page)
