"""Builds the use cases that act on payments and on Stripe's events, the same in every process of the gateway."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import stripe

from payments_gateway.bootstrap.backends import GATEWAY_VERSION, Services, StripeClients
from payments_gateway.checkout.attempt_ids import AttemptIds
from payments_gateway.domain.refunds import Refund
from payments_gateway.domain.webhook_events import DisputeChanged, RefundChanged
from payments_gateway.events.unsupported import UnsupportedObjects
from payments_gateway.payments.deletions import AttemptDeletions
from payments_gateway.payments.fulfilment import Fulfilment
from payments_gateway.refunds.mirror import RefundLists, StripeMirror
from payments_gateway.stripe_api.intents import StripeIntents
from payments_gateway.stripe_api.refunds import StripeDisputes, StripeRefunds
from payments_gateway.stripe_api.subscriptions import StripeSubscriptions
from payments_gateway.subscriptions.activation import Activation
from payments_gateway.subscriptions.open_payments import OpenPayments
from payments_gateway.subscriptions.sync import SubscriptionSync
from payments_gateway.webhook_dispatcher import WebhookDispatcher


@dataclass(frozen=True, slots=True)
class PaymentUseCases:
    """Use cases that act on payments and events."""

    activation: Activation
    fulfilment: Fulfilment
    deletions: AttemptDeletions
    refunds: RefundLists
    sync: SubscriptionSync
    dispatcher: WebhookDispatcher


def payment_use_cases(
    services: Services, clients: StripeClients, ids: AttemptIds, *, livemode: bool, now: Callable[[], datetime]
) -> PaymentUseCases:
    """Build them over the services and Stripe."""
    attempts, subscriptions = services.attempts, services.subscriptions
    unsupported = UnsupportedObjects(services.event_retries, version=GATEWAY_VERSION, now=now)

    def refund_mirror(client: stripe.StripeClient) -> StripeMirror[Refund]:
        return StripeMirror(
            "refund",
            StripeRefunds(client),
            services.refunds,
            attempts,
            ids,
            unsupported=unsupported,
            changed=RefundChanged,
            livemode=livemode,
        )

    paid_intents = StripeIntents(clients.fulfil)
    paid_billing = StripeSubscriptions(clients.fulfil)
    activation = Activation(subscriptions, paid_billing, OpenPayments(paid_billing, paid_intents), now=now)
    earlier_refunds = RefundLists(refund_mirror(clients.fulfil), StripeRefunds(clients.fulfil), unsupported)
    deletions = AttemptDeletions(attempts)
    fulfilment = Fulfilment(
        attempts, services.orders, earlier_refunds, activation, ids, deletions=deletions, livemode=livemode, now=now
    )
    browsed_billing = StripeSubscriptions(clients.browse)
    sync = SubscriptionSync(subscriptions, browsed_billing, activation, unsupported, livemode=livemode)
    refunds = refund_mirror(clients.browse)
    disputes = StripeMirror(
        "dispute",
        StripeDisputes(clients.browse),
        services.disputes,
        attempts,
        ids,
        unsupported=unsupported,
        changed=DisputeChanged,
        livemode=livemode,
    )
    dispatcher = WebhookDispatcher(
        fulfilment=fulfilment,
        intents=paid_intents,
        refunds=refunds,
        refund_lists=RefundLists(refunds, StripeRefunds(clients.browse), unsupported),
        disputes=disputes,
        subscriptions=sync,
        livemode=livemode,
    )
    return PaymentUseCases(activation, fulfilment, deletions, earlier_refunds, sync, dispatcher)
