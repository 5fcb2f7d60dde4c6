from typing import Any

import pytest

from payments_gateway.domain.intents import CustomerMissing
from payments_gateway.domain.stripe_errors import UnsupportedStripeObject
from payments_gateway.stripe_api.portal import StripePortalSessions
from payments_gateway.subscriptions.portal import PortalNotConfigured
from stripe_simulator.rate_limits import UNLIMITED
from stripe_simulator.settings import SimulatorSettings
from stripe_simulator.testing import simulated_stripe

from ..stripe_stand_in import roomy_limiter, stripe_client, stripe_stand_in

SESSION = {"id": "bps_1", "object": "billing_portal.session", "url": "https://billing.stripe.com/p/session/test_1"}


@pytest.mark.parametrize(("return_url", "sent"), [("https://shop.example/", True), (None, False)])
async def test_a_session_is_created_for_a_customer(return_url: str | None, *, sent: bool) -> None:
    """Without a return URL Stripe uses that of the portal's settings."""
    async with stripe_stand_in() as stripe:
        stripe.answer(SESSION)

        url = await StripePortalSessions(stripe.client).create("cus_1", return_url)

    [request] = stripe.sent
    assert url == SESSION["url"]
    assert (request.method, request.path) == ("POST", "/v1/billing_portal/sessions")
    assert request.fields == {"customer": "cus_1"} | ({"return_url": return_url} if sent else {})


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        ({"code": "resource_missing", "param": "customer"}, CustomerMissing),
        ({}, PortalNotConfigured),
        ({"code": "url_invalid", "param": "return_url"}, PortalNotConfigured),
        ({"code": "resource_missing", "param": "configuration"}, PortalNotConfigured),
    ],
)
async def test_a_refusal_tells_a_deleted_customer_from_a_missing_portal(
    error: dict[str, Any], raised: type[Exception]
) -> None:
    """Stripe gives the refusal of an account without portal settings no code."""
    async with stripe_stand_in() as stripe:
        stripe.answer(
            {"error": {"type": "invalid_request_error", "message": "No ada@example.com", **error}}, status=400
        )

        with pytest.raises(raised) as refused:
            await StripePortalSessions(stripe.client).create("cus_1", None)

    assert "ada@example.com" not in repr(refused.value)


async def test_the_simulator_has_a_portal_once_its_settings_are_saved() -> None:
    """Before it is refused, and for a deleted customer afterwards."""
    async with simulated_stripe(SimulatorSettings(seed=7, secret_key="sk_test_1", rate_limits=UNLIMITED)) as stripe:
        sessions = StripePortalSessions(stripe_client(stripe.simulator.url, stripe.session, roomy_limiter()))
        customer = (await stripe.api.v1.customers.create_async({})).id

        with pytest.raises(PortalNotConfigured):
            await sessions.create(customer, None)
        await stripe.control("POST", "/portal_settings", {})
        url = await sessions.create(customer, "https://shop.example/account")
        await stripe.api.v1.customers.delete_async(customer)
        with pytest.raises(CustomerMissing):
            await sessions.create(customer, None)

    assert url.startswith(f"{stripe.simulator.url}/_simulator/portal/")


@pytest.mark.parametrize("url", [None, "", "javascript:alert(1)", "https://billing.stripe.com/a b"])
async def test_what_is_no_address_is_not_answered(url: str | None) -> None:
    """The browser is sent there."""
    async with stripe_stand_in() as stripe:
        stripe.answer({**SESSION, "url": url})

        with pytest.raises(UnsupportedStripeObject):
            await StripePortalSessions(stripe.client).create("cus_1", None)
