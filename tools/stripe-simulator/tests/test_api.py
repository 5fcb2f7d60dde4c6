from typing import Any

import pytest
import stripe

from stripe_simulator.testing import SimulatedStripe, official_client

CARD = {
    "return_url": "https://shop.example/return",
    "payment_method_data[type]": "card",
    "payment_method_data[card][exp_month]": "12",
    "payment_method_data[card][exp_year]": "2034",
    "payment_method_data[card][cvc]": "123",
}


async def confirm_as_browser(sim: SimulatedStripe, card_number: str) -> tuple[int, Any, Any]:
    """Create an intent and confirm it with a card number, as Stripe.js does."""
    intent = await sim.intent()
    form = CARD | {"client_secret": intent.client_secret, "payment_method_data[card][number]": card_number}
    publishable = {"Authorization": f"Bearer {sim.simulator.settings.publishable_key}"}
    return await sim.raw("POST", f"/v1/payment_intents/{intent.id}/confirm", data=form, headers=publishable)


async def test_a_wrong_key_is_401(sim: SimulatedStripe) -> None:
    """The error redacts the key."""
    other = official_client(sim.simulator, sim.session, "sk_test_somebody_else")

    with pytest.raises(stripe.AuthenticationError, match="Invalid API Key provided") as refused:
        await other.v1.prices.list_async()

    assert refused.value.http_status == 401
    assert "somebody" not in str(refused.value)


async def test_an_error_names_its_request_in_the_dashboard(sim: SimulatedStripe) -> None:
    """One without an account cannot."""
    _, refused, headers = await sim.raw("GET", "/v1/customers/cus_1")
    _, unauthorized, _ = await sim.raw("GET", "/v1/customers/cus_1", headers={})

    address = f"https://dashboard.stripe.com/test/logs/{headers['Request-Id']}?t="
    assert refused["error"]["request_log_url"].startswith(address)
    assert "request_log_url" not in unauthorized["error"]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer "}, {"Authorization": "Basic c2s6"}])
async def test_a_missing_key_is_401(sim: SimulatedStripe, headers: dict[str, str]) -> None:
    """The response has an error envelope and a request id."""
    status, body, answered = await sim.raw("GET", "/v1/prices", headers=headers)

    assert (status, body["error"]["type"]) == (401, "invalid_request_error")
    assert answered["Request-Id"].startswith("req_")


@pytest.mark.parametrize("name", ["Authorization", "Stripe-Version", "Idempotency-Key"])
async def test_a_header_that_is_not_utf8_is_refused(sim: SimulatedStripe, name: str) -> None:
    """The request log can still be read."""
    key = {"Authorization": f"Bearer {sim.simulator.settings.secret_key}"}

    status, body, _ = await sim.raw("POST", "/v1/prices", headers=key | {name: "\udc80\udcff"})

    assert status in {400, 401}
    assert body["error"]["type"] == "invalid_request_error"
    assert (await sim.control("GET", "/requests"))["data"]


async def test_a_publishable_key_only_opens_the_intent_of_its_client_secret(sim: SimulatedStripe) -> None:
    """Other endpoints, a missing secret and the secret of another intent are refused."""
    mine, other = await sim.intent(), await sim.intent()
    intents = sim.browser.v1.payment_intents

    with pytest.raises(stripe.AuthenticationError, match="secret API key"):
        await intents.create_async({"amount": 1000, "currency": "usd"})
    for params in ({}, {"client_secret": other.client_secret or ""}):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            await intents.retrieve_async(mine.id, params)  # type: ignore[arg-type]  # one of them is incomplete
        assert refused.value.param == "client_secret"
    seen = await intents.retrieve_async(mine.id, {"client_secret": mine.client_secret or ""})
    assert (seen.id, seen.amount) == (mine.id, 1999)
    assert not {"metadata", "customer", "latest_charge", "amount_received"} & set(seen.to_dict())


async def test_a_browser_confirms_with_a_card_number(sim: SimulatedStripe) -> None:
    """It sees a reduced intent, in errors too, and pages of any origin may call."""
    status, intent, headers = await confirm_as_browser(sim, "4242 4242 4242 4242")
    declined, body, _ = await confirm_as_browser(sim, "4000000000000002")

    assert (status, intent["status"], headers["Access-Control-Allow-Origin"]) == (200, "succeeded", "*")
    assert (declined, body["error"]["code"]) == (402, "card_declined")
    assert "metadata" not in intent
    assert "metadata" not in body["error"]["payment_intent"]


async def test_a_cors_preflight_needs_no_key(sim: SimulatedStripe) -> None:
    """Browsers send it without one."""
    async with sim.session.options(f"{sim.simulator.url}/v1/payment_intents/pi_1/confirm") as answer:
        headers = answer.headers

    assert (answer.status, headers["Access-Control-Allow-Origin"]) == (200, "*")
    assert "Authorization" in headers["Access-Control-Allow-Headers"]


@pytest.mark.parametrize("version", ["latest", "2024-06-20", "2026-09-30.endive"])
async def test_the_version_is_checked(sim: SimulatedStripe, version: str) -> None:
    """Another one than the simulated is a 400, as an unknown one is at Stripe. None is the account's default."""
    prices = await sim.api.v1.prices.list_async()

    headers: Any = prices.last_response.headers if prices.last_response else {}
    assert headers["Stripe-Version"] == "2026-10-28.endive"
    with pytest.raises(stripe.InvalidRequestError, match="Invalid Stripe API version"):
        await sim.api.v1.prices.list_async({}, {"stripe_version": version})
    assert (await sim.raw("GET", "/v1/prices"))[0] == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/unicorns"),
        ("POST", "/v1/payment_intents/pi_1/fly"),
        ("DELETE", "/v1/payment_intents/pi_1"),
        ("GET", "/v1/prices/"),
        ("GET", "/"),
    ],
)
async def test_an_unknown_path_is_404(sim: SimulatedStripe, method: str, path: str) -> None:
    """The error is Stripe's own."""
    status, body, _ = await sim.raw(method, path)

    assert status == 404
    assert body["error"]["message"].startswith(f"Unrecognized request URL ({method}: {path})")


async def test_an_unknown_id_is_resource_missing(sim: SimulatedStripe) -> None:
    """404 for an id in the path, 400 for one in a parameter."""
    with pytest.raises(stripe.InvalidRequestError, match="No such payment_intent: 'pi_nothing'") as in_path:
        await sim.api.v1.payment_intents.retrieve_async("pi_nothing")
    with pytest.raises(stripe.InvalidRequestError) as in_parameter:
        await sim.intent(customer="cus_nobody")

    assert (in_path.value.http_status, in_path.value.code) == (404, "resource_missing")
    assert (in_parameter.value.http_status, in_parameter.value.param) == (400, "customer")
