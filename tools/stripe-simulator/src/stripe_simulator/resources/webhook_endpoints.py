"""Webhook endpoints (https://docs.stripe.com/api/webhook_endpoints). Only the create call returns the secret.

Two endpoints may have the same URL. An account has at most 16 of them (https://docs.stripe.com/webhooks).
"""

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

import stripe.params as shapes

from stripe_simulator.account import Account
from stripe_simulator.api_errors import invalid
from stripe_simulator.collection import StripeObject
from stripe_simulator.endpoints import Call, Endpoint, Resource
from stripe_simulator.parameters import Parameters, Params, merge_metadata

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
        # The account has no connected ones, of which endpoints with an application are told.
        if endpoint["status"] != "enabled" or endpoint["application"] is not None:
            continue
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
        # The application of connected accounts: `connect` itself is not shown.
        # https://github.com/stripe/stripe-dotnet/issues/1876
        "application": account.ids.new("ca") if params.get("connect") else None,
        "created": account.clock.timestamp(),
        "description": params.get("description") or None,
        "enabled_events": _checked_events(params["enabled_events"]),
        "livemode": account.livemode,
        "metadata": merge_metadata({}, params.get("metadata")),
        "status": "enabled",
        "url": _checked_url(params["url"]),
    }
    account[COLLECTION].add(endpoint)
    secret = account.ids.webhook_secret()
    account.secrets[endpoint["id"]] = secret
    return endpoint | {"secret": secret}


def disable(account: Account, endpoint: StripeObject) -> None:
    """Disable an endpoint that has failed for days, as Stripe does with an e-mail to the account's owner."""
    account.change(COLLECTION, endpoint, status="disabled")


def _retrieve(call: Call) -> StripeObject:
    return call.account[COLLECTION].get(call.id)


def _update(call: Call) -> StripeObject:
    """Change an endpoint. Its API version and its secret stay as they are."""
    endpoint = _retrieve(call)
    return call.account.change(COLLECTION, endpoint, **_changes(endpoint, call.params))


def _changes(endpoint: StripeObject, params: Params) -> Params:
    changes: Params = {}
    if "description" in params:
        changes["description"] = params["description"] or None
    if "disabled" in params:
        changes["status"] = "disabled" if params["disabled"] else "enabled"
    if "enabled_events" in params:
        changes["enabled_events"] = _checked_events(params["enabled_events"])
    if "metadata" in params:
        changes["metadata"] = merge_metadata(endpoint["metadata"], params["metadata"])
    if "url" in params:
        changes["url"] = _checked_url(params["url"])
    return changes


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


_CREATE: Final = ("api_version", "connect", "description", "enabled_events", "metadata", "url")
_UPDATE: Final = ("description", "disabled", "enabled_events", "metadata", "url")
_CURSORS: Final = ("limit", "starting_after", "ending_before")

RESOURCE: Final = Resource(
    collection=COLLECTION,
    kind=KIND,
    endpoints=(
        Endpoint("POST", "/v1/webhook_endpoints", _create, Parameters(shapes.WebhookEndpointCreateParams, _CREATE)),
        Endpoint("GET", "/v1/webhook_endpoints", _list, Parameters(shapes.WebhookEndpointListParams, _CURSORS)),
        Endpoint("GET", "/v1/webhook_endpoints/{id}", _retrieve, Parameters(shapes.WebhookEndpointRetrieveParams, ())),
        Endpoint(
            "POST", "/v1/webhook_endpoints/{id}", _update, Parameters(shapes.WebhookEndpointUpdateParams, _UPDATE)
        ),
        Endpoint("DELETE", "/v1/webhook_endpoints/{id}", _delete, Parameters(shapes.WebhookEndpointDeleteParams, ())),
    ),
)
