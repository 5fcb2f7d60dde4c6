"""Route of the customer portal."""

import aiohttp
import pytest

from payments_gateway.domain.intents import CustomerMissing
from payments_gateway.domain.stripe_errors import StripeUnavailable
from payments_gateway.subscriptions.portal import PortalNotConfigured

from ..assembly import PORTAL_RETURN_URL, Gateway
from ..http_edge import post, token_for
from ..subscribers import subscribed

ADA = token_for("user_ada")


async def test_the_owner_opens_the_portal_of_the_subscriptions_customer(
    http: aiohttp.ClientSession, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    """It leads back to the shop. The address lets anybody in: it is neither cached nor logged, and each is new."""
    subscription = await subscribed(gateway, user_id="user_ada")
    path = f"/api/subscriptions/{subscription.id}/portal"

    opened = [await post(http, path, {}, Authorization=ADA) for _ in range(2)]

    assert [answer.status for answer in opened] == [200, 200]
    assert [answer.json for answer in opened] == [
        {"url": "https://billing.example/p/session/1_hush"},
        {"url": "https://billing.example/p/session/2_hush"},
    ]
    assert opened[0].headers["Cache-Control"] == "no-store"
    assert gateway.portal_sessions.opened == [(subscription.stripe_customer_id, PORTAL_RETURN_URL)] * 2
    assert "hush" not in caplog.text


@pytest.mark.parametrize("body", [{"returnUrl": "https://evil.example"}, {"return_url": "https://evil.example"}])
async def test_p6_the_client_does_not_say_where_the_portal_leads_back_to(
    http: aiohttp.ClientSession, gateway: Gateway, body: dict[str, str]
) -> None:
    """The request has no fields."""
    subscription = await subscribed(gateway, user_id="user_ada")

    answer = await post(http, f"/api/subscriptions/{subscription.id}/portal", body, Authorization=ADA)

    assert (answer.status, answer.kind, gateway.portal_sessions.opened) == (422, "invalid_request", [])


@pytest.mark.parametrize("owner", ["user_bob", None])
async def test_nobody_else_opens_the_portal(http: aiohttp.ClientSession, gateway: Gateway, owner: str | None) -> None:
    """Of another user's or a guest's subscription it is 404; without a token it is 401."""
    subscription = await subscribed(gateway, user_id=owner)
    path = f"/api/subscriptions/{subscription.id}/portal"

    foreign, guest = await post(http, path, {}, Authorization=ADA), await post(http, path, {})

    assert (foreign.status, foreign.kind) == (404, "subscription_not_found")
    assert (guest.status, gateway.portal_sessions.opened) == (401, [])


async def test_a_subscription_that_is_not_at_stripe_has_no_portal(
    http: aiohttp.ClientSession, gateway: Gateway
) -> None:
    """The portal would not show it."""
    gateway.wire.fail("billing.create", StripeUnavailable())
    with pytest.raises(StripeUnavailable):
        await subscribed(gateway, user_id="user_ada")
    [subscription] = gateway.subscriptions.by_id.values()

    answer = await post(http, f"/api/subscriptions/{subscription.id}/portal", {}, Authorization=ADA)

    assert (answer.status, answer.kind) == (404, "subscription_not_found")


@pytest.mark.parametrize(
    ("failure", "status", "kind", "level"),
    [
        (PortalNotConfigured(), 409, "portal_not_configured", "ERROR"),
        (CustomerMissing(), 409, "customer_deleted", "WARNING"),
        (StripeUnavailable(), 503, "temporarily_unavailable", None),
    ],
)
async def test_why_no_portal_is_opened(
    http: aiohttp.ClientSession,
    gateway: Gateway,
    caplog: pytest.LogCaptureFixture,
    failure: Exception,
    status: int,
    kind: str,
    level: str | None,
) -> None:
    """The client is told by the problem's type, an operator by the log."""
    subscription = await subscribed(gateway, user_id="user_ada")
    gateway.wire.fail("portal_sessions.create", failure)
    caplog.clear()

    answer = await post(http, f"/api/subscriptions/{subscription.id}/portal", {}, Authorization=ADA)

    assert (answer.status, answer.kind) == (status, kind)
    logged = [record.levelname for record in caplog.records if record.name == "payments_gateway.subscriptions.portal"]
    assert logged == ([level] if level else [])
