"""PaymentIntents and SetupIntents at Stripe."""

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote_plus

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
from payments_gateway.domain.money import Money
from payments_gateway.domain.stripe_errors import StripeUnavailable
from payments_gateway.stripe_api.calls import UNREADABLE, Rejection, is_missing, translate_errors, with_fresh_key
from payments_gateway.stripe_api.fields import is_replay, read_amount, read_id, read_reference, read_time

if TYPE_CHECKING:
    from stripe.params import PaymentIntentCreateParams, SetupIntentCreateParams

_log = logging.getLogger(__name__)

_PAID_DAYS_LATER: Final = ["boleto", "customer_balance", "konbini", "multibanco", "oxxo"]
"""Vouchers and bank transfers: the buyer may pay days after pay-by, when the intent is cancelled already."""

_NOT_REUSABLE: Final = ["bancontact", "ideal", "sofort"]
"""Methods that cannot be charged again: Stripe adds a SEPA debit (`generated_sepa_debit`), which the intent does not
name. A subscription created with the method that it names would be refused after the buyer has paid.
Source: https://docs.stripe.com/payments/bancontact/save-during-payment, likewise for the others."""

INTENT_PATHS: Final = {IntentKind.PAYMENT: "/v1/payment_intents", IntentKind.SETUP: "/v1/setup_intents"}
_UNEXPECTED_STATES: Final = frozenset({"payment_intent_unexpected_state", "setup_intent_unexpected_state"})


class StripeIntents:
    """`StripeIntentsPort` over Stripe's API.

    By raw requests: to build the library's objects, of which nothing is used, costs more than all else of a call.
    """

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def create(self, attempt_id: str, params: IntentParams, *, generation: int) -> StripeIntent:
        """Create an intent for an attempt, once per generation."""
        key = f"attempt:{attempt_id}" + (f":{generation}" if generation else "")
        sent: Mapping[str, Any]
        if params.kind is IntentKind.PAYMENT:
            sent = _payment_params(attempt_id, params)
        else:
            sent = _setup_params(attempt_id, params)
        with _translated():
            created = await self._client.raw_request_async(
                "post", INTENT_PATHS[params.kind], idempotency_key=key, **sent
            )
            intent = intent_from_stripe(created.data)
        # A replayed response shows the intent as it was created; it may have been cancelled or paid since.
        if not is_replay(created):
            return intent
        return replace(await self.retrieve(intent.ref, with_customer=params.customer_id is not None), replayed=True)

    async def retrieve(self, ref: IntentRef, *, with_customer: bool = False) -> StripeIntent:
        """Return the intent as it is now, with what was refunded, and whether its customer was deleted if asked to.

        That needs the permission to read customers, which fulfilment must not depend on.
        """
        expand = ["latest_charge"] if ref.kind is IntentKind.PAYMENT else []
        params = {"expand": [*expand, "customer"] if with_customer else expand}
        with _translated():
            return intent_from_stripe((await self._client.raw_request_async("get", _path_of(ref), **params)).data)

    async def cancel(self, ref: IntentRef) -> StripeIntent:
        """Cancel the intent if Stripe still allows it, and return it."""
        try:
            return await with_fresh_key(lambda: self._cancel(ref))
        except IntentRefused as refused:
            if refused.code not in _UNEXPECTED_STATES:
                _log.exception("Stripe refuses to cancel an intent")
                raise StripeUnavailable from None
        return await self.retrieve(ref)  # paid, processing, or cancelled before: its status says which

    async def _cancel(self, ref: IntentRef) -> StripeIntent:
        with _translated():
            return intent_from_stripe((await self._client.raw_request_async("post", f"{_path_of(ref)}/cancel")).data)


def _path_of(ref: IntentRef) -> str:
    return f"{INTENT_PATHS[ref.kind]}/{quote_plus(ref.id)}"


