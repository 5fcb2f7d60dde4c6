"""The route that Stripe's webhooks arrive at."""

from typing import Final

from fastapi import APIRouter, Request
from prometheus_client import Counter

from payments_gateway.api.problems import ProblemBody
from payments_gateway.stripe_api.webhooks import StripeWebhooks
from payments_gateway.webhook_dispatcher import WebhookDispatcher

FOREIGN: Final = Counter(
    "holdfast_webhook_foreign_events",
    "Events of other accounts that are connected to ours: acknowledged, not acted on.",
)


def webhook_routes(webhooks: StripeWebhooks, dispatcher: WebhookDispatcher) -> APIRouter:
    """Return the webhook's route."""
    routes = APIRouter(prefix="/api/stripe", tags=["stripe"])

    @routes.post(
        "/webhook",
        summary="Take an event from Stripe",
        responses={400: {"model": ProblemBody, "description": "Bad signature or body"}, 503: {"model": ProblemBody}},
    )
    async def webhook(request: Request) -> dict[str, bool]:
        """Answer 200 once the event's effect is committed, or when the event is not ours to act on."""
        delivery = webhooks.read(await request.body(), request.headers.get("stripe-signature"))
        if delivery.account is not None:
            FOREIGN.inc()
        elif delivery.event is not None:
            await dispatcher.dispatch(delivery.event, delivery.id)
        return {"received": True}

    return routes
