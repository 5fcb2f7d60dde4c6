"""Permissions of a restricted key: those that docs/deployment.md lists, each for what needs it alone."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import aiohttp
import pytest
import stripe

from payments_gateway.domain.attempts import IntentKind, IntentRef
from payments_gateway.domain.audit import Window
from payments_gateway.domain.intents import CustomerMissing, IntentNotFound, IntentParams
from payments_gateway.domain.money import Money
from payments_gateway.domain.refunds import RefundOwner
from payments_gateway.domain.stripe_billing import SubscriptionRefused
from payments_gateway.domain.stripe_errors import NotFoundAtStripe, StripePermissionMissing, StripeUnavailable
from payments_gateway.stripe_api.catalogue import StripeCatalogue
from payments_gateway.stripe_api.customers import StripeCustomers
from payments_gateway.stripe_api.events import StripeEvents
from payments_gateway.stripe_api.intents import StripeIntents
from payments_gateway.stripe_api.paid_intents import StripePaidIntents
from payments_gateway.stripe_api.portal import StripePortalSessions
from payments_gateway.stripe_api.refunds import StripeDisputes, StripeRefunds
from payments_gateway.stripe_api.subscriptions import StripeSubscriptions
from payments_gateway.subscriptions.portal import PortalNotConfigured
from stripe_simulator.testing import SimulatedStripe, simulated_stripe

from ..billing_samples import SUBSCRIPTION
from ..samples import ATTEMPT_ID, INTENT_CREATED_AT
from ..stripe_stand_in import roomy_limiter, stripe_client

Call = Callable[[stripe.StripeClient], Awaitable[object]]
DEPLOYMENT: Final = Path(__file__).parents[5] / "docs" / "deployment.md"
PERMISSIONS: Final = dict(re.findall(r"`rak_(\w+)_(read|write)`", DEPLOYMENT.read_text()))
KEY: Final = "rk_test_0123456789abcd"
PAYMENT: Final = IntentRef("pi_1", IntentKind.PAYMENT)
SETUP: Final = IntentRef("seti_1", IntentKind.SETUP)
PAYMENTS: Final = Window(IntentKind.PAYMENT, INTENT_CREATED_AT)
SETUPS: Final = Window(IntentKind.SETUP, INTENT_CREATED_AT)
FOR_A_MUG: Final = IntentParams(IntentKind.PAYMENT, Money(1250, "usd"), None)
EPOCH: Final = datetime.fromtimestamp(0, UTC)
FOR_A_PLAN: Final = IntentParams(IntentKind.SETUP, Money(0, "usd"), "cus_1")
NOTHING_THERE: Final = (CustomerMissing, IntentNotFound, NotFoundAtStripe, PortalNotConfigured, SubscriptionRefused)
"""Answers of a Stripe that permits the call, and has none of the objects."""

SUBSCRIPTION_PARTS: Final = {"subscription", "invoice", "product", "coupon"}

CALLS: Final[list[tuple[set[str], Call]]] = [
    ({"payment_intent"}, lambda api: StripeIntents(api).create(ATTEMPT_ID, FOR_A_MUG, generation=0)),
    ({"payment_intent", "charge"}, lambda api: StripeIntents(api).retrieve(PAYMENT)),
    ({"payment_intent"}, lambda api: StripeIntents(api).cancel(PAYMENT)),
    ({"setup_intent"}, lambda api: StripeIntents(api).create(ATTEMPT_ID, FOR_A_PLAN, generation=1)),
    ({"setup_intent"}, lambda api: StripeIntents(api).cancel(SETUP)),
    ({"customer"}, lambda api: StripeCustomers(api).create("customer:1")),
    ({"customer"}, lambda api: StripeCustomers(api).update_email("cus_1", "ada@example.com")),
    (SUBSCRIPTION_PARTS, lambda api: StripeSubscriptions(api).create(SUBSCRIPTION)),
    (SUBSCRIPTION_PARTS, lambda api: StripeSubscriptions(api).cancel_now("sub_1")),
    ({"invoice"}, lambda api: StripeSubscriptions(api).retrieve_invoice("in_1")),
    ({"charge", "payment_intent"}, lambda api: StripeRefunds(api).retrieve("re_1")),
    ({"charge"}, lambda api: StripeRefunds(api).list_refund_ids(RefundOwner.CHARGE, "ch_1")),
    ({"dispute", "payment_intent"}, lambda api: StripeDisputes(api).retrieve("dp_1")),
    ({"plan", "product", "shipping_rate"}, lambda api: StripeCatalogue(api).read()),
    ({"plan", "product"}, lambda api: StripeCatalogue(api).find_price("price_1")),
    ({"customer_portal"}, lambda api: StripePortalSessions(api).create("cus_1", None)),
    ({"event"}, lambda api: StripeEvents(api).list_between(EPOCH, EPOCH, None)),
    ({"payment_intent", "charge"}, lambda api: StripePaidIntents(api).page(PAYMENTS, None)),
    ({"setup_intent"}, lambda api: StripePaidIntents(api).page(SETUPS, None)),
    ({"webhook"}, lambda api: api.v1.webhook_endpoints.delete_async("we_1")),
]
"""Calls of the gateway and of its command, with the resources that each needs."""


@pytest.fixture
async def sim() -> AsyncIterator[SimulatedStripe]:
    """Give an empty Stripe."""
    async with simulated_stripe() as simulated:
        yield simulated


async def forbidden(sim: SimulatedStripe, permissions: dict[str, str]) -> list[set[str]]:
    """Make all calls with a key of these permissions; return the resources of those that Stripe forbids."""
    await sim.control("POST", "/restricted_keys", {"key": KEY, "permissions": permissions})
    found = []
    async with aiohttp.ClientSession() as session:
        api = stripe_client(sim.simulator.url, session, roomy_limiter(), key=KEY)
        for resources, call in CALLS:
            try:
                with suppress(*NOTHING_THERE, stripe.InvalidRequestError):
                    await call(api)
            except StripePermissionMissing:
                found.append(resources)
            except StripeUnavailable:
                pass
    return found


async def test_the_documented_permissions_are_enough(sim: SimulatedStripe) -> None:
    """For everything that the gateway and its command do."""
    assert await forbidden(sim, PERMISSIONS) == []


@pytest.mark.parametrize("missing", PERMISSIONS)
async def test_a_missing_permission_stops_its_resource_alone(sim: SimulatedStripe, missing: str) -> None:
    """And no less than what is documented is enough."""
    less = {"read": "none", "write": "read"}

    found = await forbidden(sim, PERMISSIONS | {missing: "none"})

    assert found == [resources for resources, _ in CALLS if missing in resources]
    assert await forbidden(sim, PERMISSIONS | {missing: less[PERMISSIONS[missing]]}) != []