def _payment_params(attempt_id: str, params: IntentParams) -> "PaymentIntentCreateParams":
    sent: PaymentIntentCreateParams = {
        "amount": params.amount.minor_units,
        "currency": params.amount.currency,
        "automatic_payment_methods": {"enabled": True},
        "excluded_payment_method_types": list(_PAID_DAYS_LATER),
        "metadata": {ATTEMPT_ID_KEY: attempt_id},
    }
    if params.customer_id is not None:
        sent["customer"] = params.customer_id
        # Else Stripe would keep no payment method that subscriptions could charge.
        sent["setup_future_usage"] = "off_session"
        sent["excluded_payment_method_types"] = [*_PAID_DAYS_LATER, *_NOT_REUSABLE]
    return sent


def _setup_params(attempt_id: str, params: IntentParams) -> "SetupIntentCreateParams":
    if params.customer_id is None:
        raise ValueError("a SetupIntent needs a customer")
    return {
        "customer": params.customer_id,
        "usage": "off_session",
        "automatic_payment_methods": {"enabled": True},
        "excluded_payment_method_types": [*_PAID_DAYS_LATER, *_NOT_REUSABLE],
        "metadata": {ATTEMPT_ID_KEY: attempt_id},
    }


def ref_from_stripe(fields: Mapping[str, Any]) -> IntentRef:
    """Read the reference of an intent from Stripe's JSON. Raises one of UNREADABLE if it is none."""
    kind = {"payment_intent": IntentKind.PAYMENT, "setup_intent": IntentKind.SETUP}[fields["object"]]
    return IntentRef(read_id(fields["id"]), kind)


def intent_from_stripe(fields: Mapping[str, Any]) -> StripeIntent:
    """Read an intent from Stripe's JSON. Raises one of UNREADABLE if it cannot be read."""
    ref = ref_from_stripe(fields)
    received = None
    if ref.kind is IntentKind.PAYMENT:
        received = read_amount(fields["amount_received"], fields["currency"])
    attempt_id = (fields.get("metadata") or {}).get(ATTEMPT_ID_KEY)
    return StripeIntent(
        ref=ref,
        status=IntentStatus(fields["status"]),
        attempt_id=attempt_id if isinstance(attempt_id, str) else None,
        received=received,
        livemode=bool(fields["livemode"]),
        client_secret=fields.get("client_secret"),
        created_at=read_time(fields["created"]),
        last_payment_failed=(fields.get("last_payment_error") or fields.get("last_setup_error")) is not None,
        payment_method_id=read_reference(fields.get("payment_method")),
        customer_id=_customer_of(fields),
        customer_deleted=_is_deleted(fields.get("customer")),
        refunded=_refunded(fields),
        charged_at=_charged_at(fields),
        awaits_microdeposits=(fields.get("next_action") or {}).get("type") == "verify_with_microdeposits",
    )


def _customer_of(fields: Mapping[str, Any]) -> str | None:
    # Other products of the account may have customers whose ids are any text, and their intents must be readable.
    try:
        return read_reference(fields.get("customer"))
    except UNREADABLE:
        return None


def _is_deleted(customer: Any) -> bool:
    return isinstance(customer, Mapping) and customer.get("deleted") is True


def _refunded(fields: Mapping[str, Any]) -> Money | None:
    charge = _charge(fields)
    return read_amount(charge["amount_refunded"], charge["currency"]) if charge else None


def _charged_at(fields: Mapping[str, Any]) -> datetime | None:
    charge = _charge(fields)
    return read_time(charge["created"]) if charge else None


def _charge(fields: Mapping[str, Any]) -> Mapping[str, Any] | None:
    charge = fields.get("latest_charge")
    return charge if isinstance(charge, Mapping) else None  # not expanded, as in events, or not charged yet


def _rejected(error: Rejection) -> Exception:
    if not is_missing(error):
        return IntentRefused(error.code or "invalid")
    return CustomerMissing() if error.param == "customer" else IntentNotFound()


def _translated() -> AbstractContextManager[None]:
    """Count an unreadable intent as unavailable: something between Stripe and us may have responded."""
    return translate_errors(_rejected, unreadable=StripeUnavailable)
