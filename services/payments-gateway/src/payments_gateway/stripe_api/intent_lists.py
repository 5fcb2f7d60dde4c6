"""Lists of PaymentIntents and SetupIntents at Stripe."""

import logging
import math
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import stripe

from payments_gateway.domain.attempts import IntentKind
from payments_gateway.domain.intent_lists import IntentPage, ListPosition
from payments_gateway.domain.intents import StripeIntent
from payments_gateway.domain.stripe_errors import StripeUnavailable
from payments_gateway.stripe_api.calls import UNREADABLE, translate_errors
from payments_gateway.stripe_api.fields import read_id, read_time
from payments_gateway.stripe_api.intents import intent_from_stripe

if TYPE_CHECKING:
    from stripe.params import PaymentIntentListParams, SetupIntentListParams

_log = logging.getLogger(__name__)

_PAGE_SIZE: Final = 100


class StripeIntentLists:
    """`IntentListsPort` over Stripe's API."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._payment_intents = client.v1.payment_intents
        self._setup_intents = client.v1.setup_intents

    async def page(
        self, kind: IntentKind, created_from: datetime, created_to: datetime, *, after: ListPosition | None = None
    ) -> IntentPage:
        """Return one page, with the refunds of PaymentIntents."""
        params: SetupIntentListParams = {
            "limit": _PAGE_SIZE,
            "created": {"gte": math.floor(created_from.timestamp()), "lte": math.ceil(created_to.timestamp())},
        }
        if after is not None:
            params["starting_after"] = after.intent_id
        with translate_errors(_rejected, unreadable=StripeUnavailable):
            listed = await self._list(kind, params)
            return _page_from_stripe([each.to_dict() for each in listed.data], has_more=listed.has_more)

    async def _list(
        self, kind: IntentKind, params: "SetupIntentListParams"
    ) -> "stripe.ListObject[stripe.PaymentIntent] | stripe.ListObject[stripe.SetupIntent]":
        if kind is IntentKind.SETUP:
            return await self._setup_intents.list_async(params)
        with_refunds: PaymentIntentListParams = {
            "limit": params["limit"],
            "created": params["created"],
            "expand": ["data.latest_charge"],
        }
        if "starting_after" in params:
            with_refunds["starting_after"] = params["starting_after"]
        return await self._payment_intents.list_async(with_refunds)


def _page_from_stripe(shown: list[dict[str, Any]], *, has_more: bool) -> IntentPage:
    end = ListPosition(read_id(shown[-1]["id"]), read_time(shown[-1]["created"])) if has_more else None
    return IntentPage(tuple(_readable(shown)), end)


def _readable(shown: list[dict[str, Any]]) -> Iterator[StripeIntent]:
    """Leave out what cannot be read: one object must not hide the others."""
    for fields in shown:
        try:
            yield intent_from_stripe(fields)
        except UNREADABLE as error:
            _log.warning("unreadable intent in a list", extra={"error": type(error).__name__})


def _rejected(_error: Exception) -> Exception:
    return StripeUnavailable()
