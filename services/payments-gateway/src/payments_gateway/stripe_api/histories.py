"""Histories of intents at Stripe."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import stripe

from payments_gateway.domain.attempts import IntentKind, IntentRef
from payments_gateway.domain.history import IntentHistory, MoneyBack
from payments_gateway.domain.stripe_errors import NotFoundAtStripe, StripeUnavailable
from payments_gateway.stripe_api.calls import Rejection, is_missing, translate_errors
from payments_gateway.stripe_api.fields import read_amount, read_id, read_optional_time, read_time
from payments_gateway.stripe_api.intents import intent_from_stripe

_PAGE_SIZE: Final = 100


class StripeIntentHistories:
    """`IntentHistoriesPort` over Stripe's API."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._v1 = client.v1

    async def read(self, ref: IntentRef) -> IntentHistory | None:
        """Read the intent, and lists of its refunds and disputes: the first hundred of each."""
        try:
            with translate_errors(_rejected, unreadable=StripeUnavailable):
                if ref.kind is IntentKind.SETUP:
                    return _history((await self._v1.setup_intents.retrieve_async(ref.id)).to_dict())
                shown = await self._v1.payment_intents.retrieve_async(ref.id, {"expand": ["latest_charge"]})
                refunds = await self._v1.refunds.list_async({"payment_intent": ref.id, "limit": _PAGE_SIZE})
                disputes = await self._v1.disputes.list_async({"payment_intent": ref.id, "limit": _PAGE_SIZE})
                return _history(shown.to_dict(), refunds.to_dict()["data"], disputes.to_dict()["data"])
        except NotFoundAtStripe:
            return None


def _history(
    fields: Mapping[str, Any],
    refunds: Iterable[Mapping[str, Any]] = (),
    disputes: Iterable[Mapping[str, Any]] = (),
) -> IntentHistory:
    charge = fields.get("latest_charge")
    return IntentHistory(
        intent=intent_from_stripe(fields),
        amount=read_amount(fields["amount"], fields["currency"]) if "amount" in fields else None,
        charged_at=read_time(charge["created"]) if isinstance(charge, Mapping) else None,
        canceled_at=read_optional_time(fields.get("canceled_at")),
        refunds=tuple(map(_money_back, refunds)),
        disputes=tuple(map(_money_back, disputes)),
    )


def _money_back(fields: Mapping[str, Any]) -> MoneyBack:
    return MoneyBack(
        read_id(fields["id"]),
        read_amount(fields["amount"], fields["currency"]),
        str(fields["status"]),
        read_time(fields["created"]),
    )


def _rejected(error: Rejection) -> Exception:
    return NotFoundAtStripe() if is_missing(error) else StripeUnavailable()
