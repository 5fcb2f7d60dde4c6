"""Route of Stripe's webhooks."""

from typing import Final

from fastapi import APIRouter, Request
from prometheus_client import Counter

from payments_gateway.api.problems import describe_problems
from payments_gateway.domain.stripe_events import HandledEvent
from payments_gateway.events.event_log import EventLog
from payments_gateway.stripe_api.webhooks import StripeWebhooks
from payments_gateway.webhook_dispatcher import WebhookDispatcher

CONNECT_EVENTS: Final = Counter(
    "holdfast_webhook_connect_events", "Events of connected accounts: acknowledged without effect."
)

WEBHOOK_PATH: Final = "/api/stripe/webhook"

_SIGNED_EVENT: Final = {
    "security": [{"stripeSignature": []}],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "title": "StripeEvent",
                    "description": "An event as Stripe sends it. Events of other types have no effect.",
                    "type": "object",
                    "required": ["id", "object", "type", "created", "data"],
                    "properties": {
                        "id": {"type": "string"},
                        "object": {"type": "string", "const": "event"},
                        "type": {"type": "string", "examples": ["payment_intent.succeeded"]},
                        "created": {"type": "integer", "description": "Seconds since 1970."},
                        "data": {
                            "type": "object",
                            "required": ["object"],
                            "properties": {"object": {"type": "object"}},
                        },
                    },
                }
            }
        },
    },
}


def webhook_routes(webhooks: StripeWebhooks, dispatcher: WebhookDispatcher, event_log: EventLog) -> APIRouter:
    """Return the webhook's route."""
    routes = APIRouter(tags=["stripe"])

    @routes.post(
        WEBHOOK_PATH,
        summary="Receive an event from Stripe",
        responses=describe_problems(400, 403, 404, 503),
        openapi_extra=_SIGNED_EVENT,
    )
    async def receive_event(request: Request) -> dict[str, bool]:
        """Return 200 once the event's effect is committed, or if the event has none."""
        delivery = webhooks.read(await request.body(), request.headers.get("stripe-signature"))
        if delivery.account is not None:
            CONNECT_EVENTS.inc()
        elif delivery.event is not None:
            await dispatcher.dispatch(delivery.event, delivery.id, delivery.created_at)
            event_log.add(HandledEvent(delivery.id, delivery.type, delivery.created_at))
        return {"received": True}

    return routes
