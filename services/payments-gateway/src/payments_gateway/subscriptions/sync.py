"""Writes the state of Stripe's subscriptions to orders (ADR 15).

Stripe delivers events late, twice and in any order, so an event only triggers a fetch. The subscription's version is
read, then its state is fetched from Stripe and written if the version still holds, so that an older state never
replaces a newer one.
"""

import logging
from contextlib import suppress
from dataclasses import fields
from typing import Final

from prometheus_client import Counter

from payments_gateway.domain.attempts import is_attempt_id
from payments_gateway.domain.errors import ConflictRetriesExhausted, VersionConflict
from payments_gateway.domain.stripe_billing import StripeSubscription, StripeSubscriptionsPort
from payments_gateway.domain.stripe_errors import NotFoundAtStripe, UnsupportedStripeObject
from payments_gateway.domain.stripe_events import UnsupportedObjectsPort
from payments_gateway.domain.subscriptions import (
    ENDED_STATUSES,
    Subscription,
    SubscriptionInvoice,
    SubscriptionNotFound,
    SubscriptionsPort,
)
from payments_gateway.domain.webhook_events import SubscriptionChanged, SubscriptionItemChanged
from payments_gateway.subscriptions.activation import Activation, report_duplicate
from servicekit.json_logging import bind_attempt
from servicekit.keyed_lock import HeldLock, KeyedLock

_log = logging.getLogger(__name__)

EVENTS: Final = Counter("holdfast_subscription_events", "Events about subscriptions, by outcome.", ["outcome"])

_COVERED: Final = "covered"
_MAX_CONFLICTS: Final = 30
"""Conflicts with other gateways before the event is left to Stripe's next delivery. Stripe sends about eight events at
once when a subscription begins; of two gateways each meets a conflict every second time."""


