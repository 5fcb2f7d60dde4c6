"""Stripe's list of events, which it keeps for 30 days (https://docs.stripe.com/api/events).

An event shows its object in the API version that the account had then. So ids only are read, where every version has
them, by the readers of webhooks.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import stripe
from prometheus_client import Counter

from payments_gateway.domain.stripe_errors import StripeUnavailable
from payments_gateway.domain.stripe_events import ListedEvent, TooManyEvents
from payments_gateway.stripe_api.calls import UNREADABLE, Rejection, translate_errors
from payments_gateway.stripe_api.fields import read_id, read_time
from payments_gateway.stripe_api.webhooks import EVENT_TYPES, read_reference_event

if TYPE_CHECKING:
    from stripe.params import EventListParams, EventListParamsCreated

_log = logging.getLogger(__name__)

_UNREADABLE_EVENTS: Final = Counter("holdfast_backfill_unreadable_events", "Listed events that name no object.")

_PAGE_SIZE: Final = 100
_MAX_TYPES: Final = 20
"""Types that one list may be filtered by. Source: https://docs.stripe.com/api/events/list#list_events-types"""


class StripeEvents:
    """`EventsAtStripe`."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._events = client.v1.events

    async def list_between(self, since: datetime, until: datetime | None, limit: int | None) -> Sequence[ListedEvent]:
        """Return the events from `since` to `until`, both included, oldest first. None has no end."""
        created: EventListParamsCreated = {"gte": int(since.timestamp())}
        if until is not None:
            created["lte"] = int(until.timestamp())
        types, listed = sorted(EVENT_TYPES), list[ListedEvent]()
        for first in range(0, len(types), _MAX_TYPES):
            params: EventListParams = {
                "created": created,
                "types": types[first : first + _MAX_TYPES],
                "limit": _PAGE_SIZE,
            }
            listed += await self._list(params, None if limit is None else limit - len(listed))
        return sorted(listed, key=lambda each: (each.created_at, each.id))

    async def _list(self, params: "EventListParams", limit: int | None) -> Sequence[ListedEvent]:
        seen, found = 0, list[ListedEvent]()
        with translate_errors(_rejected, StripeUnavailable):
            page = await self._events.list_async(params)
            async for event in page.auto_paging_iter():
                seen += 1
                if limit is not None and seen > limit:
                    raise TooManyEvents
                read = _listed_event(event.to_dict())
                if read is not None:
                    found.append(read)
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
