from typing import Any

import aiohttp
import pytest
import stripe

from stripe_simulator.testing import SimulatedStripe, client


async def test_a_wrong_key_is_401(sim: SimulatedStripe) -> None:
    """An unknown key is refused without showing it whole."""
    stranger = client(sim.simulator, sim.session, "sk_test_somebody_else")

    with pytest.raises(stripe.AuthenticationError) as refused:
        await stranger.v1.prices.list_async()

    assert refused.value.http_status == 401
    assert "Invalid API Key provided" in str(refused.value)
    assert "somebody" not in str(refused.value)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer "}, {"Authorization": "Basic ???"}])
async def test_a_missing_key_is_401(sim: SimulatedStripe, headers: dict[str, str]) -> None:
    """Without a key there is an error envelope and a request id."""
    status, body, answered = await sim.raw("GET", "/v1/prices", headers=headers)

    assert status == 401
    assert body["error"]["type"] == "invalid_request_error"
    assert answered["Request-Id"].startswith("req_")


@pytest.mark.parametrize("name", ["Authorization", "Stripe-Version", "Idempotency-Key"])
async def test_a_header_that_is_no_text_is_refused(sim: SimulatedStripe, name: str) -> None:
    """Bytes that are no UTF-8 are the caller's fault, and the request can still be listed."""
    good = {"Authorization": f"Bearer {sim.simulator.settings.secret_key}"}

    status, body, _ = await sim.raw("POST", "/v1/prices", headers=good | {name: "\udc80\udcff"})

    assert status in {400, 401}
    assert body["error"]["type"] == "invalid_request_error"
    assert (await sim.control("GET", "/requests"))["data"]


async def test_basic_authentication_is_accepted(sim: SimulatedStripe) -> None:
    """The key may come as the user name of HTTP basic authentication."""
    basic = aiohttp.encode_basic_auth(sim.simulator.settings.secret_key, "")

    status, body, _ = await sim.raw("GET", "/v1/prices", headers={"Authorization": basic})

    assert (status, body["object"]) == (200, "list")


async def test_a_browser_cannot_do_what_a_server_does(sim: SimulatedStripe) -> None:
    """A publishable key creates and lists nothing."""
    params: Any = {"amount": 1000, "currency": "usd"}

    with pytest.raises(stripe.AuthenticationError) as refused:
        await sim.browser.v1.payment_intents.create_async(params)

    body: Any = refused.value.json_body
    assert body["error"]["code"] == "secret_key_required"


async def test_a_browser_sees_a_reduced_intent(sim: SimulatedStripe) -> None:
    """With the client secret a browser retrieves the intent without metadata, customer and charge."""
    intent = await sim.intent()

    seen = await sim.browser.v1.payment_intents.retrieve_async(intent.id, {"client_secret": intent.client_secret or ""})

    assert (seen.id, seen.amount, seen.client_secret) == (intent.id, 1999, intent.client_secret)
    assert not {"metadata", "customer", "latest_charge", "amount_received"} & set(seen.to_dict())


async def test_a_wrong_client_secret_is_refused(sim: SimulatedStripe) -> None:
    """One intent's secret does not open another."""
    mine, other = await sim.intent(), await sim.intent()

    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.browser.v1.payment_intents.retrieve_async(mine.id, {"client_secret": other.client_secret or ""})

    assert (refused.value.http_status, refused.value.param) == (400, "client_secret")


async def test_a_browser_needs_the_client_secret(sim: SimulatedStripe) -> None:
    """An id alone opens nothing to a browser."""
    intent = await sim.intent()

    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.browser.v1.payment_intents.retrieve_async(intent.id)

    assert (refused.value.code, refused.value.param) == ("parameter_missing", "client_secret")


async def test_a_browser_confirms_with_a_raw_card(sim: SimulatedStripe) -> None:
    """Stripe.js sends card numbers, which server libraries do not."""
    intent = await sim.intent()
    publishable = {"Authorization": f"Bearer {sim.simulator.settings.publishable_key}"}
    form = {
        "client_secret": intent.client_secret,
        "return_url": "https://shop.example/return",
        "payment_method_data[type]": "card",
        "payment_method_data[card][number]": "4242424242424242",
        "payment_method_data[card][exp_month]": "12",
        "payment_method_data[card][exp_year]": "2034",
        "payment_method_data[card][cvc]": "123",
    }

    status, body, headers = await sim.raw(
        "POST", f"/v1/payment_intents/{intent.id}/confirm", data=form, headers=publishable
    )

    assert (status, body["status"]) == (200, "succeeded")
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "metadata" not in body


async def test_the_version_asked_for_is_echoed(sim: SimulatedStripe) -> None:
    """The answer names the API version and a request id."""
    prices = await sim.api.v1.prices.list_async()

    headers: Any = prices.last_response.headers if prices.last_response else {}
    assert headers["Stripe-Version"] == "2026-10-28.endive"
    assert headers["Request-Id"].startswith("req_")


async def test_a_version_that_never_was_is_refused(sim: SimulatedStripe) -> None:
    """A version header that is no version is a 400."""
    with pytest.raises(stripe.InvalidRequestError, match="Invalid Stripe API version"):
        await sim.api.v1.prices.list_async({}, {"stripe_version": "latest"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/unicorns"),
        ("POST", "/v1/payment_intents/pi_1/fly"),
        ("DELETE", "/v1/payment_intents/pi_1"),
        ("GET", "/v1/prices/"),
        ("POST", "/v1/coupons"),
        ("GET", "/"),
    ],
)
async def test_an_unknown_url_is_404(sim: SimulatedStripe, method: str, path: str) -> None:
    """URLs that are not simulated get Stripe's own 404 envelope."""
    status, body, _ = await sim.raw(method, path)

    assert status == 404
    assert body["error"]["message"].startswith(f"Unrecognized request URL ({method}: {path})")


async def test_a_browser_sees_a_reduced_intent_in_errors(sim: SimulatedStripe) -> None:
    """The intent inside a card error has no metadata either."""
    intent = await sim.intent()
    publishable = {"Authorization": f"Bearer {sim.simulator.settings.publishable_key}"}
    form = {
        "client_secret": intent.client_secret,
        "return_url": "https://shop.example/return",
        "payment_method": "pm_card_chargeDeclined",
    }

    status, body, _ = await sim.raw("POST", f"/v1/payment_intents/{intent.id}/confirm", data=form, headers=publishable)

    assert (status, body["error"]["code"]) == (402, "card_declined")
    assert "metadata" not in body["error"]["payment_intent"]


async def test_pages_of_any_origin_may_call(sim: SimulatedStripe) -> None:
    """A browser's preflight is answered without a key."""
    async with sim.session.options(f"{sim.simulator.url}/v1/payment_intents/pi_1/confirm") as answer:
        headers = answer.headers

    assert answer.status == 200
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "Authorization" in headers["Access-Control-Allow-Headers"]
