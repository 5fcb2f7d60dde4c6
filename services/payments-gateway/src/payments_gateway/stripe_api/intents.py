"""Intents, kept by Stripe."""

import logging
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import stripe

from payments_gateway.domain.attempts import IntentKind, IntentRef
from payments_gateway.domain.intents import (
    ATTEMPT_ID_KEY,
    CustomerMissing,
    IntentNotFound,
    IntentParams,
    IntentRefused,
    IntentStatus,
    StripeIntent,
)
from payments_gateway.domain.stripe_errors import IdempotencyKeyExhausted, IdempotencyKeyReused, StripeUnavailable
from payments_gateway.stripe_api.fields import is_replay, read_amount, read_id

if TYPE_CHECKING:
    from stripe.params import PaymentIntentCreateParams, SetupIntentCreateParams

_log = logging.getLogger(__name__)

_PAID_DAYS_LATER: Final = ["boleto", "customer_balance", "konbini", "multibanco", "oxxo"]
"""Vouchers and bank transfers: their buyer may pay days after pay-by, when the intent has been cancelled."""

_CHARGED_BY_ANOTHER: Final = ["bancontact", "ideal", "sofort"]
"""Methods that cannot be charged again: Stripe makes a SEPA debit beside each (`generated_sepa_debit`), which the
intent does not name. A subscription begun with what it does name would be refused after the buyer has paid.
Source: https://docs.stripe.com/payments/bancontact/save-during-payment, likewise for the others."""

_UNEXPECTED_STATES: Final = frozenset({"payment_intent_unexpected_state", "setup_intent_unexpected_state"})
_CANCELS: Final = 2
"""A cancel whose key replays a failure is sent once more with another key: it does nothing twice."""


class StripeIntents:
    """`StripeIntentsPort` over Stripe's API."""

    def __init__(self, client: stripe.StripeClient) -> None:
        """Use a client that was built once; its StripeHttp bounds and repeats every call."""
        self._payment_intents = client.v1.payment_intents
        self._setup_intents = client.v1.setup_intents

    async def create(self, attempt_id: str, terms: IntentParams, *, generation: int) -> StripeIntent:
        """Make an intent for an attempt, once per generation."""
        key = f"attempt:{attempt_id}" + (f":{generation}" if generation else "")
        sending = self._sending(attempt_id, terms, {"idempotency_key": key})
        with _failures_named():
            answer = await sending
            intent = read_intent(answer.to_dict())
        # A replayed answer shows the intent as it was when it was made; it may have been cancelled or paid since.
        return await self.retrieve(intent.ref) if is_replay(answer.last_response) else intent

    def _sending(
        self, attempt_id: str, terms: IntentParams, options: stripe.RequestOptions
    ) -> Awaitable[stripe.PaymentIntent | stripe.SetupIntent]:
        if terms.kind is IntentKind.PAYMENT:
            return self._payment_intents.create_async(_payment_params(attempt_id, terms), options)
        return self._setup_intents.create_async(_setup_params(attempt_id, terms), options)

    async def retrieve(self, ref: IntentRef) -> StripeIntent:
        """Return the intent as it stands now."""
        with _failures_named():
            return read_intent((await self._kept(ref).retrieve_async(ref.id)).to_dict())

    async def cancel(self, ref: IntentRef) -> StripeIntent:
        """Cancel the intent if Stripe still lets us."""
        for _ in range(_CANCELS):
            try:
                with _failures_named():
                    return read_intent((await self._kept(ref).cancel_async(ref.id)).to_dict())
            except IdempotencyKeyExhausted:
                continue
            except IntentRefused as refused:
                if refused.code not in _UNEXPECTED_STATES:
                    raise
            return await self.retrieve(ref)  # paid, at the bank, or cancelled before: its status says which
        raise StripeUnavailable

    def _kept(self, ref: IntentRef) -> Any:
        return self._payment_intents if ref.kind is IntentKind.PAYMENT else self._setup_intents


def _payment_params(attempt_id: str, terms: IntentParams) -> "PaymentIntentCreateParams":
    params: PaymentIntentCreateParams = {
        "amount": terms.amount.minor_units,
        "currency": terms.amount.currency,
        "automatic_payment_methods": {"enabled": True},
        "excluded_payment_method_types": list(_PAID_DAYS_LATER),
        "metadata": {ATTEMPT_ID_KEY: attempt_id},
    }
    if terms.customer_id is not None:
        params["customer"] = terms.customer_id
        # Else Stripe would keep no payment method that its subscriptions could be charged to.
        params["setup_future_usage"] = "off_session"
        params["excluded_payment_method_types"] = [*_PAID_DAYS_LATER, *_CHARGED_BY_ANOTHER]
    return params


def _setup_params(attempt_id: str, terms: IntentParams) -> "SetupIntentCreateParams":
    if terms.customer_id is None:
        raise ValueError("a SetupIntent without a customer would keep nothing")
    return {
        "customer": terms.customer_id,
        "usage": "off_session",
        "automatic_payment_methods": {"enabled": True},
        "excluded_payment_method_types": [*_PAID_DAYS_LATER, *_CHARGED_BY_ANOTHER],
        "metadata": {ATTEMPT_ID_KEY: attempt_id},
    }


def read_intent(fields: Mapping[str, Any]) -> StripeIntent:
    """Read an intent from Stripe's JSON. Raises KeyError or ValueError if it is not one."""
    kind = {"payment_intent": IntentKind.PAYMENT, "setup_intent": IntentKind.SETUP}[fields["object"]]
    received = None
    if kind is IntentKind.PAYMENT:
        received = read_amount(fields["amount_received"], fields["currency"])
    attempt_id = (fields.get("metadata") or {}).get(ATTEMPT_ID_KEY)
    return StripeIntent(
        ref=IntentRef(read_id(fields["id"]), kind),
        status=IntentStatus(fields["status"]),
        attempt_id=attempt_id if isinstance(attempt_id, str) else None,
        received=received,
        livemode=bool(fields["livemode"]),
        client_secret=fields.get("client_secret"),
        last_payment_failed=(fields.get("last_payment_error") or fields.get("last_setup_error")) is not None,
        payment_method_id=_read_payment_method(fields.get("payment_method")),
    )


def _read_payment_method(shown: Any) -> str | None:
    found = shown.get("id") if isinstance(shown, Mapping) else shown  # an object where somebody had it expanded
    return read_id(found) if found is not None else None


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
        return _refusal(failure)
    return StripeUnavailable()


def _refusal(failure: stripe.InvalidRequestError) -> Exception:
    if failure.code != "resource_missing":
        return IntentRefused(failure.code or "invalid")
    return CustomerMissing() if failure.param == "customer" else IntentNotFound()
