"""Form, wallets and appearance as buyers meet them, and mistakes that pages make."""

from urllib.parse import urlencode

import pytest
from playwright.async_api import expect

from .shop import Shop


@pytest.mark.parametrize(
    ("label", "typed", "code", "message"),
    [
        ("Card number", "4242 4242", "incomplete_number", "Your card number is incomplete."),
        ("Card number", "4242 4242 4242 4241", "invalid_number", "Your card number is invalid."),
        ("Expiration date", "1", "incomplete_expiry", "Your card's expiration date is incomplete."),
        ("Expiration date", "1220", "invalid_expiry_year_past", "Your card's expiration year is in the past."),
        ("Security code", "", "incomplete_cvc", "Your card's security code is incomplete."),
    ],
)
async def test_invalid_input_is_announced_beside_its_field(
    shop: Shop, label: str, typed: str, code: str, message: str
) -> None:
    """Nothing is sent, and the field that is wrong has the focus."""
    intent = await shop.open()
    field = shop.page.get_by_label(label)
    await field.fill(typed)

    await shop.press("Pay")

    error = (await shop.expect_outcome(code))["error"]
    assert (error["type"], error["message"]) == ("validation_error", message)
    await expect(field).to_be_focused()
    await expect(field).to_have_attribute("aria-invalid", "true")
    await expect(field).to_have_accessible_description(message)
    await expect(shop.page.get_by_role("alert").filter(visible=True)).to_have_text(message)
    assert await shop.confirms(intent) == []


async def test_typing_is_formatted_and_enter_pays(shop: Shop) -> None:
    """The keyboard alone is enough."""
    await shop.open()
    number = shop.page.get_by_label("Card number")
    await number.fill("")
    await number.press_sequentially("5555555555554444")
    await shop.page.get_by_label("Expiration date").fill("")
    await shop.page.get_by_label("Expiration date").press_sequentially("934")

    await expect(number).to_have_value("5555 5555 5555 4444")
    await expect(number).to_have_attribute("autocomplete", "cc-number")
    await expect(shop.page.get_by_label("Expiration date")).to_have_value("09 / 34")
    await shop.page.keyboard.press("Enter")

    answer = await shop.expect_outcome("succeeded")
    assert answer["paymentIntent"]["status"] == "succeeded"
    assert {"empty": False, "complete": False} in [
        {name: event[name] for name in ("empty", "complete")} for event in await shop.events("payment", "change")
    ]


@pytest.mark.quick
@pytest.mark.parametrize("wallet", ["Google Pay", "Link"])
async def test_a_wallet_pays_at_once(shop: Shop, wallet: str) -> None:
    """The form of the card does not count. A buyer can cancel first."""
    await shop.open(express="yes")
    await shop.fill("Declined")
    await shop.press(f"Pay with {wallet}")
    await shop.press("Cancel")
    await expect(shop.page.get_by_role("button", name=f"Pay with {wallet}")).to_be_focused()
    await shop.press(f"Pay with {wallet}")

    await shop.press(f"Confirm with {wallet}")

    await shop.expect_outcome("succeeded")
    (ready,) = await shop.events("express", "ready")
    assert {name for name, shown in ready["availablePaymentMethods"].items() if shown} == {"googlePay", "link"}
    assert len(await shop.events("express", "cancel")) == 1
    (confirm,) = await shop.events("express", "confirm")
    assert confirm["expressPaymentType"] == wallet.lower().replace(" ", "_")


async def test_wallets_need_an_intent_for_cards(shop: Shop) -> None:
    """No buttons, and the page can hide the row."""
    await shop.open(await shop.sim.intent(excluded_payment_method_types=["card"]), express="yes")

    assert await shop.events("express", "ready") == [
        {"elementType": "expressCheckout", "availablePaymentMethods": None}
    ]
    await expect(shop.page.get_by_role("button", name="Pay with")).to_have_count(0)


