"""Follows what becomes of subscriptions at Stripe.

An event is only a event: events come late, twice and in any order. The row's version is read, Stripe is asked, and what
it answers is written where the version still holds, so that no older state ever replaces a newer one.
"""

import logging
from typing import Final

from prometheus_client import Counter

from payments_gateway.domain.attempts import is_attempt_id
from payments_gateway.domain.errors import ConflictRetriesExhausted, VersionConflict
from payments_gateway.domain.stripe_billing import StripeSubscription, StripeSubscriptionsPort
from payments_gateway.domain.stripe_errors import NotFoundAtStripe, UnsupportedStripeObject
from payments_gateway.domain.subscriptions import (
    Subscription,
    SubscriptionInvoice,
    SubscriptionNotFound,
    SubscriptionsPort,
)
from payments_gateway.domain.webhook_events import SubscriptionChanged
from payments_gateway.subscriptions.activation import Activation
from servicekit.json_logging import bind_attempt
from servicekit.keyed_lock import HeldLock, KeyedLock

_log = logging.getLogger(__name__)

EVENTS: Final = Counter(
    "holdfast_subscription_hints", "Events about subscriptions, and what came of them.", ["outcome"]
)

_SEEN: Final = "seen_with_another"
_ROUNDS: Final = 30
"""Writers in other gateways that were faster, before Stripe is asked to send the event again. Stripe sends about eight
events at the same moment when a subscription begins; of two gateways each is the slower one every second time."""


class SubscriptionSync:
    """Keeps rows as Stripe's subscriptions are."""

    def __init__(
        self,
        subscriptions: SubscriptionsPort,
        billing: StripeSubscriptionsPort,
        activation: Activation,
        *,
        livemode: bool,
    ) -> None:
        """Follow subscriptions of the mode that our Stripe key works in."""
        self._subscriptions = subscriptions
        self._billing = billing
        self._activation = activation
        self._livemode = livemode
        self._locks = KeyedLock()

    async def on_event(self, event: SubscriptionChanged) -> None:
        """Write what Stripe shows now. Raises ConflictRetriesExhausted, StripeUnavailable, ServiceUnavailable."""
        async with self._locks.hold(event.stripe_subscription_id) as lock:
            # Of the events of one moment one look at Stripe serves all that had come before it.
            outcome = _SEEN if lock.covered(event.stripe_invoice_id) else await self._follow(event, lock)
        EVENTS.labels(outcome).inc()

    async def apply_snapshot(
        self, row: Subscription, shown: StripeSubscription, billing: StripeSubscriptionsPort
    ) -> Subscription:
        """Write what Stripe answered after the row was read; where somebody was faster, ask Stripe again, through this.

        It takes no lock: whoever waits for it waits for no event.
        """
        row, _invoice = await self._written(row, shown, None, billing)
        return row

    async def _follow(self, event: SubscriptionChanged, lock: HeldLock) -> str:
        row = await self._row(event) if event.livemode == self._livemode else None
        if row is None:
            return "not_ours"
        bind_attempt(row.checkout_attempt_id)
        try:
            return await self._bring_up_to_date(row, event, lock)
        except NotFoundAtStripe:
            # Stripe keeps ended subscriptions: one that is missing was wiped, or is another account's. What is
            # recorded stays until a person has looked (ADR 15), and asking again would be answered the same.
            _log.error("Stripe does not know a recorded subscription", extra={"subscription": row.id})
            return "gone"
        except UnsupportedStripeObject:
            # Asked again it would be the same, and Stripe switches off an endpoint that fails for days.
            _log.exception("Stripe shows a subscription that cannot be kept", extra={"subscription": row.id})
            return "unusable"

    async def _row(self, event: SubscriptionChanged) -> Subscription | None:
        try:
            return await self._subscriptions.get_subscription_by_stripe_id(event.stripe_subscription_id)
        except SubscriptionNotFound:
            pass
        if event.subscription_id is None or not is_attempt_id(event.subscription_id):
            return None
        try:
            return await self._subscriptions.get_subscription(event.subscription_id)
        except SubscriptionNotFound:
            return None

    async def _bring_up_to_date(self, row: Subscription, event: SubscriptionChanged, lock: HeldLock) -> str:
        shown = await self._billing.retrieve(event.stripe_subscription_id)
        if not row.is_bound and shown.subscription_id == row.id:
            row = await self._activation.bind(row, shown)  # the event was faster than the answer to the creator
            if row.state == shown.state and _keeps_invoices(row, shown, event):
                return "bound"
            shown = await self._billing.retrieve(shown.id)  # the creator was faster still, and bound what is older
        if row.stripe_subscription_id != shown.id:
            _log.warning("an event names a subscription of ours that is another's", extra={"subscription": row.id})
            return "of_another"
        row, invoice = await self._written(row, shown, event.stripe_invoice_id, self._billing)
        lock.mark_covered(_seen_to(row, invoice))
        return "applied"

    async def _written(
        self,
        row: Subscription,
        shown: StripeSubscription,
        stripe_invoice_id: str | None,
        billing: StripeSubscriptionsPort,
    ) -> tuple[Subscription, SubscriptionInvoice | None]:
        for _ in range(_ROUNDS):
            invoice = await self._invoice(shown, stripe_invoice_id, billing)
            try:
                return await self._subscriptions.apply_state(row.id, row.version, shown.state, invoice), invoice
            except VersionConflict:
                row = await self._subscriptions.get_subscription(row.id)
                shown = await billing.retrieve(shown.id)
        raise ConflictRetriesExhausted

    async def _invoice(
        self, shown: StripeSubscription, stripe_invoice_id: str | None, billing: StripeSubscriptionsPort
    ) -> SubscriptionInvoice | None:
        if stripe_invoice_id is None or stripe_invoice_id == shown.state.latest_invoice_id:
            return shown.latest_invoice
        try:
            invoice = await billing.retrieve_invoice(stripe_invoice_id)
        except (NotFoundAtStripe, UnsupportedStripeObject):
            # What became of the subscription itself is not to wait for it.
            _log.exception("Stripe shows an invoice that cannot be kept", extra={"stripe_invoice": stripe_invoice_id})
            return shown.latest_invoice
        return invoice.shown if invoice.stripe_subscription_id == shown.id else shown.latest_invoice


def _seen_to(written: Subscription, invoice: SubscriptionInvoice | None) -> set[str | None]:
    """Return what was looked at: an invoice, and the subscription itself (None) if its latest one was kept with it."""
    if invoice is None:
        return {None}
    is_latest = written.state is not None and invoice.id == written.state.latest_invoice_id
    return {invoice.id, None} if is_latest else {invoice.id}


def _keeps_invoices(row: Subscription, shown: StripeSubscription, event: SubscriptionChanged) -> bool:
    """Whether the row has the latest invoice as it was shown, and the event is about no other one.

    A charge may change while the subscription's own state stays: after one more try of the card, for example.
    """
    if event.stripe_invoice_id not in (None, shown.state.latest_invoice_id):
        return False
    return shown.latest_invoice is None or shown.latest_invoice in row.invoices
