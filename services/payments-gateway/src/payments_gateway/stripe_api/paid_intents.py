"""Lists of succeeded intents at Stripe, for an audit."""

from collections.abc import Mapping
from typing import Any, Final

import stripe

from payments_gateway.domain.attempts import IntentKind, IntentRef
from payments_gateway.domain.audit import Listing, PaidIntent, Window
from payments_gateway.domain.intents import ATTEMPT_ID_KEY, IntentStatus
from payments_gateway.domain.money import Money
from payments_gateway.domain.stripe_errors import NotFoundAtStripe, StripeUnavailable
from payments_gateway.stripe_api.calls import UNREADABLE, Rejection, is_missing, translate_errors
from payments_gateway.stripe_api.fields import read_amount, read_id, read_time
from payments_gateway.stripe_api.intents import INTENT_PATHS, ref_from_stripe
from payments_gateway.stripe_api.lists import read_page

_PAGE_SIZE: Final = 100
"""Stripe's maximum."""


class StripePaidIntents:
    """`PaidIntentsPort` over Stripe's API."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def page(self, window: Window, after: str | None) -> Listing[PaidIntent]:
        """Return the succeeded ones of the next hundred intents."""
        params: dict[str, Any] = {
            "limit": _PAGE_SIZE,
            "created": {"gte": int(window.created_from.timestamp())},
        }
        if window.kind is IntentKind.PAYMENT:
            params["expand"] = ["data.latest_charge"]
        if after is not None:
            params["starting_after"] = after
        with translate_errors(_rejected, unreadable=StripeUnavailable):
            listed = await read_page(self._client, INTENT_PATHS[window.kind], params)
            found = [_paid_intent_from_stripe(fields) for fields in listed["data"]]
            last = read_id(listed["data"][-1]["id"]) if listed["has_more"] else None
        return Listing([intent for intent in found if intent is not None], last, looked_at=len(found))

    async def find(self, ref: IntentRef) -> PaidIntent | None:
        """Retrieve an intent."""
        params: Any = {"expand": ["latest_charge"]} if ref.kind is IntentKind.PAYMENT else {}
        try:
            with translate_errors(_rejected, unreadable=StripeUnavailable):
                fields = (await self._resource(ref.kind).retrieve_async(ref.id, params)).to_dict()
                return _paid_intent_from_stripe(fields)
        except NotFoundAtStripe:
            return None

    def _resource(self, kind: IntentKind) -> Any:
        v1 = self._client.v1
        return v1.payment_intents if kind is IntentKind.PAYMENT else v1.setup_intents


def _paid_intent_from_stripe(fields: Mapping[str, Any]) -> PaidIntent | None:
    """Read an intent; None if it did not succeed, or if nothing says that it is ours and it cannot be read.

    Raises one of UNREADABLE for one that may be ours: an audit must not leave it out in silence.
    """
    if fields.get("status") != IntentStatus.SUCCEEDED:
        return None
    attempt_id = (fields.get("metadata") or {}).get(ATTEMPT_ID_KEY)
    try:
        ref = ref_from_stripe(fields)
        is_payment = ref.kind is IntentKind.PAYMENT
        return PaidIntent(
            ref=ref,
            created_at=read_time(fields["created"]),
            attempt_id=attempt_id if isinstance(attempt_id, str) else None,
            received=read_amount(fields["amount_received"], fields["currency"]) if is_payment else None,
            refunded=_refunded(fields) if is_payment else None,
        )
    except UNREADABLE:
        if attempt_id is not None:
            raise
        return None


def _refunded(fields: Mapping[str, Any]) -> Money:
    charge = fields.get("latest_charge")
    if not isinstance(charge, Mapping):  # paid outside of Stripe: nothing can be refunded there
        return read_amount(0, fields["currency"])
    return read_amount(charge["amount_refunded"], charge["currency"])


def _rejected(error: Rejection) -> Exception:
    return NotFoundAtStripe() if is_missing(error) else StripeUnavailable()
