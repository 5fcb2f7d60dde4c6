"""The route that Stripe's webhooks arrive at."""

from fastapi import APIRouter, Request

from payments_gateway.api.problems import ProblemBody
from payments_gateway.clients.stripe_webhooks import StripeWebhooks
from payments_gateway.fulfilment import Fulfilment
from payments_gateway.purchases import Road, Source


def webhook_routes(webhooks: StripeWebhooks, fulfilment: Fulfilment) -> APIRouter:
    """Return the webhook's route."""
    routes = APIRouter(prefix="/api/stripe", tags=["stripe"])

    @routes.post(
        "/webhook",
        summary="Take an event from Stripe",
        responses={400: {"model": ProblemBody, "description": "Bad signature or body"}, 503: {"model": ProblemBody}},
    )
    async def webhook(request: Request) -> dict[str, bool]:
        """Answer 200 once the event's effect is committed, or when the event is not ours to act on."""
        event = webhooks.read(await request.body(), request.headers.get("stripe-signature"))
        if event.succeeded is not None and event.account is None:
            await fulfilment.fulfil(event.succeeded, Source(Road.WEBHOOK, event.id))
        return {"received": True}

    return routes
