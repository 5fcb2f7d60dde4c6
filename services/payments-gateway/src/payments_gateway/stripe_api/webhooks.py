"""Webhook deliveries: signature verified, then read as events of the domain.

An endpoint at Stripe may have any API version, and its events' objects that version's form. So readers take ids only,
where every version has them, and the rest is read from Stripe in ours (ADR 37).
"""

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import stripe
from prometheus_client import Counter

from payments_gateway.domain.intents import IntentStatus, StripeIntent
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
from payments_gateway.stripe_api.calls import UNREADABLE
from payments_gateway.stripe_api.fields import read_id, read_reference, read_time
from payments_gateway.stripe_api.intents import intent_from_stripe, ref_from_stripe
from payments_gateway.stripe_api.subscriptions import our_id, stripe_subscription_id, subscription_details

_log = logging.getLogger(__name__)

_SKEWED: Final = Counter("holdfast_webhook_skewed_signatures", "Deliveries signed by a secret of ours at another time.")
_OTHER_VERSION: Final = Counter(
    "holdfast_webhook_other_api_version", "Events in another API version than ours, by version.", ["api_version"]
)
_UNHANDLED: Final = Counter("holdfast_webhook_unhandled_events", "Events of types that have no effect.")

_TOLERANCE_SECONDS: Final = 300
_WARNING_SECONDS: Final = 60
_API_VERSION: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(\.[a-z]{1,32})?")
_MAX_VERSIONS: Final = 20
"""Versions that are counted apart, so that metric labels and log lines are bounded."""
_THIN_PAYLOAD: Final = "v2.core.event"
_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}")


class BadSignature(Exception):
    """The delivery has no current signature by one of our secrets."""


class BadEvent(Exception):
    """The delivery is signed, but its body is not a readable event."""


class ThinPayload(BadEvent):
    """The delivery comes from an event destination with thin payloads, which hold no object of the API that we use."""


@dataclass(frozen=True, slots=True)
class VerifiedDelivery:
    """A delivery whose signature is valid."""

    id: str
    """The event's id."""
    type: str
    """Stripe's type of the event."""
    created_at: datetime
    account: str | None
    """The connected account that the event belongs to; None for our own."""
    event: WebhookEvent | None
    """None for types of events that have no effect."""


class StripeWebhooks:
    """Reads deliveries signed with any of `secrets`; `now` is a clock in seconds since 1970."""

    def __init__(self, secrets: Sequence[str], now: Callable[[], float]) -> None:
        self._secrets = tuple(secrets)
        self._now = now
        self._warned_at = float("-inf")
        self._versions: set[str] = set()

    def read(self, body: bytes, signature: str | None) -> VerifiedDelivery:
        """Verify and read a delivery. Raises BadSignature, BadEvent, ThinPayload."""
        try:
            text = body.decode()
        except UnicodeDecodeError:
            raise BadSignature from None
        self._verify(text, signature or "")
        try:
            event = json.loads(text)
            self._require_snapshot(event)
            return _delivery(event)
        except (*UNREADABLE, RecursionError):
            raise BadEvent from None

    def _require_snapshot(self, event: Any) -> None:
        """Refuse anything but a snapshot event, and tell of its version if that is not ours.

        Source: https://docs.stripe.com/event-destinations#thin-events
        """
        if event["object"] == _THIN_PAYLOAD:
            _log.error("event destination at Stripe sends thin payloads: replace it by a webhook endpoint")
            raise ThinPayload
        if event["object"] != "event":
            raise BadEvent
        version = event.get("api_version")
        if version != stripe.api_version:
            self._count_version(version)

    def _count_version(self, version: Any) -> None:
        name = version if isinstance(version, str) and _API_VERSION.fullmatch(version) else "unknown"
        if name not in self._versions and len(self._versions) >= _MAX_VERSIONS:
            name = "more"
        if name not in self._versions:
            self._versions.add(name)
            _log.warning(
                "webhook endpoint at Stripe has another API version than this release",
                extra={"api_version": name, "ours": stripe.api_version},
            )
        _OTHER_VERSION.labels(name).inc()

    def _verify(self, text: str, signature: str) -> None:
        signed_at = _signed_at(signature)
        if not any(_is_signed_with(secret, text, signature) for secret in self._secrets):
            self._warn_of_unknown_secret()
            raise BadSignature
        skew_seconds = signed_at - self._now()
        # Timestamps of the future too, which the library accepts: a captured delivery could be replayed until then.
        if abs(skew_seconds) > _TOLERANCE_SECONDS:
            # Only a holder of our secret, or of a captured delivery, gets here: strangers cannot fill the log.
            _SKEWED.inc()
            _log.error(
                "webhook signed at another time, or this clock is wrong", extra={"skew_seconds": round(skew_seconds)}
            )
            raise BadSignature

    def _warn_of_unknown_secret(self) -> None:
        """Log that no secret of ours made a signature, at most once a minute: strangers can send such requests."""
        if self._now() - self._warned_at < _WARNING_SECONDS:
            return
        self._warned_at = self._now()
        _log.warning("webhook signed with an unknown secret: of another endpoint, account or mode, or forged")


def _signed_at(signature: str) -> int:
    """Return the header's timestamp. Two timestamps are refused: the one checked might not be the one signed."""
    pairs = (part.partition("=") for part in signature.split(","))
    timestamps = [value for name, _, value in pairs if name.strip() == "t"]
    if len(timestamps) != 1 or not signature.isascii() or not _TIMESTAMP.fullmatch(timestamps[0]):
        raise BadSignature
    return int(timestamps[0])


