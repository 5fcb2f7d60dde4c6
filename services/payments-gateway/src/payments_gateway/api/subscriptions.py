"""Routes of the signed-in user's own subscriptions."""

from typing import Annotated

from fastapi import APIRouter, Path

from payments_gateway.api.callers import SIGNED_IN, RateLimitedUser, SignedInUser
from payments_gateway.api.fields import Uuid
from payments_gateway.api.paging import Cursor, Limit, invalid_cursor_named
from payments_gateway.api.problems import describe_problems
from payments_gateway.api.subscription_bodies import (
    CancelSubscriptionBody,
    OpenPortalBody,
    PortalSessionBody,
    SubscriptionBody,
    SubscriptionPageBody,
    subscription_page_to_body,
    subscription_to_body,
)
from payments_gateway.domain.subscriptions import SubscriptionNotFound, SubscriptionsPort
from payments_gateway.subscriptions.cancel import CancelMode, SubscriptionCancel
from payments_gateway.subscriptions.open_payments import OpenPayments
from payments_gateway.subscriptions.portal import CustomerPortal


def subscription_routes(
    subscriptions: SubscriptionsPort, open_payments: OpenPayments, cancels: SubscriptionCancel, portal: CustomerPortal
) -> APIRouter:
    """Return the routes of subscriptions."""
    routes = APIRouter(
        prefix="/api/subscriptions", tags=["subscriptions"], responses=describe_problems(401, 404, 429, 503)
    )

    @routes.get("", summary="List one's own subscriptions", openapi_extra=SIGNED_IN)
    async def list_subscriptions(
        user_id: SignedInUser, limit: Limit = 20, cursor: Cursor = None
    ) -> SubscriptionPageBody:
        """Return a page of the user's subscriptions, newest first."""
        with invalid_cursor_named():
            page = await subscriptions.list_subscriptions(user_id, page_size=limit, page_token=cursor)
        return subscription_page_to_body(page)

    @routes.get("/{subscription_id}", summary="Read one's own subscription", openapi_extra=SIGNED_IN)
    async def read_subscription(subscription_id: Annotated[Uuid, Path()], user_id: RateLimitedUser) -> SubscriptionBody:
        """Return a subscription, with the client secret of its open payment while there is one."""
        subscription = await subscriptions.get_subscription(subscription_id)
        if subscription.user_id != user_id:
            raise SubscriptionNotFound
        secrets = await open_payments.client_secrets([subscription])
        return subscription_to_body(subscription, secrets.get(subscription.id))

    @routes.post(
        "/{subscription_id}/cancel",
        summary="End one's own subscription",
        responses=describe_problems(409),
        openapi_extra=SIGNED_IN,
    )
    async def cancel_subscription(
        subscription_id: Annotated[Uuid, Path()], body: CancelSubscriptionBody, user_id: RateLimitedUser
    ) -> SubscriptionBody:
        """End the subscription with its period or now, or revert that, and return it.

        409 `payment_processing` instead of an end at once while its payment is at the bank: an end would not stop it.

        One that is cancelled while Stripe may be creating it is 503 until Stripe cannot charge for it any more. It is
        cancelled already, and the same request after Retry-After seconds returns it.
        """
        return subscription_to_body(await cancels.cancel(subscription_id, user_id, CancelMode(body.mode)))

    @routes.post(
        "/{subscription_id}/portal",
        summary="Open Stripe's customer portal",
        responses=describe_problems(409),
        openapi_extra=SIGNED_IN,
    )
    async def open_portal(
        subscription_id: Annotated[Uuid, Path()], _body: OpenPortalBody, user_id: RateLimitedUser
    ) -> PortalSessionBody:
        """Return the address of a new portal session for the subscription's customer.

        404 also while the subscription does not exist at Stripe. 409 `portal_not_configured` if the shop never saved
        the portal's settings at Stripe, and `customer_deleted` if the customer was deleted there.
        """
        return PortalSessionBody(url=await portal.open(subscription_id, user_id))

    return routes
