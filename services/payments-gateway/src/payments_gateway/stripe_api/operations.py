"""Names of the operations of Stripe's API, by which Stripe limits, and we log and count."""

from typing import Final

OPERATIONS: Final = frozenset(
    {
        "POST /v1/customers",
        "POST /v1/customers/{id}",
        "POST /v1/billing_portal/sessions",
        "GET /v1/disputes",
        "GET /v1/disputes/{id}",
        "GET /v1/events",
        "GET /v1/invoices",
        "GET /v1/invoices/{id}",
        "POST /v1/payment_intents",
        "GET /v1/payment_intents",
        "GET /v1/payment_intents/{id}",
        "POST /v1/payment_intents/{id}/cancel",
        "GET /v1/prices",
        "GET /v1/prices/{id}",
        "GET /v1/refunds",
        "POST /v1/refunds",
        "GET /v1/refunds/{id}",
        "POST /v1/setup_intents",
        "GET /v1/setup_intents",
        "GET /v1/setup_intents/{id}",
        "POST /v1/setup_intents/{id}/cancel",
        "GET /v1/shipping_rates",
        "GET /v1/subscription_items",
        "GET /v1/subscription_items/{id}",
        "GET /v1/subscriptions",
        "POST /v1/subscriptions",
        "GET /v1/subscriptions/{id}",
        "POST /v1/subscriptions/{id}",
        "DELETE /v1/subscriptions/{id}",
    }
)
"""Operations that gateways, reconcilers and operators use, each with a limit of its own."""
_NAMESPACES: Final = frozenset({"billing", "billing_portal", "checkout"})
"""Parts of a path that stand before the kind of object."""


def operation_of(method: str, url: str) -> str:
    """Return a request's name: method and path, without ids and queries."""
    parts = [part for part in url.partition("://")[2].partition("?")[0].split("/")[1:] if part]
    place_of_id = 3 if len(parts) > 1 and parts[1] in _NAMESPACES else 2  # /v1/objects/ID/…
    names = ["{id}" if place == place_of_id else part for place, part in enumerate(parts)]
    return f"{method.upper()} /{'/'.join(names)}"
