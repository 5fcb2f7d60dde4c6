"""Routes of the signed-in user's own subscriptions."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from payments_gateway.api.bodies import CancelSubscriptionBody, SubscriptionBody, SubscriptionPageBody, Uuid
from payments_gateway.api.callers import RateLimitedUser, SignedInUser
from payments_gateway.api.problems import ProblemBody
from payments_gateway.api.views import subscription_body
from payments_gateway.domain.subscriptions import SubscriptionNotFound, SubscriptionsPort
from payments_gateway.subscriptions.cancel import CancelMode, SubscriptionCancel
from payments_gateway.subscriptions.incomplete_payments import IncompletePayments
from servicekit.violations import FieldViolation, InvalidRequest

_MAX_CURSOR_CHARACTERS = 500


def subscription_routes(
    subscriptions: SubscriptionsPort, incomplete_payments: IncompletePayments, cancels: SubscriptionCancel
) -> APIRouter:
    """Return the routes of subscriptions."""
    routes = APIRouter(
        prefix="/api/subscriptions",
        tags=["subscriptions"],
        responses={
            401: {"model": ProblemBody, "description": "A valid token is required"},
            404: {"model": ProblemBody, "description": "Unknown, or somebody else's"},
            429: {"model": ProblemBody, "description": "Too many requests; try again after Retry-After seconds"},
            503: {"model": ProblemBody},
        },
    )

    @routes.get("", summary="List one's own subscriptions")
    async def list_subscriptions(
        user_id: SignedInUser,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        cursor: Annotated[str | None, Query(max_length=_MAX_CURSOR_CHARACTERS)] = None,
    ) -> SubscriptionPageBody:
        """Answer the user's subscriptions, newest first."""
        try:
            page = await subscriptions.list_subscriptions(user_id, page_size=limit, page_token=cursor)
        except InvalidRequest:
            raise InvalidRequest([FieldViolation("cursor", "is not one that was given out")]) from None
        return SubscriptionPageBody(
            subscriptions=[subscription_body(each) for each in page.subscriptions], next_cursor=page.next_page_token
        )

    @routes.get("/{subscription_id}", summary="Read one's own subscription")
    async def read_subscription(subscription_id: Annotated[Uuid, Path()], user_id: RateLimitedUser) -> SubscriptionBody:
        """Answer one subscription, with what lets its buyer finish the first charge while that is open."""
        subscription = await subscriptions.get_subscription(subscription_id)
        if subscription.user_id != user_id:
            raise SubscriptionNotFound
        return subscription_body(subscription, await incomplete_payments.client_secrets([subscription]))

    @routes.post(
        "/{subscription_id}/cancel",
        summary="End one's own subscription",
        responses={409: {"model": ProblemBody, "description": "Not active yet, or ended; the problem's type says"}},
    )
    async def cancel_subscription(
        subscription_id: Annotated[Uuid, Path()], body: CancelSubscriptionBody, user_id: RateLimitedUser
    ) -> SubscriptionBody:
        """End it with its current period, at once, or not after all; answer it as it then is."""
        return subscription_body(await cancels.cancel(subscription_id, user_id, CancelMode(body.mode)))

    return routes
