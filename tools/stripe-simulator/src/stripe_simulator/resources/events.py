"""Events, listed for 30 days (https://docs.stripe.com/api/events)."""

from fnmatch import fnmatchcase
from zlib import crc32

import stripe.params as shapes

from stripe_simulator.api_errors import invalid, resource_missing
from stripe_simulator.collection import StripeObject, created_within, every
from stripe_simulator.endpoints import Call, Endpoint, Resource
from stripe_simulator.parameters import Parameters

COLLECTION = "events"
KIND = "event"
KEPT_SECONDS = 30 * 24 * 3600
_MAX_TYPES = 20


def _retrieve(call: Call) -> StripeObject:
    return _kept(call, call.id, param="id", status=404)


def _kept(call: Call, event_id: str, *, param: str, status: int) -> StripeObject:
    """Return an event of the last 30 days (https://docs.stripe.com/api/events/retrieve)."""
    event = call.account[COLLECTION].get(event_id, param=param, status=status)
    if event["created"] < call.account.clock.timestamp() - KEPT_SECONDS:
        raise resource_missing(KIND, event_id, param=param, status=status)
    return event


def _list(call: Call) -> StripeObject:
    params = call.params
    pattern, types = params.get("type"), params.get("types")
    if pattern is not None and types is not None:
        raise invalid("You may only specify one of these parameters: type, types.", param="types")
    if types and len(types) > _MAX_TYPES:
        raise invalid(f"You may only specify up to {_MAX_TYPES} types.", param="types")
    for cursor in ("starting_after", "ending_before"):
        if cursor in params:
            _kept(call, params[cursor], param=cursor, status=400)
    kept_since = call.account.clock.timestamp() - KEPT_SECONDS
    wanted = every(
        created_within(params),
        lambda event: event["created"] >= kept_since,
        lambda event: _is_listed(call, event),
        lambda event: pattern is None or fnmatchcase(event["type"], pattern),
        lambda event: types is None or event["type"] in types,
    )
    return call.account[COLLECTION].page(call.url, params, wanted)


def _is_listed(call: Call, event: StripeObject) -> bool:
    """Return true if the list shows an event already. A later event may be shown before an earlier one."""
    lag = call.account.settings.event_list_lag_seconds
    share = crc32(event["id"].encode()) % 1000 / 1000
    return not lag or bool(event["created"] + lag * share <= call.account.clock.now())


_LIST = Parameters(shapes.EventListParams, ("created", "type", "types", "limit", "starting_after", "ending_before"))

RESOURCE = Resource(
    collection=COLLECTION,
    kind=KIND,
    endpoints=(
        Endpoint("GET", "/v1/events", _list, _LIST),
        Endpoint("GET", "/v1/events/{id}", _retrieve, Parameters(shapes.EventRetrieveParams, ())),
    ),
)
