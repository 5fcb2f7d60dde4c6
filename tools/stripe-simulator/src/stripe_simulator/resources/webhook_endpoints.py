"""Webhook endpoints (https://docs.stripe.com/api/webhook_endpoints). The secret is shown once, at creation."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import stripe.params as shapes

from stripe_simulator.account import Account
from stripe_simulator.api_errors import invalid
from stripe_simulator.collection import StripeObject
from stripe_simulator.endpoints import Call, Endpoint, Resource
from stripe_simulator.parameters import Parameters, Params, merge_metadata

COLLECTION = "webhook_endpoints"
KIND = "webhook_endpoint"
_MAX_ENDPOINTS = 16


@dataclass(frozen=True, slots=True)
class SigningSecret:
    """A secret and the simulated time until which it signs; None means for good."""

    value: str
    expires_at: float | None = None


def active_secrets(account: Account, endpoint_id: str) -> list[str]:
    """Answer the secrets that sign now, newest first; two of them after a roll."""
    now = account.clock.now()
    secrets: list[SigningSecret] = account.secrets.get(endpoint_id, [])
    return [secret.value for secret in secrets if secret.expires_at is None or secret.expires_at > now]


def roll_secret(account: Account, endpoint_id: str, expires_in_seconds: float) -> str:
    """Add a new secret; the old one signs too until it expires (https://docs.stripe.com/webhooks#roll-endpoint-secrets)."""
    account[COLLECTION].get(endpoint_id)
    until = account.clock.now() + expires_in_seconds
    old = [SigningSecret(secret, until) for secret in active_secrets(account, endpoint_id)[:1]]
    made = account.ids.webhook_secret()
    account.secrets[endpoint_id] = [SigningSecret(made), *old]
    return made


def sign_with(account: Account, endpoint_id: str, secret: str) -> None:
    """Sign with a secret that was known beforehand, which Stripe lets nobody choose."""
    account[COLLECTION].get(endpoint_id)
    account.secrets[endpoint_id] = [SigningSecret(secret)]


def subscribed(account: Account, event_type: str) -> Iterator[StripeObject]:
    """Answer the enabled endpoints that want this kind of event."""
    for endpoint in account[COLLECTION]:
        wanted = endpoint["enabled_events"]
        if endpoint["status"] == "enabled" and ("*" in wanted or event_type in wanted):
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
    account.secrets[endpoint["id"]] = [SigningSecret(secret)]
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


def _retrieve(call: Call) -> StripeObject:
    return call.account[COLLECTION].get(call.id)


def _update(call: Call) -> StripeObject:
    endpoint = _retrieve(call)
    params = call.params
    changes: Params = {}
    if "enabled_events" in params:
        changes["enabled_events"] = _checked_events(params["enabled_events"])
    if "url" in params:
        changes["url"] = _checked_url(params["url"])
    if "description" in params:
        changes["description"] = params["description"] or None
    if "disabled" in params:
        changes["status"] = "disabled" if params["disabled"] else "enabled"
    if "metadata" in params:
        changes["metadata"] = merge_metadata(endpoint["metadata"], params["metadata"])
    return call.account.change(COLLECTION, endpoint, **changes)


def _delete(call: Call) -> StripeObject:
    _retrieve(call)
    call.account[COLLECTION].remove(call.id)
    return {"id": call.id, "object": KIND, "deleted": True}


def _list(call: Call) -> StripeObject:
    return call.account[COLLECTION].page(call.url, call.params)


_SETTABLE = ("description", "enabled_events", "metadata", "url")
_CURSORS = ("limit", "starting_after", "ending_before")

RESOURCE = Resource(
    collection=COLLECTION,
    kind=KIND,
    endpoints=(
        Endpoint(
            "POST",
            "/v1/webhook_endpoints",
            _create,
            Parameters(shapes.WebhookEndpointCreateParams, (*_SETTABLE, "api_version")),
        ),
        Endpoint("GET", "/v1/webhook_endpoints", _list, Parameters(shapes.WebhookEndpointListParams, _CURSORS)),
        Endpoint("GET", "/v1/webhook_endpoints/{id}", _retrieve, Parameters(shapes.WebhookEndpointRetrieveParams, ())),
        Endpoint(
            "POST",
            "/v1/webhook_endpoints/{id}",
            _update,
            Parameters(shapes.WebhookEndpointUpdateParams, (*_SETTABLE, "disabled")),
        ),
        Endpoint("DELETE", "/v1/webhook_endpoints/{id}", _delete, Parameters(shapes.WebhookEndpointDeleteParams, ())),
    ),
)