class SubscriptionSync:
    """Keeps orders' subscriptions in step with Stripe's."""

    def __init__(
        self,
        subscriptions: SubscriptionsPort,
        billing: StripeSubscriptionsPort,
        activation: Activation,
        unsupported: UnsupportedObjectsPort,
        *,
        livemode: bool,
    ) -> None:
        """Skip events of the other mode than livemode."""
        self._subscriptions = subscriptions
        self._billing = billing
        self._activation = activation
        self._unsupported = unsupported
        self._livemode = livemode
        self._locks = KeyedLock()

    async def on_event(self, event: SubscriptionChanged) -> None:
        """Write Stripe's present state. Raises ConflictRetriesExhausted, StripeUnavailable, ServiceUnavailable."""
        async with self._locks.hold(event.stripe_subscription_id) as lock:
            # One fetch serves all events that had arrived before it.
            outcome = _COVERED if lock.covered(event.stripe_invoice_id) else await self._handle(event, lock)
        EVENTS.labels(outcome).inc()

    async def on_item_event(self, stripe_item_id: str) -> None:
        """Write the present state of an item's subscription. Raises as on_event does."""
        try:
            stripe_subscription_id = await self._billing.find_by_item(stripe_item_id)
        except NotFoundAtStripe:
            # It was removed from its subscription, which another event tells, or is another account's.
            _log.info("item of a subscription not found at Stripe", extra={"stripe_item": stripe_item_id})
            EVENTS.labels("not_found").inc()
            return
        except UnsupportedStripeObject as error:
            await self._unsupported.put(SubscriptionItemChanged(stripe_item_id), error)
            _log.exception("unsupported Stripe subscription", extra={"stripe_item": stripe_item_id})
            EVENTS.labels("unsupported").inc()
            return
        await self.on_event(SubscriptionChanged(stripe_subscription_id, None, None, livemode=None))

    async def apply_snapshot(
        self, subscription: Subscription, snapshot: StripeSubscription, billing: StripeSubscriptionsPort
    ) -> Subscription:
        """Write a snapshot that was taken after the subscription was read; after a conflict take another by billing.

        Takes no lock, so that its caller waits for no event.
        """
        written, _invoice = await self._write(subscription, snapshot, None, billing)
        return written

    async def _handle(self, event: SubscriptionChanged, lock: HeldLock) -> str:
        subscription = await self._find_subscription(event) if event.livemode in (None, self._livemode) else None
        if subscription is None:
            _log.info(
                "event of a subscription that is not ours", extra={"stripe_subscription": event.stripe_subscription_id}
            )
            return "not_ours"
        bind_attempt(subscription.checkout_attempt_id)
        try:
            return await self._sync(subscription, event, lock)
        except NotFoundAtStripe:
            # Stripe keeps ended subscriptions: a missing one was deleted with test data or is another account's. The
            # recorded state stays until a person decides (ADR 15); a repeat would find nothing either.
            _log.error("recorded subscription not found at Stripe", extra={"subscription": subscription.id})
            return "not_found"
        except UnsupportedStripeObject as error:
            # A repeat would fail in the same way, and Stripe disables an endpoint that fails for days.
            await self._unsupported.put(event, error)
            _log.exception("unsupported Stripe subscription", extra={"subscription": subscription.id})
            if subscription.cancel_requested_at is not None:
                with suppress(UnsupportedStripeObject):  # its end may have been answered, and cannot be read either
                    await self._activation.activate(subscription.id)
            return "unsupported"

    async def _find_subscription(self, event: SubscriptionChanged) -> Subscription | None:
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

    async def _sync(self, subscription: Subscription, event: SubscriptionChanged, lock: HeldLock) -> str:
        snapshot = await self._billing.retrieve(event.stripe_subscription_id)
        if not subscription.is_bound and snapshot.subscription_id == subscription.id:
            subscription = await self._activation.bind(subscription, snapshot)  # the event came before the creator
            if subscription.state == snapshot.state and _has_invoices(subscription, snapshot, event):
                return "bound"
            # The creator was faster after all, with an older state; or a cancelled subscription was ended here.
            snapshot = await self._billing.retrieve(snapshot.id)
        if subscription.stripe_subscription_id != snapshot.id:
            if snapshot.subscription_id == subscription.id and snapshot.state.status not in ENDED_STATUSES:
                report_duplicate(subscription, snapshot.id)
            return "mismatch"
        written, invoice = await self._write(subscription, snapshot, event.stripe_invoice_id, self._billing)
        lock.mark_covered(_covered_parts(written, invoice))
        _log_changes(subscription, written)
        return "written"

    async def _write(
        self,
        subscription: Subscription,
        snapshot: StripeSubscription,
        stripe_invoice_id: str | None,
        billing: StripeSubscriptionsPort,
    ) -> tuple[Subscription, SubscriptionInvoice | None]:
        for _ in range(_MAX_CONFLICTS):
            invoice = await self._retrieve_invoice(snapshot, stripe_invoice_id, billing)
            try:
                written = await self._subscriptions.apply_state(
                    subscription.id, subscription.version, snapshot.state, invoice
                )
            except VersionConflict:
                subscription = await self._subscriptions.get_subscription(subscription.id)
                snapshot = await billing.retrieve(snapshot.id)
            else:
                return written, invoice
        raise ConflictRetriesExhausted

    async def _retrieve_invoice(
        self, snapshot: StripeSubscription, stripe_invoice_id: str | None, billing: StripeSubscriptionsPort
    ) -> SubscriptionInvoice | None:
        """Return the invoice that the event names, if it is this subscription's, else the latest one."""
        if stripe_invoice_id is None or stripe_invoice_id == snapshot.state.latest_invoice_id:
            return snapshot.latest_invoice
        try:
            found = await billing.retrieve_invoice(stripe_invoice_id)
        except (NotFoundAtStripe, UnsupportedStripeObject) as error:
            # The subscription's own state must not wait for an invoice.
            if isinstance(error, UnsupportedStripeObject):
                await self._unsupported.put(
                    SubscriptionChanged(snapshot.id, snapshot.subscription_id, stripe_invoice_id, livemode=None), error
                )
            _log.exception("invoice missing or unsupported", extra={"stripe_invoice": stripe_invoice_id})
            return snapshot.latest_invoice
        return found.invoice if found.stripe_subscription_id == snapshot.id else snapshot.latest_invoice


def _log_changes(before: Subscription, after: Subscription) -> None:
    """Log the names of the fields that changed; their values are in the row."""
    if before.state is None or after.state is None:
        return
    names = [each.name for each in fields(after.state)]
    changed = [name for name in names if getattr(before.state, name) != getattr(after.state, name)]
    if changed:
        shown = {"subscription": after.id, "status": after.status.value, "changed": " ".join(changed)}
        _log.info("subscription changed at Stripe", extra=shown)


def _covered_parts(written: Subscription, invoice: SubscriptionInvoice | None) -> set[str | None]:
    """Return the parts that a write covers: the invoice, and None for the state if its latest invoice is written."""
    if invoice is None:
        return {None}
    is_latest = written.state is not None and invoice.id == written.state.latest_invoice_id
    return {invoice.id, None} if is_latest else {invoice.id}


def _has_invoices(subscription: Subscription, snapshot: StripeSubscription, event: SubscriptionChanged) -> bool:
    """Return True if the snapshot's latest invoice is stored unchanged and the event is about no other one.

    An invoice can change while the subscription's state stays, for example after another attempt to charge the card.
    """
    if event.stripe_invoice_id not in (None, snapshot.state.latest_invoice_id):
        return False
    return snapshot.latest_invoice is None or snapshot.latest_invoice in subscription.invoices
