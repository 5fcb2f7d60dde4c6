"""Who takes which of Stripe's news: the one table, from what an event tells to the use case that deals with it.

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
    News,
    RefundChanged,
    SubscriptionChanged,
)
from payments_gateway.payments.fulfilment import Fulfilment
from payments_gateway.refunds.mirror import Copying, Refunds
from payments_gateway.subscriptions.sync import SubscriptionLife


@dataclass(frozen=True)
class Deliveries:
    """Hands news over. Whatever a use case raises goes to the edge, which asks Stripe to deliver again or not."""

    fulfilment: Fulfilment
    refunds: Refunds
    disputes: Copying[Dispute]
    subscriptions: SubscriptionLife

    async def take(self, news: News, event_id: str) -> None:
        """Return once the effect of the news is committed."""
        match news:
            case IntentSucceeded(intent):
                await self.fulfilment.fulfil(intent, PaymentReport(ReportChannel.WEBHOOK, event_id))
            case RefundChanged(refund_id):
                await self.refunds.refresh(refund_id)
            case ChargeRefunded(charge_id):
                await self.refunds.refresh_charge(charge_id)
            case DisputeChanged(dispute_id):
                await self.disputes.refresh(dispute_id)
            case SubscriptionChanged():
                await self.subscriptions.follow(news)
            case _:
                assert_never(news)
