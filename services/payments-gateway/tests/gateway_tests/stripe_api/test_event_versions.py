"""Events of endpoints with other API versions, delivered by a simulator, are read as those with ours."""

from dataclasses import replace
from typing import Any

import pytest
import stripe

from payments_gateway.domain.webhook_events import (
    IntentSucceeded,
    SubscriptionChanged,
    UnreadableIntentSucceeded,
    WebhookEvent,
)
from payments_gateway.stripe_api.webhooks import EVENT_TYPES, StripeWebhooks
from stripe_simulator.testing import Receiver, SimulatedStripe, simulated_stripe, webhook_receiver


async def subscribe(sim: SimulatedStripe, receiver: Receiver, api_version: str | None) -> StripeWebhooks:
    """Register a receiver for our events in an API version, and return a reader of its deliveries."""
    params: Any = {"url": receiver.url, "enabled_events": sorted(EVENT_TYPES)}
    version = {"api_version": api_version} if api_version else {}
    endpoint = await sim.api.v1.webhook_endpoints.create_async(params | version)
    return StripeWebhooks([str(endpoint.secret)], now=lambda: signed_at(receiver))


def signed_at(receiver: Receiver) -> float:
    """Return the time of a receiver's first delivery."""
    return float(receiver.received[0].headers["Stripe-Signature"][2:12])


def events(webhooks: StripeWebhooks, receiver: Receiver) -> dict[str, WebhookEvent | None]:
    """Read everything that a receiver got, by the events' ids."""
    read = [webhooks.read(each.body, each.headers["Stripe-Signature"]) for each in receiver.received]
    return {delivery.id: common_part(delivery.event) for delivery in read}


def common_part(event: WebhookEvent | None) -> WebhookEvent | None:
    """Leave out what other versions may lack: an intent's fields, and our id in an invoice's event."""
    if isinstance(event, IntentSucceeded):
        return UnreadableIntentSucceeded(event.intent.ref, event.intent.livemode)
    if isinstance(event, SubscriptionChanged) and event.stripe_invoice_id is not None:
        return replace(event, subscription_id=None)
    return event


@pytest.mark.parametrize("api_version", ["2020-08-27", "2024-12-18.acacia", "2025-03-31.basil", None])
async def test_events_of_any_api_version_are_read_alike(api_version: str | None) -> None:
    """Payments, refunds, disputes, subscriptions and their invoices."""
    async with simulated_stripe() as sim, webhook_receiver() as receiver, webhook_receiver() as other_receiver:
        ours = await subscribe(sim, receiver, stripe.api_version)
        others = await subscribe(sim, other_receiver, api_version)
        intent = await sim.intent()
        await sim.pay(intent.id)
        await sim.api.v1.refunds.create_async({"payment_intent": intent.id})
        disputed = await sim.intent()
        await sim.pay(disputed.id)
        await sim.control("POST", f"/payment_intents/{disputed.id}/dispute", {})
        subscription = await sim.subscription(metadata={"subscriptionId": "ours"})
        await sim.api.v1.subscriptions.cancel_async(subscription.id)
        await sim.wait_until_idle()

    read = events(ours, receiver)
    assert {type(event).__name__ for event in read.values()} == {
        *("UnreadableIntentSucceeded", "RefundChanged", "ChargeRefunded", "DisputeChanged", "SubscriptionChanged")
    }
    assert events(others, other_receiver) == read