async def test_a_challenge_of_a_first_charge_is_finished(shop: Shop) -> None:
    """`handleNextAction` takes the intent where a server left it."""
    await shop.open()
    intent = await shop.sim.intent(
        confirm=True,
        payment_method="pm_card_threeDSecure2Required",
        use_stripe_sdk=True,
        return_url="https://shop.example",
    )

    await shop.page.evaluate(
        f"void stripe.handleNextAction({{ clientSecret: '{intent.client_secret}' }})"
        ".then((answer) => { document.querySelector('output').textContent = answer.paymentIntent.status; })"
    )
    await shop.press("Complete authentication")

    await expect(shop.page.locator("output")).to_have_text("succeeded")


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("Stripe('sk_test_x')", "You should not use your secret key"),
        ("stripe.elements({ clientSecret: 'x' })", "clientSecret should be a client secret"),
        ("elements.create('payment')", "Can only create one Element of type payment"),
        ("elements.create('card')", "does not model the Element 'card'"),
        ("stripe.createToken()", "does not model createToken"),
        ("stripe.confirmPayment({ elements })", "return_url argument is required"),
        ("stripe.confirmSetup({ elements, redirect: 'if_required' })", "should be the one of a setup_intent"),
        ("stripe.handleNextAction({ clientSecret: elements.clientSecret })", "not in the requires_action state"),
        ("elements.getElement('payment').mount('#nowhere')", "applies to no DOM elements"),
    ],
)
async def test_mistakes_of_the_page_are_thrown(shop: Shop, expression: str, message: str) -> None:
    """They are Stripe's IntegrationErrors, without the client secret."""
    intent = await shop.open()

    thrown = await shop.thrown(expression)

    assert thrown.startswith("IntegrationError: ")
    assert message in thrown
    assert intent.client_secret not in thrown


async def test_the_appearance_follows_updates(shop: Shop) -> None:
    """Variables win over the theme."""
    await shop.open()
    root = shop.page.locator(".root")
    await expect(root).to_have_css("color", "rgb(48, 49, 61)")

    await shop.page.evaluate("elements.update({ appearance: { theme: 'night', variables: { colorText: '#fefefe' } } })")

    await expect(root).to_have_css("color", "rgb(254, 254, 254)")
    await expect(shop.page.get_by_label("Card number")).to_have_css("background-color", "rgb(48, 49, 61)")


async def test_loading_moves_nothing(shop: Shop) -> None:
    """The room of form and wallets is reserved before the intent is known."""
    intent = await shop.sim.intent()
    held = await shop.sim.control("POST", "/faults", {"kind": "hold_before", "path": f"*/{intent.id}"})
    await shop.page.goto(f"{shop.url}?{urlencode({'secret': intent.client_secret, 'express': 'yes'})}")
    await shop.sim.control("GET", f"/faults/{held['id']}/wait")
    pay = shop.page.get_by_role("button", name="Pay", exact=True)
    before = await pay.bounding_box()

    await shop.sim.control("POST", f"/faults/{held['id']}/release")
    await expect(shop.page.locator(".loading")).to_have_count(0)

    assert await pay.bounding_box() == before


async def test_an_element_that_could_not_load_is_mounted_again(shop: Shop) -> None:
    """The page hears why, and the buyer sees it."""
    intent = await shop.sim.intent()
    await shop.sim.control("POST", "/faults", {"kind": "proxy_error_before", "path": f"*/{intent.id}"})
    await shop.open(intent)
    await expect(shop.page.get_by_role("alert")).to_contain_text("issues connecting")

    await shop.page.evaluate("elements.getElement('payment').mount('#payment')")

    await expect(shop.page.get_by_role("radio", name="Amazon Pay")).to_be_visible()
    await shop.press("Pay")
    await shop.expect_outcome("succeeded")
    assert (await shop.events("payment", "loaderror"))[0]["error"]["type"] == "api_connection_error"


async def test_a_destroyed_element_can_be_created_again(shop: Shop) -> None:
    """React's StrictMode mounts everything twice."""
    await shop.open()

    await shop.page.evaluate("elements.getElement('payment').destroy(); elements.create('payment').mount('#payment')")

    await shop.press("Pay")
    await shop.expect_outcome("succeeded")
