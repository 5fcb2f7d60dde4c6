"""The gateway's parts over a real Stripe simulator, and a buyer who has just paid for subscriptions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp

from payments_gateway.domain.attempts import CheckoutContext, IntentKind, IntentRef, Interval, LineItem, Recurring
from payments_gateway.domain.intents import IntentStatus, StripeIntent
from payments_gateway.domain.money import Money
from payments_gateway.domain.purchases import PaymentReport, Purchase, ReportChannel
from payments_gateway.domain.subscriptions import Subscription
from payments_gateway.domain.webhook_events import SubscriptionChanged
from payments_gateway.stripe_api.subscriptions import StripeSubscriptions
from stripe_simulator.settings import SimulatorSettings
from stripe_simulator.testing import SimulatedStripe, simulated_stripe

from .assembly import Gateway
from .fake_subscriptions import WiredBilling
from .samples import ADA, ATTEMPT_ID, attempt
from .stripe_stand_in import roomy_limiter, stripe_client

SETTINGS: Final = SimulatorSettings(seed=7, secret_key="sk_test_1")
WEBHOOK: Final = PaymentReport(ReportChannel.WEBHOOK, "evt_1")
MONTHLY: Final = Recurring(Interval.MONTH, 1, 0)
YEARLY: Final = Recurring(Interval.YEAR, 1, 0)
CREATE: Final = "POST", "/v1/subscriptions"


@dataclass(frozen=True)
class Plan:
    """A recurring price at the simulator."""

    price_id: str
    recurring: Recurring
    unit_amount: int


@dataclass(frozen=True)
class BillingStage:
    """A simulator, and the gateway's parts that ask it about subscriptions."""

    stripe: SimulatedStripe
    gateway: Gateway

    async def plan(self, recurring: Recurring = MONTHLY, unit_amount: int = 1200) -> Plan:
        """Make a recurring price."""
        price_id = await self.stripe.recurring_price(
            unit_amount, recurring.interval.value, interval_count=recurring.interval_count
        )
        return Plan(price_id, recurring, unit_amount)

    async def paid(self, *plans: Plan, card: str = "pm_card_visa", one_time: int = 0) -> StripeIntent:
        """Let a guest's checkout of some plans be paid, with a one-time line too if it costs something."""
        customer_id, method_id = await self.stripe.saved_card(card)
        kind = IntentKind.PAYMENT if one_time else IntentKind.SETUP
        ref = IntentRef("pi_of_the_test" if one_time else "seti_of_the_test", kind)
        context = _context(plans, customer_id, one_time)
        self.gateway.attempts.put(replace(attempt(ref), context=context))
        return StripeIntent(
            ref=ref,
            status=IntentStatus.SUCCEEDED,
            attempt_id=ATTEMPT_ID,
            received=context.total if one_time else None,
            livemode=False,
            client_secret=None,
            payment_method_id=method_id,
        )

    async def fulfilled(self, paid: StripeIntent) -> Purchase:
        """Fulfil as the webhook does."""
        decision = await self.gateway.fulfilment.fulfil(paid, WEBHOOK)
        assert isinstance(decision, Purchase)
        return decision

    async def begun(self, **paid: Any) -> Subscription:
        """Let a guest begin a monthly subscription; return its row."""
        await self.fulfilled(await self.paid(await self.plan(), **paid))
        [row] = self.rows()
        return row

    def rows(self) -> list[Subscription]:
        """Show every subscription that orders has."""
        return list(self.gateway.subscriptions.rows.values())

    async def at_stripe(self) -> dict[str, str]:
        """Show every subscription that Stripe has: its status by its id."""
        listed = await self.stripe.api.v1.subscriptions.list_async({"status": "all", "limit": 100})
        return {one.id: one.status for one in listed.data}

    async def keys(self) -> list[str]:
        """Show with which idempotency keys Stripe was asked to create subscriptions."""
        method, path = CREATE
        asked = await self.stripe.control("GET", f"/requests?method={method}&path={path}")
        return [request["idempotency_key"] for request in asked["data"]]

    async def fault(self, kind: str, **more: Any) -> None:
        """Let the next request to create a subscription go wrong."""
        method, path = CREATE
        await self.stripe.control("POST", "/faults", {"kind": kind, "method": method, "path": path, **more})

    async def later(self, hours: float) -> None:
        """Let time pass, here and at Stripe."""
        self.gateway.clock.advance(hours * 3600)
        await self.stripe.control("POST", "/clock/advance", {"seconds": int(hours * 3600)})


def hint(row: Subscription, stripe_subscription_id: str = "", **changes: Any) -> SubscriptionChanged:
    """Return the news that something happened to a subscription."""
    told: dict[str, Any] = {
        "stripe_subscription_id": stripe_subscription_id or row.stripe_subscription_id,
        "subscription_id": row.id,
        "stripe_invoice_id": None,
        "livemode": False,
    }
    return SubscriptionChanged(**{**told, **changes})


@asynccontextmanager
async def billing_stage() -> AsyncIterator[BillingStage]:
    """Run a simulator and give the gateway's parts over it."""
    async with simulated_stripe(SETTINGS) as stripe, aiohttp.ClientSession() as session:
        client = stripe_client(stripe.simulator.url, session, roomy_limiter(), max_retries=1)
        gateway = Gateway(wired=lambda wire: WiredBilling(wire, StripeSubscriptions(client)))
        yield BillingStage(stripe, gateway)


def _context(plans: tuple[Plan, ...], customer_id: str, one_time: int) -> CheckoutContext:
    lines = [LineItem("price_mug", "prod_mug", "Mug", 1, Money(one_time, "usd"))] if one_time else []
    lines += [
        LineItem(plan.price_id, "prod_plan", "A plan", 1, Money(plan.unit_amount, "usd"), plan.recurring)
        for plan in plans
    ]
    return CheckoutContext(
        user_id=None,
        contact=ADA,
        shipping_address=None,
        shipping_option=None,
        items=tuple(lines),
        total=Money(one_time, "usd"),
        pay_by=datetime(2030, 1, 2, 12, tzinfo=UTC),
        supersedes=None,
        stripe_customer_id=customer_id,
    )
