"""Registration of the gateways as webhook endpoints at Stripe."""

from collections.abc import Sequence

import stripe

WEBHOOK_PATH = "/api/stripe/webhook"


def register(client: stripe.StripeClient, gateways: Sequence[str]) -> list[str]:
    """Register an endpoint for each gateway URL. Return their signing secrets in order."""
    return [_register_one(client, f"{gateway}{WEBHOOK_PATH}") for gateway in gateways]


def delete_all(client: stripe.StripeClient) -> None:
    """Delete every registered endpoint."""
    for endpoint in list(client.v1.webhook_endpoints.list({"limit": 100}).auto_paging_iter()):
        client.v1.webhook_endpoints.delete(endpoint.id)


def _register_one(client: stripe.StripeClient, url: str) -> str:
    endpoint = client.v1.webhook_endpoints.create({"url": url, "enabled_events": ["*"]})
    if not endpoint.secret:
        raise ValueError("Stripe returned no secret for the webhook endpoint")
    return endpoint.secret
