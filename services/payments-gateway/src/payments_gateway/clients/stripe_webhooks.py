"""Webhook deliveries: verified as Stripe signs them, then read."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import stripe

from payments_gateway.clients.stripe_intents import read_id, read_intent
from payments_gateway.intents import IntentStatus, StripeIntent

_TOLERANCE_SECONDS: Final = 300
_SUCCEEDED: Final = frozenset({"payment_intent.succeeded", "setup_intent.succeeded"})
_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}")


class BadSignature(Exception):
    """The delivery was not signed by Stripe with one of our secrets, or not just now."""


class BadEvent(Exception):
    """The delivery is signed but is not an event that can be read."""


@dataclass(frozen=True)
class WebhookEvent:
    """A verified event."""

    id: str
    type: str
    account: str | None
    """Set when the event happened on another account that is connected to ours."""
    succeeded: StripeIntent | None
    """The intent, when the event says that one succeeded."""


class StripeWebhooks:
    """Reads webhook deliveries."""

    def __init__(self, secrets: Sequence[str], now: Callable[[], float]) -> None:
        """Accept signatures by any of the secrets; now is a clock in seconds since 1970."""
        self._secrets = tuple(secrets)
        self._now = now

    def read(self, body: bytes, signature: str | None) -> WebhookEvent:
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


def _read_event(fields: Any) -> WebhookEvent:
    kind = str(fields["type"])
    return WebhookEvent(
        id=read_id(fields["id"]),
        type=kind,
        account=fields.get("account"),
        succeeded=_read_succeeded(fields["data"]["object"]) if kind in _SUCCEEDED else None,
    )


def _read_succeeded(fields: Any) -> StripeIntent:
    intent = read_intent(fields)
    if intent.status is not IntentStatus.SUCCEEDED:
        raise ValueError("the event says succeeded and its intent does not")
    return intent
