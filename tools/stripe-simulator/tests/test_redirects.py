"""Methods whose buyers approve on a page of a bank or wallet: iDEAL and Amazon Pay."""

from typing import Any

import pytest

from stripe_simulator.testing import SimulatedStripe

RETURN_URL = "https://shop.example/return?checkout=1"


async def confirm(sim: SimulatedStripe, intent: Any, method_type: str) -> tuple[int, Any]:
    """Confirm with the publishable key in the form, as Stripe.js does."""
    form = {
        "key": sim.simulator.settings.publishable_key,
        "client_secret": intent.client_secret,
        "payment_method_data[type]": method_type,
        "return_url": RETURN_URL,
        "use_stripe_sdk": "true",
    }
    path = f"/v1/{'setup' if intent.object == 'setup_intent' else 'payment'}_intents/{intent.id}/confirm"
    status, body, _ = await sim.raw("POST", path, data=form, headers={})
    return status, body


async def answer(sim: SimulatedStripe, page: str, outcome: str) -> str:
    """Press a button of the page. Return where it redirects to."""
    async with sim.session.post(page, data={"outcome": outcome}, allow_redirects=False) as answered:
        return answered.headers["Location"]


@pytest.mark.parametrize(("currency", "kind"), [("eur", "ideal"), ("usd", "amazon_pay")])
@pytest.mark.parametrize(
    ("outcome", "redirect_status", "status"),
    [("pass", "succeeded", "succeeded"), ("fail", "failed", "requires_payment_method")],
)
async def test_the_buyer_approves_or_refuses(
    sim: SimulatedStripe, currency: str, kind: str, outcome: str, redirect_status: str, status: str
) -> None:
    """The page names the amount and returns to the shop with the outcome."""
    intent = await sim.intent(currency=currency)
    _, asked = await confirm(sim, intent, kind)
    page = asked["next_action"]["redirect_to_url"]["url"]

    async with sim.session.get(page) as shown:
        text = await shown.text()
    location = await answer(sim, page, outcome)

    after = await sim.api.v1.payment_intents.retrieve_async(intent.id)
    assert "19.99" in text
    assert location.startswith(f"{RETURN_URL}&payment_intent={intent.id}&payment_intent_client_secret=")
    assert location.endswith(f"&redirect_status={redirect_status}")
    assert after.status == status


async def test_a_page_that_was_left_open_decides_nothing(sim: SimulatedStripe) -> None:
    """Back button and second tab: it returns to the shop with what was decided."""
    intent = await sim.intent()
    _, asked = await confirm(sim, intent, "amazon_pay")
    page = asked["next_action"]["redirect_to_url"]["url"]
    await answer(sim, page, "pass")

    async with sim.session.get(page) as shown:
        text = await shown.text()
    location = await answer(sim, page, "fail")

    assert "decided already" in text
    assert "https://shop.example/return?checkout=1" in text
    assert location.endswith("redirect_status=succeeded")


async def test_a_saved_wallet_pays_without_its_buyer(sim: SimulatedStripe) -> None:
    """A setup intent saves it; an off-session payment does not redirect."""
    customer = await sim.api.v1.customers.create_async({})
    setup = await sim.api.v1.setup_intents.create_async({"customer": customer.id})
    _, asked = await confirm(sim, setup, "amazon_pay")
    await answer(sim, asked["next_action"]["redirect_to_url"]["url"], "pass")
    saved = await sim.api.v1.setup_intents.retrieve_async(setup.id)

    paid = await sim.intent(
        customer=customer.id,
        payment_method=str(saved.payment_method),
        off_session=True,
        confirm=True,
        return_url="https://shop.example",
    )

    assert (saved.status, paid.status) == ("succeeded", "succeeded")


async def test_a_redirect_needs_a_return_url(sim: SimulatedStripe) -> None:
    """Also where the intent lists its types."""
    intent = await sim.intent(allowed_payment_method_types=["amazon_pay"])
    form = {
        "key": sim.simulator.settings.publishable_key,
        "client_secret": intent.client_secret,
        "payment_method_data[type]": "amazon_pay",
    }

    status, body, _ = await sim.raw("POST", f"/v1/payment_intents/{intent.id}/confirm", data=form, headers={})

    assert (status, body["error"]["param"]) == (400, "return_url")


async def test_the_page_has_the_address_that_the_browser_uses(sim: SimulatedStripe) -> None:
    """In a container the simulator listens on another address than browsers reach it at."""
    intent = await sim.intent()
    form = {
        "key": sim.simulator.settings.publishable_key,
        "client_secret": intent.client_secret,
        "payment_method_data[type]": "amazon_pay",
        "return_url": RETURN_URL,
    }

    _, asked, _ = await sim.raw(
        "POST", f"/v1/payment_intents/{intent.id}/confirm", data=form, headers={"Host": "stripe.localhost:9000"}
    )

    assert asked["next_action"]["redirect_to_url"]["url"].startswith("http://stripe.localhost:9000/_simulator/")


@pytest.mark.parametrize(
    ("key", "status"), [("pk_test_simulator", 200), ("pk_test_somebody_else", 401), ("sk_test_simulator", 401)]
)
async def test_only_the_publishable_key_may_be_in_the_form(sim: SimulatedStripe, key: str, status: int) -> None:
    """A secret key in a query would end up in logs."""
    intent = await sim.intent()

    answered, _, _ = await sim.raw(
        "GET", f"/v1/payment_intents/{intent.id}?client_secret={intent.client_secret}&key={key}", headers={}
    )

    assert answered == status


@pytest.mark.parametrize(
    ("routing", "account", "code"),
    [
        ("110000000", "000123456789", None),
        ("110000001", "000123456789", "routing_number_invalid"),
        ("110000000", "1", "account_number_invalid"),
    ],
)
async def test_a_us_bank_account_is_known_by_its_numbers(
    sim: SimulatedStripe, routing: str, account: str, code: str | None
) -> None:
    """As Stripe.js sends it."""
    intent = await sim.intent()
    form = {
        "key": sim.simulator.settings.publishable_key,
        "client_secret": intent.client_secret,
        "payment_method_data[type]": "us_bank_account",
        "payment_method_data[us_bank_account][account_holder_type]": "individual",
        "payment_method_data[us_bank_account][routing_number]": routing,
        "payment_method_data[us_bank_account][account_number]": account,
        "return_url": RETURN_URL,
    }

    _, body, _ = await sim.raw("POST", f"/v1/payment_intents/{intent.id}/confirm", data=form, headers={})

    assert body.get("error", {}).get("code") == code
    assert code or body["status"] == "processing"
