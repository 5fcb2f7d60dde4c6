"""Intents, kept by Stripe."""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import stripe

from payments_gateway.attempts import IntentKind, IntentRef
from payments_gateway.intents import (
    ATTEMPT_ID_KEY,
    IdempotencyKeyReused,
    IdempotencyKeySpent,
    IntentNotFound,
    IntentRefused,
    IntentStatus,
    StripeIntent,
    StripeUnavailable,
)
from payments_gateway.money import Money

if TYPE_CHECKING:
    from stripe.params import PaymentIntentCreateParams

_log = logging.getLogger(__name__)

_PAID_DAYS_LATER: Final = ["boleto", "customer_balance", "konbini", "multibanco", "oxxo"]
"""Vouchers and bank transfers: their buyer may pay days after pay-by, when the intent has been cancelled."""

_ID: Final = re.compile(r"[!-~]{1,255}")
_CURRENCY: Final = re.compile(r"[A-Za-z]{3}")
_MOST_MINOR_UNITS: Final = 2**63 - 1

_UNEXPECTED_STATE: Final = "payment_intent_unexpected_state"
_CANCELS: Final = 2
"""A cancel whose key replays a failure is sent once more with another key: it does nothing twice."""


class StripeIntents:
    """The Intents port over Stripe's API."""

    def __init__(self, client: stripe.StripeClient) -> None:
        """Use a client that was built once; its StripeHttp bounds and repeats every call."""
        self._payment_intents = client.v1.payment_intents

    async def create(self, attempt_id: str, amount: Money, *, generation: int) -> StripeIntent:
        """Make a PaymentIntent for an attempt, once per generation."""
        params: PaymentIntentCreateParams = {
            "amount": amount.minor_units,
            "currency": amount.currency,
            "automatic_payment_methods": {"enabled": True},
            "excluded_payment_method_types": list(_PAID_DAYS_LATER),
            "metadata": {ATTEMPT_ID_KEY: attempt_id},
        }
        key = f"attempt:{attempt_id}" + (f":{generation}" if generation else "")
        with _failures_named():
            answer = await self._payment_intents.create_async(params, {"idempotency_key": key})
            intent = read_intent(answer.to_dict())
        # A replayed answer shows the intent as it was when it was made; it may have been cancelled or paid since.
        return await self.retrieve(intent.ref) if _is_replay(answer.last_response) else intent

    async def retrieve(self, ref: IntentRef) -> StripeIntent:
        """Return the intent as it stands now."""
        _require_payment(ref)
        with _failures_named():
            return read_intent((await self._payment_intents.retrieve_async(ref.id)).to_dict())

    async def cancel(self, ref: IntentRef) -> StripeIntent:
        """Cancel the intent if Stripe still lets us."""
        _require_payment(ref)
        for _ in range(_CANCELS):
            try:
                with _failures_named():
                    return read_intent((await self._payment_intents.cancel_async(ref.id)).to_dict())
            except IdempotencyKeySpent:
                continue
            except IntentRefused as refused:
                if refused.code != _UNEXPECTED_STATE:
                    raise
            return await self.retrieve(ref)  # paid, at the bank, or cancelled before: its status says which
        raise StripeUnavailable


def read_intent(fields: Mapping[str, Any]) -> StripeIntent:
    """Read an intent from Stripe's JSON. Raises KeyError or ValueError if it is not one."""
    kind = {"payment_intent": IntentKind.PAYMENT, "setup_intent": IntentKind.SETUP}[fields["object"]]
    received = None
    if kind is IntentKind.PAYMENT:
        received = _read_money(fields["amount_received"], fields["currency"])
    attempt_id = (fields.get("metadata") or {}).get(ATTEMPT_ID_KEY)
    return StripeIntent(
        ref=IntentRef(read_id(fields["id"]), kind),
        status=IntentStatus(fields["status"]),
        attempt_id=attempt_id if isinstance(attempt_id, str) else None,
        received=received,
        livemode=bool(fields["livemode"]),
        client_secret=fields.get("client_secret"),
        last_payment_failed=fields.get("last_payment_error") is not None,
    )


def read_id(value: Any) -> str:
    """Read the id of one of Stripe's objects. Raises ValueError for what could not be recorded."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise ValueError("not an id of Stripe's")
    return value


def _read_money(amount: Any, currency: Any) -> Money:
    # A boolean or a fraction is no amount; of whole numbers only those that every store behind us can hold.
    if type(amount) is not int or not 0 <= amount <= _MOST_MINOR_UNITS:
        raise ValueError("not an amount")
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise ValueError("not a currency")
    return Money(amount, currency.lower())


def _require_payment(ref: IntentRef) -> None:
    if ref.kind is not IntentKind.PAYMENT:
        raise IntentNotFound


def _is_replay(response: Any) -> bool:
    return response is not None and response.headers.get("Idempotent-Replayed") == "true"


@contextmanager
def _failures_named() -> Iterator[None]:
    """Turn the library's errors into ours. Their messages stay behind: they may quote what was sent (P7)."""
    try:
        yield
    except stripe.StripeError as failure:
        raise _named(failure) from None
    except (AttributeError, KeyError, TypeError, ValueError) as unreadable:
        # Something answered in Stripe's place.
        _log.error("an answer of Stripe's is no intent", extra={"cause": type(unreadable).__name__})
        raise StripeUnavailable from None


def _named(failure: stripe.StripeError) -> Exception:
    if isinstance(failure, stripe.IdempotencyError):
        return IdempotencyKeyReused()
    if isinstance(failure, stripe.InvalidRequestError):
        return IntentNotFound() if failure.code == "resource_missing" else IntentRefused(failure.code or "invalid")
    return StripeUnavailable()
