"""Webhook endpoints (https://docs.stripe.com/api/webhook_endpoints). Only the create call returns the secret."""

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

import stripe.params as shapes

from stripe_simulator.account import Account
from stripe_simulator.api_errors import invalid
from stripe_simulator.collection import StripeObject
from stripe_simulator.endpoints import Call, Endpoint, Resource
from stripe_simulator.parameters import Parameters, merge_metadata

COLLECTION: Final = "webhook_endpoints"
KIND: Final = "webhook_endpoint"
_MAX_ENDPOINTS: Final = 16


def signing_secret(account: Account, endpoint_id: str) -> str:
    """Return the secret that signs an endpoint's deliveries."""
    secret: str = account.secrets[endpoint_id]
    return secret


def set_signing_secret(account: Account, endpoint_id: str, secret: str) -> None:
    """Sign an endpoint's deliveries with a secret known beforehand. Stripe itself offers no such choice."""
    account[COLLECTION].get(endpoint_id)
    account.secrets[endpoint_id] = secret


def subscribed(account: Account, event_type: str) -> Iterator[StripeObject]:
    """Yield the endpoints that receive this type of event."""
    for endpoint in account[COLLECTION]:
        if "*" in endpoint["enabled_events"] or event_type in endpoint["enabled_events"]:
            yield endpoint


def _create(call: Call) -> StripeObject:
    account, params = call.account, call.params
    if len(account[COLLECTION]) >= _MAX_ENDPOINTS:
        raise invalid(f"You have reached the maximum of {_MAX_ENDPOINTS} test webhook endpoints.")
    endpoint: StripeObject = {
        "id": account.ids.new("we"),
        "object": KIND,
        "api_version": params.get("api_version"),
        "application": None,
        "created": account.clock.timestamp(),
        "description": params.get("description") or None,
        "enabled_events": _checked_events(params["enabled_events"]),
        "livemode": False,
        "metadata": merge_metadata({}, params.get("metadata")),
        "status": "enabled",
        "url": _checked_url(params["url"]),
    }
    account[COLLECTION].add(endpoint)
    secret = account.ids.webhook_secret()
    account.secrets[endpoint["id"]] = secret
    return endpoint | {"secret": secret}


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise invalid(
            "Invalid URL: An explicit scheme (such as https) must be provided.", param="url", code="url_invalid"
        )
    return url


def _checked_events(events: list[str]) -> list[str]:
    if not events:
        raise invalid("You must specify at least one event.", param="enabled_events")
    if "*" in events and len(events) > 1:
        raise invalid("You cannot list other events when you list `*`.", param="enabled_events")
    return events


def _delete(call: Call) -> StripeObject:
    call.account[COLLECTION].get(call.id)
    call.account[COLLECTION].remove(call.id)
    return {"id": call.id, "object": KIND, "deleted": True}


def _list(call: Call) -> StripeObject:
    return call.account[COLLECTION].page(call.url, call.params)


_CREATE: Final = ("api_version", "description", "enabled_events", "metadata", "url")
_CURSORS: Final = ("limit", "starting_after", "ending_before")

RESOURCE: Final = Resource(
    collection=COLLECTION,
    kind=KIND,
    endpoints=(
        Endpoint("POST", "/v1/webhook_endpoints", _create, Parameters(shapes.WebhookEndpointCreateParams, _CREATE)),
        Endpoint("GET", "/v1/webhook_endpoints", _list, Parameters(shapes.WebhookEndpointListParams, _CURSORS)),
        Endpoint("DELETE", "/v1/webhook_endpoints/{id}", _delete, Parameters(shapes.WebhookEndpointDeleteParams, ())),
    ),
)
