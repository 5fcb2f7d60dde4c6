"""Routes webhook events to use cases.

stripe_api/webhooks.py reads the events.
"""

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from payments_gateway.domain.attempts import IntentRef
from payments_gateway.domain.intents import IntentNotFound, IntentReader, IntentStatus, StripeIntent
from payments_gateway.domain.purchases import PaymentReport, ReportChannel
from payments_gateway.domain.refunds import Dispute, Refund
from payments_gateway.domain.stripe_errors import StripeUnavailable
from payments_gateway.domain.webhook_events import (
    ChargeRefunded,
    DisputeChanged,
    IntentSucceeded,
    RefundChanged,
    SubscriptionChanged,
    SubscriptionItemChanged,
    UnreadableIntentSucceeded,
    WebhookEvent,
)
from payments_gateway.payments.fulfilment import Fulfilment
from payments_gateway.refunds.mirror import RefundLists, StripeMirror
from payments_gateway.subscriptions.sync import SubscriptionSync

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WebhookDispatcher:
    """Calls the use case of each event. What it raises decides at the edge whether Stripe delivers again."""

    fulfilment: Fulfilment
    intents: IntentReader
    refunds: StripeMirror[Refund]
    refund_lists: RefundLists
    disputes: StripeMirror[Dispute]
    subscriptions: SubscriptionSync
    livemode: bool
    """Mode of our key."""

    async def dispatch(
        self,
        event: WebhookEvent,
        event_id: str,
        created_at: datetime,
        channel: ReportChannel = ReportChannel.WEBHOOK,
    ) -> None:
        """Return once the event's effect is committed."""
        match event:
            case IntentSucceeded(intent):
                await self.fulfilment.fulfil(intent, PaymentReport(channel, event_id, created_at))
            case UnreadableIntentSucceeded(ref, livemode):
                if livemode in (None, self.livemode):  # our key does not find one of the other mode
                    intent = await self._retrieve_succeeded(ref)
                    await self.fulfilment.fulfil(intent, PaymentReport(channel, event_id, created_at))
            case RefundChanged(refund_id):
                await self.refunds.sync(refund_id)
            case ChargeRefunded(charge_id):
                await self.refund_lists.sync_charge(charge_id)
            case DisputeChanged(dispute_id):
                await self.disputes.sync(dispute_id)
            case SubscriptionChanged():
                await self.subscriptions.on_event(event)
            case SubscriptionItemChanged(item_id):
                await self.subscriptions.on_item_event(item_id)
            case _:
                assert_never(event)

    async def _retrieve_succeeded(self, ref: IntentRef) -> StripeIntent:
        """Return the intent in the form of our API version.

        Raises IntentNotFound and StripeUnavailable, after which Stripe delivers again: the payment must not be lost.
        """
        try:
            intent = await self.intents.retrieve(ref)
        except IntentNotFound:
            _log.error("succeeded intent not found at Stripe: key and webhook secret may be of two accounts")
            raise
        if intent.status is not IntentStatus.SUCCEEDED:
            _log.error("intent of a succeeded event has not succeeded", extra={"status": intent.status.value})
            raise StripeUnavailable
        return intent
