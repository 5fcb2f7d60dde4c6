"""Webhook endpoints at Stripe: found by URL, created at most once, corrected (ADR 37)."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import stripe

from payments_gateway.stripe_api.fields import is_replay
from payments_gateway.stripe_api.webhooks import EVENT_TYPES

if TYPE_CHECKING:
    from stripe.params import WebhookEndpointCreateParams

_EVENTS: Final[Any] = sorted(EVENT_TYPES)
"""The library names every type of event by a literal of its own."""
_PAGE_SIZE: Final = 100
_MISSING: Final = 404


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """An endpoint as it is at Stripe."""

    id: str
    api_version: str | None
    """None for the default version of the account, which may change at any time."""
    event_types: frozenset[str]
    enabled: bool
    url: str
    for_connected_accounts: bool
    """True if it sends events of accounts connected to ours, and none of ours."""

    @property
    def can_be_ours(self) -> bool:
        """True if it sends our account's events in our API version. Stripe changes neither of an endpoint."""
        return self.api_version == stripe.api_version and not self.for_connected_accounts

    @property
    def differences(self) -> tuple[str, ...]:
        """Changes that a correction makes; empty for an endpoint that is as it must be."""
        return (
            *(f"+ {missing}" for missing in sorted(EVENT_TYPES - self.event_types)),
            *(f"- {needless}" for needless in sorted(self.event_types - EVENT_TYPES)),
            *(() if self.enabled else ("enabled",)),
        )


@dataclass(frozen=True, slots=True)
class NewWebhookEndpoint:
    """An endpoint that was just created, with the secret that signs its deliveries."""

    id: str
    signing_secret: str

    def __repr__(self) -> str:
        """Omit the secret: a repr may end in a log."""
        return f"NewWebhookEndpoint({self.id})"


class StripeWebhookEndpoints:
    """Endpoints of the account and mode of the client's key. Every method may raise stripe.StripeError."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._endpoints = client.v1.webhook_endpoints

    async def find_all(self, url: str) -> list[WebhookEndpoint]:
        """Return all endpoints with this URL, newest first."""
        listed = await self._endpoints.list_async({"limit": _PAGE_SIZE})
        found = [_endpoint_from_stripe(shown) async for shown in listed.auto_paging_iter()]
        return [endpoint for endpoint in found if endpoint.url == url]

    async def create(self, url: str, *, generation: int) -> NewWebhookEndpoint | None:
        """Create an endpoint, once per generation: calls at the same time, and repeats, get the same one.

        Returns None if the generation's key replays a failure or a refusal, whose cause may be gone, or an endpoint
        that was deleted, or got another URL, since.
        """
        params: WebhookEndpointCreateParams = {
            "url": url,
            "enabled_events": _EVENTS,
            "api_version": cast("Any", stripe.api_version),
            "description": "Holdfast",
        }
        key = f"webhook-endpoint:{_digest(params)}:{generation}"
        try:
            created = await self._endpoints.create_async(params, {"idempotency_key": key})
        except (stripe.APIError, stripe.InvalidRequestError) as error:
            if (error.headers or {}).get("Idempotent-Replayed") == "true":
                return None
            raise
        # Only a replay is read back: where the read of a new endpoint failed, its secret would be lost.
        if is_replay(created.last_response) and not await self._is_unchanged(created):
            return None
        return NewWebhookEndpoint(created.id, str(created.secret))

    async def correct(self, endpoint_id: str) -> None:
        """Enable an endpoint, for exactly our types of events."""
        await self._endpoints.update_async(endpoint_id, {"enabled_events": _EVENTS, "disabled": False})

    async def _is_unchanged(self, created: stripe.WebhookEndpoint) -> bool:
        """Ask Stripe for the endpoint: a replayed creation shows it as it was."""
        try:
            endpoint = await self._endpoints.retrieve_async(created.id)
        except stripe.InvalidRequestError as error:
            if error.http_status == _MISSING:
                return False
            raise
        return endpoint.url == created.url


def _digest(params: Mapping[str, object]) -> str:
    """Return a digest of what an endpoint is created with: a key with other parameters would be refused."""
    return hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()


def _endpoint_from_stripe(shown: stripe.WebhookEndpoint) -> WebhookEndpoint:
    return WebhookEndpoint(
        id=shown.id,
        api_version=shown.api_version,
        event_types=frozenset(shown.enabled_events),
        enabled=shown.status == "enabled",
        url=shown.url,
        # `connect` itself is not shown: https://github.com/stripe/stripe-dotnet/issues/1876
        for_connected_accounts=shown.application is not None,
    )
