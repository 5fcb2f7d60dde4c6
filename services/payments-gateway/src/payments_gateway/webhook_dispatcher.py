"""Who takes which of Stripe's event: the one table, from what an event tells to the use case that deals with it.

Which events tell it stands in clients/stripe_webhooks.py.
"""

from dataclasses import dataclass
from typing import assert_never

from payments_gateway.domain.purchases import PaymentReport, ReportChannel
from payments_gateway.domain.refunds import Dispute
from payments_gateway.domain.webhook_events import (
    ChargeRefunded,
    DisputeChanged,
    IntentSucceeded,
    RefundChanged,
    SubscriptionChanged,
    WebhookEvent,
)
from payments_gateway.payments.fulfilment import Fulfilment
from payments_gateway.refunds.mirror import RefundMirror, StripeMirror
from payments_gateway.subscriptions.sync import SubscriptionSync


@dataclass(frozen=True)
class WebhookDispatcher:
    """Hands event over. Whatever a use case raises goes to the edge, which asks Stripe to deliver again or not."""

    fulfilment: Fulfilment
    refunds: RefundMirror
    disputes: StripeMirror[Dispute]
    subscriptions: SubscriptionSync

    async def dispatch(self, event: WebhookEvent, event_id: str) -> None:
        """Return once the effect of the event is committed."""
        match event:
            case IntentSucceeded(intent):
                await self.fulfilment.fulfil(intent, PaymentReport(ReportChannel.WEBHOOK, event_id))
            case RefundChanged(refund_id):
                await self.refunds.sync(refund_id)
            case ChargeRefunded(charge_id):
                await self.refunds.sync_charge(charge_id)
            case DisputeChanged(dispute_id):
                await self.disputes.sync(dispute_id)
            case SubscriptionChanged():
                await self.subscriptions.on_event(event)
            case _:
                assert_never(event)
