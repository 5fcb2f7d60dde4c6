"""Stripe's list of events, which it keeps for 30 days (https://docs.stripe.com/api/events).

An event shows its object in the API version that the account had then. So ids only are read, where every version has
them, by the readers of webhooks.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import stripe
from prometheus_client import Counter

from payments_gateway.domain.stripe_errors import StripeUnavailable
from payments_gateway.domain.stripe_events import ListedEvent, TooManyEvents
from payments_gateway.stripe_api.calls import UNREADABLE, Rejection, translate_errors
from payments_gateway.stripe_api.fields import read_id, read_time
from payments_gateway.stripe_api.lists import read_page
from payments_gateway.stripe_api.webhooks import EVENT_TYPES, read_reference_event

_log = logging.getLogger(__name__)

_UNREADABLE_EVENTS: Final = Counter("holdfast_backfill_unreadable_events", "Listed events that name no object.")

_PAGE_SIZE: Final = 100
_MAX_TYPES: Final = 20
"""Types that one list may be filtered by. Source: https://docs.stripe.com/api/events/list#list_events-types"""


class StripeEvents:
    """`EventsAtStripe`."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    async def list_between(self, since: datetime, until: datetime | None, limit: int | None) -> Sequence[ListedEvent]:
        """Return the events from `since` to `until`, both included, oldest first. None has no end."""
        created = {"gte": int(since.timestamp())}
        if until is not None:
            created["lte"] = int(until.timestamp())
        types, listed = sorted(EVENT_TYPES), list[ListedEvent]()
        for first in range(0, len(types), _MAX_TYPES):
            params = {"created": created, "types": types[first : first + _MAX_TYPES], "limit": _PAGE_SIZE}
            listed += await self._list(params, None if limit is None else limit - len(listed))
        return sorted(listed, key=lambda each: (each.created_at, each.id))

    async def _list(self, params: dict[str, Any], limit: int | None) -> Sequence[ListedEvent]:
        seen, found, has_more = 0, list[ListedEvent](), True
        with translate_errors(_rejected, StripeUnavailable):
            while has_more:
                page = await read_page(self._client, "/v1/events", params)
                shown, has_more = page["data"], bool(page["has_more"])
                seen += len(shown)
                if limit is not None and seen > limit:
                    raise TooManyEvents(read_time(shown[-1]["created"]))
                found += [read for each in shown if (read := _listed_event(each)) is not None]
                if has_more:
                    params = params | {"starting_after": read_id(shown[-1]["id"])}
        return found


def _listed_event(fields: dict[str, Any]) -> ListedEvent | None:
    """Read an event; None if it is not about an object of our own account."""
    if fields.get("account") is not None:
        return None
    try:
        event = read_reference_event(fields)
    except UNREADABLE:
        # The cursor passes it, so a person has to look at it.
        named = {"event": str(fields.get("id"))[:255], "event_type": str(fields.get("type"))[:255]}
        _log.error("listed event names no object", extra=named)
        _UNREADABLE_EVENTS.inc()
        return None
    if event is None:
        return None
    return ListedEvent(read_id(fields["id"]), str(fields["type"]), read_time(fields["created"]), event)


def _rejected(_error: Rejection) -> Exception:
    return StripeUnavailable()
