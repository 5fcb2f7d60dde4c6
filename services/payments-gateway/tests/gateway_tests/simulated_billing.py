"""A buyer of subscriptions, at a gateway over a Stripe simulator."""

from dataclasses import dataclass, replace
from typing import Any, Final

import pytest

from payments_gateway.domain.attempts import IntentKind, IntentRef, LineItem, Recurring
from payments_gateway.domain.intents import IntentStatus, StripeIntent
from payments_gateway.domain.money import Money
from payments_gateway.domain.purchases import Purchase
from payments_gateway.domain.stripe_billing import StripeSubscription
from payments_gateway.domain.subscriptions import Subscription
from payments_gateway.domain.webhook_events import SubscriptionChanged
from stripe_simulator.testing import SimulatedStripe

from .assembly import Gateway
from .fakes import Crash
from .samples import ATTEMPT_ID, CONTEXT, INTENT_CREATED_AT, MONTHLY, attempt

CREATE: Final = {"method": "POST", "path": "/v1/subscriptions"}


@dataclass(frozen=True)
class Billing:
    """A simulator and a gateway that asks it about subscriptions."""

    stripe: SimulatedStripe
    gateway: Gateway

    async def plan(self, recurring: Recurring = MONTHLY, unit_amount: int = 1200) -> LineItem:
        """Create a recurring price; return a cart line of it."""
        price_id = await self.stripe.recurring_price(unit_amount, recurring.interval.value)
        return LineItem(price_id, "prod_plan", "A plan", 1, Money(unit_amount, "usd"), recurring)

    async def paid(self, *plans: LineItem, card: str = "pm_card_visa", one_time: int = 0) -> StripeIntent:
        """Let a guest pay for plans, by default one, and for a one-time line if it has an amount."""
        customer_id, method_id = await self.stripe.saved_card(card)
        total = Money(one_time, "usd")
        ref = IntentRef("pi_1", IntentKind.PAYMENT) if one_time else IntentRef("seti_1", IntentKind.SETUP)
        mugs = [LineItem("price_mug", "prod_mug", "Mug", 1, total)] if one_time else []
        context = replace(
            CONTEXT,
            shipping_option=None,
            items=(*mugs, *(plans or [await self.plan()])),
            total=total,
            stripe_customer_id=customer_id,
        )
        self.gateway.attempts.put(replace(attempt(ref), context=context))
        return StripeIntent(
            ref=ref,
            status=IntentStatus.SUCCEEDED,
            attempt_id=ATTEMPT_ID,
            received=total if one_time else None,
            livemode=False,
            client_secret=None,
            created_at=INTENT_CREATED_AT,
            payment_method_id=method_id,
        )

    async def fulfil(self, paid: StripeIntent) -> Purchase:
        """Fulfil as the webhook does."""
        decision = await self.gateway.fulfil(paid)
        assert isinstance(decision, Purchase)
        return decision

    async def crash(self, paid: StripeIntent, call: str, *, after_effect: bool = False) -> None:
        """Fulfil until the process is killed at a call."""
        self.gateway.wire.fail(call, Crash(), after_effect=after_effect)
        with pytest.raises(Crash):
            await self.fulfil(paid)
        self.gateway.wire.heal()

    async def begun(self, **paid: Any) -> Subscription:
        """Let a guest begin a monthly subscription."""
        [subscription] = (await self.fulfil(await self.paid(**paid))).subscriptions
        return subscription

    async def begun_elsewhere(self, **changes: Any) -> StripeSubscription:
        """Create a Stripe subscription without the gateway."""
        created = await self.stripe.subscription(**changes)
        return await self.gateway.billing.retrieve(created.id)

    def recorded(self) -> list[Subscription]:
        """Return every subscription that orders has."""
        return list(self.gateway.subscriptions.by_id.values())

    def the_recorded(self) -> Subscription:
        """Return the only subscription that orders has."""
        [subscription] = self.recorded()
        return subscription

    async def at_stripe(self) -> dict[str, str]:
        """Return the status of every subscription that Stripe has, by its id."""
        listed = await self.stripe.api.v1.subscriptions.list_async({"status": "all", "limit": 100})
        return {each.id: each.status for each in listed.data}

    async def require_bound(self, count: int = 1) -> None:
        """Fail unless Stripe has this many subscriptions and each is bound with its present status."""
        bound = {each.stripe_subscription_id: each.status.value for each in self.recorded()}
        assert len(await self.at_stripe()) == count
        assert bound == await self.at_stripe()

    async def end(self, subscription: Subscription) -> None:
        """Cancel a subscription at Stripe."""
        await self.stripe.api.v1.subscriptions.cancel_async(str(subscription.stripe_subscription_id))

    async def invoice_ids(self, stripe_subscription_id: str | None) -> list[str]:
        """Return the ids of a subscription's invoices, newest first."""
        listed = await self.stripe.api.v1.invoices.list_async(
            {"subscription": str(stripe_subscription_id), "limit": 100}
        )
        return [str(invoice.id) for invoice in listed.data]

    async def keys(self) -> list[str]:
        """Return the idempotency keys that subscriptions were created with."""
        requests = await self.stripe.control("GET", "/requests?method={method}&path={path}".format(**CREATE))
        return [request["idempotency_key"] for request in requests["data"]]

    async def fault(self, kind: str, **more: Any) -> None:
        """Let the next request to create a subscription fail."""
        await self.stripe.control("POST", "/faults", {"kind": kind, **CREATE, **more})

    async def later(self, hours: float) -> None:
        """Let time pass, here and at Stripe."""
        self.gateway.clock.advance(hours * 3600)
        await self.stripe.control("POST", "/clock/advance", {"seconds": int(hours * 3600)})

    async def on_event(self, subscription: Subscription, stripe_subscription_id: str = "", **changes: Any) -> None:
        """Handle an event about a subscription."""
        await self.gateway.sync.on_event(event(subscription, stripe_subscription_id, **changes))


def event(subscription: Subscription, stripe_subscription_id: str = "", **changes: Any) -> SubscriptionChanged:
    """Return an event about a subscription."""
    fields: dict[str, Any] = {
        "stripe_subscription_id": stripe_subscription_id or subscription.stripe_subscription_id,
        "subscription_id": subscription.id,
        "stripe_invoice_id": None,
        "livemode": False,
    }
    return SubscriptionChanged(**{**fields, **changes})