def _is_signed_with(secret: str, text: str, signature: str) -> bool:
    try:
        stripe.WebhookSignature.verify_header(text, signature, secret)
    except stripe.SignatureVerificationError:
        return False
    return True


def _delivery(fields: Any) -> VerifiedDelivery:
    kind = str(fields["type"])
    if kind not in _READERS:
        _UNHANDLED.inc()
    event = _READERS[kind](fields["data"]["object"]) if kind in _READERS else None
    if isinstance(event, IntentSucceeded) and _may_lack_fields(event.intent, fields.get("api_version")):
        event = UnreadableIntentSucceeded(event.intent.ref, event.intent.livemode)
    return VerifiedDelivery(
        id=read_id(fields["id"]),
        type=kind,
        created_at=read_time(fields["created"]),
        account=fields.get("account"),
        event=event,
    )


def read_reference_event(fields: Any) -> WebhookEvent | None:
    """Read an event as the id of its object; None if it has no effect. Raises one of UNREADABLE.

    An intent is read without an attempt, as other software's is, or by its id alone.
    """
    kind = str(fields["type"])
    event = _READERS[kind](fields["data"]["object"]) if kind in _READERS else None
    if not isinstance(event, IntentSucceeded):
        return event
    if event.intent.attempt_id is None:
        return None
    return UnreadableIntentSucceeded(event.intent.ref, event.intent.livemode)


def _may_lack_fields(intent: StripeIntent, api_version: Any) -> bool:
    """Return True for an intent in another version, whose gaps, such as the payment method, must not count as nothing.

    Other software's is of no interest: every version has metadata, and asking for it would spend the limit of ours.
    """
    return api_version != stripe.api_version and intent.attempt_id is not None


def _intent_succeeded(shown: Any) -> IntentSucceeded | UnreadableIntentSucceeded:
    """Read the intent from the event, which spares a request for each payment."""
    livemode = shown.get("livemode")
    unreadable = UnreadableIntentSucceeded(ref_from_stripe(shown), livemode if isinstance(livemode, bool) else None)
    try:
        intent = intent_from_stripe(shown)
    except UNREADABLE:
        return unreadable
    return IntentSucceeded(intent) if intent.status is IntentStatus.SUCCEEDED else unreadable


def _refund_changed(shown: Any) -> RefundChanged:
    return RefundChanged(read_id(shown["id"]))


def _charge_refunded(shown: Any) -> ChargeRefunded:
    return ChargeRefunded(read_id(shown["id"]))


def _dispute_changed(shown: Any) -> DisputeChanged:
    return DisputeChanged(read_id(shown["id"]))


def _subscription_changed(shown: Any) -> SubscriptionChanged:
    return SubscriptionChanged(
        stripe_subscription_id=read_id(shown["id"]),
        subscription_id=our_id(shown),
        stripe_invoice_id=None,
        livemode=bool(shown["livemode"]),
    )


def _discount_changed(shown: Any) -> SubscriptionChanged | SubscriptionItemChanged | None:
    """Read a discount of a subscription or of its item. It may end by itself, without a change of the subscription.

    Source: https://docs.stripe.com/api/discounts/object#discount_object-subscription_item
    """
    discounted_id = read_reference(shown.get("subscription"))
    if discounted_id is not None:
        return SubscriptionChanged(discounted_id, None, None, livemode=None)
    item_id = read_reference(shown.get("subscription_item"))
    return None if item_id is None else SubscriptionItemChanged(item_id)


def _invoice_changed(shown: Any) -> SubscriptionChanged | None:
    charged_subscription_id = stripe_subscription_id(shown)
    if charged_subscription_id is None:
        return None
    return SubscriptionChanged(
        stripe_subscription_id=charged_subscription_id,
        subscription_id=our_id(subscription_details(shown)),
        stripe_invoice_id=read_id(shown["id"]),
        livemode=bool(shown["livemode"]),
    )


_READERS: Final[Mapping[str, Callable[[Any], WebhookEvent | None]]] = {
    "payment_intent.succeeded": _intent_succeeded,
    "setup_intent.succeeded": _intent_succeeded,
    "refund.created": _refund_changed,
    "refund.updated": _refund_changed,
    "refund.failed": _refund_changed,
    "charge.refund.updated": _refund_changed,
    "charge.refunded": _charge_refunded,
    "charge.dispute.created": _dispute_changed,
    "charge.dispute.updated": _dispute_changed,
    "charge.dispute.closed": _dispute_changed,
    "charge.dispute.funds_withdrawn": _dispute_changed,
    "charge.dispute.funds_reinstated": _dispute_changed,
    "customer.discount.created": _discount_changed,
    "customer.discount.updated": _discount_changed,
    "customer.discount.deleted": _discount_changed,
    "customer.subscription.created": _subscription_changed,
    "customer.subscription.updated": _subscription_changed,
    "customer.subscription.deleted": _subscription_changed,
    "customer.subscription.paused": _subscription_changed,
    "customer.subscription.resumed": _subscription_changed,
    "customer.subscription.trial_will_end": _subscription_changed,
    "invoice.finalized": _invoice_changed,
    "invoice.updated": _invoice_changed,
    "invoice.paid": _invoice_changed,
    "invoice.payment_failed": _invoice_changed,
    "invoice.payment_action_required": _invoice_changed,
    "invoice.voided": _invoice_changed,
    "invoice.marked_uncollectible": _invoice_changed,
}
"""Reader by type of event, for every type that has an effect. WebhookDispatcher passes the events to use cases."""

EVENT_TYPES: Final = frozenset(_READERS)
"""Types that the endpoint at Stripe must be subscribed to."""
