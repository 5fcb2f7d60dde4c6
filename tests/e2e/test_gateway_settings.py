"""A gateway with other settings: an OIDC issuer, few concurrent requests to Stripe, and rate limits."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from devstack.local_issuer import AUDIENCE, LocalIssuer, SigningKey

from .conftest import Waiter, until
from .harness.control_api import ControlApi
from .harness.products import Plans, plan_cart
from .harness.shop import Shop
from .harness.system import System

KEY: Final = SigningKey.rsa("first")
MAX_CONCURRENT: Final = 4
FEW_REQUESTS: Final = {
    "STRIPE_MAX_CONCURRENT": str(MAX_CONCURRENT),
    "STRIPE_QUEUE_SECONDS": "60",
    "STRIPE_BUDGET_SECONDS": "60",
    "STRIPE_TIMEOUT_SECONDS": "60",
}
USUAL: Final = {
    "STRIPE_MAX_CONCURRENT": "40",
    "STRIPE_QUEUE_SECONDS": "8",
    "STRIPE_BUDGET_SECONDS": "12",
    "STRIPE_TIMEOUT_SECONDS": "8",
    "OIDC_ISSUER": "",
    "OIDC_AUDIENCE": "",
}
BURST: Final = 3
RATE_LIMITS: Final = {"INITIATE_PER_ADDRESS_PER_MINUTE": "1", "INITIATE_PER_ADDRESS_BURST": str(BURST)}
INTENTS: Final = "/v1/payment_intents"
INTENT_READS: Final = "/v1/payment_intents/*"
SUBSCRIPTION_READS: Final = "/v1/subscriptions/*"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def issuer(system: System) -> AsyncIterator[LocalIssuer]:
    """Restart the second gateway with an OIDC issuer and few requests to Stripe, and as usual afterwards."""
    settings = system.backend.settings_of("gateway-2")
    usual = {name: settings[name] for name in ("JWT_SECRET", *RATE_LIMITS) if name in settings}
    with LocalIssuer(KEY, host=system.backend.host) as opened:
        oidc = {"JWT_SECRET": "", "OIDC_ISSUER": opened.url, "OIDC_AUDIENCE": AUDIENCE}
        await system.backend.restart("gateway-2", FEW_REQUESTS | oidc)
        yield opened
        await system.backend.restart("gateway-2", USUAL | usual)


@pytest_asyncio.fixture(loop_scope="session")
async def second_gateway(system: System, issuer: LocalIssuer, control_api: ControlApi) -> AsyncIterator[Shop]:
    """Open a shop as a guest at the second gateway."""
    async with system.shop(gateway=1) as opened:
        yield opened


async def test_p6_only_an_issuers_user_finds_what_they_bought(
    system: System, issuer: LocalIssuer, second_gateway: Shop, settled: Waiter
) -> None:
    """Another user and a guest get 404 for attempt and order; a token of the shared secret gets 401."""
    cart = system.cart(mug=1)
    async with (
        _shop_of(system, KEY.sign(issuer.claims("user-ada"))) as ada,
        _shop_of(system, KEY.sign(issuer.claims("user-bob"))) as bob,
        _shop_of(system, second_gateway.token("user-ada")) as other_token,
    ):
        checkout = await ada.checkout(cart)
        refused = [
            reply
            for stranger in (bob, second_gateway)
            for reply in (
                await stranger.status(checkout.attempt_id),
                await stranger.complete(checkout),
                await stranger.initiate(cart.superseding(checkout.attempt_id)),
            )
        ]
        (await ada.pay(checkout)).ok()
        await settled(checkout)
        (order,) = await system.orders_db.orders_of(checkout.attempt_id)
        own = (await ada.order(str(order["id"]))).ok()
        of_another = await bob.order(str(order["id"]))
        listed = (await bob.orders()).ok()["orders"]
        unauthenticated = await other_token.orders()

    assert [(reply.status, reply.problem) for reply in refused] == [(404, "checkout_not_found")] * 6
    assert (order["user_id"], own["checkoutAttemptId"]) == ("user-ada", checkout.attempt_id)
    assert (of_another.status, of_another.problem, listed) == (404, "order_not_found", [])
    assert unauthenticated.status == 401


async def test_an_idle_connection_is_kept_for_its_time(system: System) -> None:
    """A balancer that keeps it for less never sends a request into a connection that is just being closed."""
    await system.backend.restart("gateway-2", {"KEEP_ALIVE_SECONDS": "3"})
    address = urlsplit(system.backend.addresses.gateways[1])
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: shop.example\r\n\r\n")
    await reader.readuntil(b"}")

    idle_since = time.monotonic()
    async with asyncio.timeout(20):
        rest = await reader.read()
    kept_seconds = time.monotonic() - idle_since

    writer.close()
    await system.backend.restart("gateway-2", {"KEEP_ALIVE_SECONDS": "75"})
    assert rest == b""
    assert kept_seconds == pytest.approx(3, abs=0.9)


async def test_status_polls_leave_room_for_whoever_pays(
    system: System, shop: Shop, second_gateway: Shop, control_api: ControlApi
) -> None:
    """Six polls while Stripe answers no read use half of the concurrent requests; a checkout still begins."""
    open_checkouts = [await shop.checkout(system.cart(mug=1)) for _ in range(6)]
    fault_id = await control_api.add_fault(kind="hold_before", method="GET", path=INTENT_READS, count=None)
    polls = [asyncio.create_task(second_gateway.status(checkout.attempt_id)) for checkout in open_checkouts]
    await until(lambda: _are_held(control_api, fault_id, MAX_CONCURRENT // 2), "reads held at Stripe")

    begun = await second_gateway.initiate(system.cart(mug=1))
    held = await control_api.fault_hits(fault_id)
    await control_api.clear_faults()
    replies = await asyncio.gather(*polls)

    assert (begun.status, held) == (200, MAX_CONCURRENT // 2)
    assert [reply.ok()["status"] for reply in replies] == ["open"] * 6


async def test_a_paid_checkout_passes_those_that_begin(
    system: System, shop: Shop, plans: Plans, second_gateway: Shop, control_api: ControlApi
) -> None:
    """Five checkouts begin while Stripe creates no intent, and use all slots but one: a paid one still completes."""
    await control_api.add_webhook_rule(count=None, drop=True)
    paid = await shop.checkout(plan_cart(plans, tea=1))
    (await shop.pay(paid)).ok()
    fault_id = await control_api.add_fault(kind="hold_before", method="POST", path=INTENTS, count=None)
    begun = [asyncio.create_task(second_gateway.initiate(system.cart(mug=1))) for _ in range(5)]
    await until(lambda: _are_held(control_api, fault_id, MAX_CONCURRENT - 1), "creations held at Stripe")

    completed = await second_gateway.complete(paid)
    held = await control_api.fault_hits(fault_id)
    await control_api.clear_faults()
    replies = await asyncio.gather(*begun)

    assert (completed.status, held) == (200, MAX_CONCURRENT - 1)
    activated = [each["status"] in ("active", "trialing") for each in completed.ok()["subscriptions"]]
    assert activated == [True]
    assert [reply.status for reply in replies] == [200] * 5


async def test_events_of_subscriptions_leave_room_for_whoever_pays(
    system: System, shop: Shop, plans: Plans, settled: Waiter, second_gateway: Shop, control_api: ControlApi
) -> None:
    """Six subscriptions change while Stripe answers no read: half of the requests are used; a checkout still begins."""
    subscribed = [await shop.checkout(plan_cart(plans, tea=1)) for _ in range(6)]
    for each in subscribed:
        (await shop.pay(each)).ok()
        await settled(each)
    await control_api.until_idle()
    rows = [row for each in subscribed for row in await system.orders_db.subscriptions_of(each.attempt_id)]
    fault_id = await control_api.add_fault(kind="hold_before", method="GET", path=SUBSCRIPTION_READS, count=None)
    for row in rows:
        await system.stripe.v1.subscriptions.update_async(row["stripe_subscription_id"], {"cancel_at_period_end": True})
    expected = len(rows) + MAX_CONCURRENT // 2  # the first gateway has no such limit
    await until(lambda: _are_held(control_api, fault_id, expected), "reads of both gateways held at Stripe")

    begun = await second_gateway.initiate(system.cart(mug=1))
    held = await control_api.fault_hits(fault_id)
    await control_api.clear_faults()
    await control_api.until_idle()

    assert (begun.status, held) == (200, expected)


async def test_a_card_tester_is_stopped_whatever_address_it_claims(
    system: System, second_gateway: Shop, control_api: ControlApi
) -> None:
    """429 with Retry-After after the burst, though each request claims another address; Stripe gets no more."""
    await system.backend.restart("gateway-2", RATE_LIMITS)
    mark = await control_api.request_count()

    replies = [
        await second_gateway.request(
            "POST",
            "/api/stripe/initiate-checkout",
            json=system.cart(mug=1).as_body(),
            headers={"X-Forwarded-For": f"203.0.113.{number}"},
        )
        for number in range(BURST + 3)
    ]

    assert [reply.status for reply in replies] == [200] * BURST + [429] * 3
    assert replies[-1].problem == "rate_limited"
    assert 0 < int(replies[-1].headers["Retry-After"]) <= 60
    assert len(await control_api.requests("POST", "/v1/payment_intents", after=mark)) == BURST
    assert "203.0.113." not in system.backend.log_of("gateway-2")


@asynccontextmanager
async def _shop_of(system: System, token: str) -> AsyncIterator[Shop]:
    """Open a shop at the second gateway for the bearer of a token."""
    async with system.shop(gateway=1) as shop:
        shop.session.headers["Authorization"] = f"Bearer {token}"
        yield shop


async def _are_held(control_api: ControlApi, fault_id: str, count: int) -> bool:
    return await control_api.fault_hits(fault_id) >= count
