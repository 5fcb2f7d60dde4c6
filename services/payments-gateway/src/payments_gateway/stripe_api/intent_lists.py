"""Lists of PaymentIntents and SetupIntents at Stripe."""

import logging
import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import stripe

from payments_gateway.domain.attempts import IntentKind
from payments_gateway.domain.intent_lists import IntentPage, ListPosition
from payments_gateway.domain.intents import StripeIntent
from payments_gateway.domain.stripe_errors import StripeUnavailable
from payments_gateway.stripe_api.calls import UNREADABLE, translate_errors
from payments_gateway.stripe_api.fields import read_id, read_time
from payments_gateway.stripe_api.intents import INTENT_PATHS, intent_from_stripe
from payments_gateway.stripe_api.lists import read_page

_log = logging.getLogger(__name__)

_PAGE_SIZE: Final = 100


class StripeIntentLists:
    """`IntentListsPort` over Stripe's API."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def page(
        self, kind: IntentKind, created_from: datetime, created_to: datetime, *, after: ListPosition | None = None
    ) -> IntentPage:
        """Return one page, with the refunds of PaymentIntents."""
        params: dict[str, Any] = {
            "limit": _PAGE_SIZE,
            "created": {"gte": math.floor(created_from.timestamp()), "lte": math.ceil(created_to.timestamp())},
        }
        if kind is IntentKind.PAYMENT:
            params["expand"] = ["data.latest_charge"]
        if after is not None:
            params["starting_after"] = after.intent_id
        with translate_errors(_rejected, unreadable=StripeUnavailable):
            listed = await read_page(self._client, INTENT_PATHS[kind], params)
            return _page_from_stripe(listed["data"], has_more=listed["has_more"])


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
