"""Webhook deliveries: verified as Stripe signs them, then read."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import stripe

from payments_gateway.domain.intents import IntentStatus
from payments_gateway.domain.webhook_events import (
    ChargeRefunded,
    DisputeChanged,
    IntentSucceeded,
    RefundChanged,
    SubscriptionChanged,
    WebhookEvent,
)
from payments_gateway.stripe_api.fields import read_id
from payments_gateway.stripe_api.intents import read_intent
from payments_gateway.stripe_api.subscriptions import our_id, subscription_of

_TOLERANCE_SECONDS: Final = 300
_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}")


class BadSignature(Exception):
    """The delivery was not signed by Stripe with one of our secrets, or not just now."""


class BadEvent(Exception):
    """The delivery is signed but is not an event that can be read."""


@dataclass(frozen=True)
class VerifiedDelivery:
    """A verified event."""

    id: str
    type: str
    account: str | None
    """Set when the event happened on another account that is connected to ours."""
    event: WebhookEvent | None
    """What it tells us; None when nothing is done about events of its type."""


class StripeWebhooks:
    """Reads webhook deliveries."""

    def __init__(self, secrets: Sequence[str], now: Callable[[], float]) -> None:
        """Accept signatures by any of the secrets; now is a clock in seconds since 1970."""
        self._secrets = tuple(secrets)
        self._now = now

    def read(self, body: bytes, signature: str | None) -> VerifiedDelivery:
        """Return the event that a delivery carries. Raises BadSignature, BadEvent."""
        try:
            text = body.decode()
        except UnicodeDecodeError:
            raise BadSignature from None
        self._verify(text, signature or "")
        try:
            return _read_event(json.loads(text))
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
            raise BadEvent from None

    def _verify(self, text: str, signature: str) -> None:
        # The library lets timestamps of the future pass, so that a captured delivery could be replayed until then.
        if abs(self._now() - _signed_at(signature)) > _TOLERANCE_SECONDS:
            raise BadSignature
        if not any(_is_signed_by(secret, text, signature) for secret in self._secrets):
            raise BadSignature


def _signed_at(signature: str) -> int:
    """Return the one timestamp of the header; with two, the one checked might not be the one signed."""
    pairs = (part.partition("=") for part in signature.split(","))
    stamps = [value for name, _, value in pairs if name.strip() == "t"]
    if len(stamps) != 1 or not signature.isascii() or not _TIMESTAMP.fullmatch(stamps[0]):
        raise BadSignature
    return int(stamps[0])


def _is_signed_by(secret: str, text: str, signature: str) -> bool:
    try:
        stripe.WebhookSignature.verify_header(text, signature, secret)
    except stripe.SignatureVerificationError:
        return False
    return True


def _read_event(fields: Any) -> VerifiedDelivery:
    kind = str(fields["type"])
    return VerifiedDelivery(
        id=read_id(fields["id"]),
        type=kind,
        account=fields.get("account"),
        event=_READERS[kind](fields["data"]["object"]) if kind in _READERS else None,
    )


def _read_succeeded(shown: Any) -> IntentSucceeded:
    intent = read_intent(shown)
    if intent.status is not IntentStatus.SUCCEEDED:
        raise ValueError("the event says succeeded and its intent does not")
    return IntentSucceeded(intent)


def _read_refund(shown: Any) -> RefundChanged:
    return RefundChanged(read_id(shown["id"]))


def _read_refunded_charge(shown: Any) -> ChargeRefunded:
    return ChargeRefunded(read_id(shown["id"]))


def _read_dispute(shown: Any) -> DisputeChanged:
    return DisputeChanged(read_id(shown["id"]))


def _read_subscription(shown: Any) -> SubscriptionChanged:
    return SubscriptionChanged(
        stripe_subscription_id=read_id(shown["id"]),
        subscription_id=our_id(shown),
        stripe_invoice_id=None,
        livemode=bool(shown["livemode"]),
    )


def _read_invoice(shown: Any) -> SubscriptionChanged | None:
    charged = subscription_of(shown)
    if charged is None:
        return None
    return SubscriptionChanged(
        stripe_subscription_id=read_id(charged),
        subscription_id=our_id(shown["parent"]["subscription_details"]),
        stripe_invoice_id=read_id(shown["id"]),
        livemode=bool(shown["livemode"]),
    )


_READERS: Final[Mapping[str, Callable[[Any], WebhookEvent | None]]] = {
    "payment_intent.succeeded": _read_succeeded,
    "setup_intent.succeeded": _read_succeeded,
    "refund.created": _read_refund,
    "refund.updated": _read_refund,
    "refund.failed": _read_refund,
    "charge.refund.updated": _read_refund,
    "charge.refunded": _read_refunded_charge,
    "charge.dispute.created": _read_dispute,
    "charge.dispute.updated": _read_dispute,
    "charge.dispute.closed": _read_dispute,
    "charge.dispute.funds_withdrawn": _read_dispute,
    "charge.dispute.funds_reinstated": _read_dispute,
    "customer.subscription.created": _read_subscription,
    "customer.subscription.updated": _read_subscription,
    "customer.subscription.deleted": _read_subscription,
    "customer.subscription.paused": _read_subscription,
    "customer.subscription.resumed": _read_subscription,
    "customer.subscription.trial_will_end": _read_subscription,
    "invoice.finalized": _read_invoice,
    "invoice.paid": _read_invoice,
    "invoice.payment_failed": _read_invoice,
    "invoice.payment_action_required": _read_invoice,
    "invoice.voided": _read_invoice,
    "invoice.marked_uncollectible": _read_invoice,
}
"""Every type of event that anything is done about, and what it tells. Who deals with it stands in dispatcher.py."""

EVENT_TYPES: Final = frozenset(_READERS)
"""What an endpoint at Stripe has to be subscribed to."""
