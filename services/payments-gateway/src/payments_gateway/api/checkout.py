"""Routes of a checkout: initiate it, complete it after the browser returned, read its status."""

from typing import Annotated

from fastapi import APIRouter, Header, Path, Response

from payments_gateway.api.callers import GUESTS_TOO, InitiatingCaller, RateLimitedCaller
from payments_gateway.api.checkout_bodies import (
    CheckoutBody,
    CheckoutStatusBody,
    CompleteCheckoutBody,
    InitiateCheckoutBody,
    checkout_request_from_body,
    checkout_to_body,
    intent_ref_from_body,
    status_to_body,
)
from payments_gateway.api.customer_portal import CustomerPortalUrl
from payments_gateway.api.fields import UUID4_PATTERN, Uuid
from payments_gateway.api.order_bodies import PurchaseBody, decision_to_body
from payments_gateway.api.problems import describe_problems
from payments_gateway.checkout.attempt_ids import AttemptIds
from payments_gateway.checkout.complete import CompleteCheckout
from payments_gateway.checkout.initiate import Initiate
from payments_gateway.checkout.status import CheckoutStatusReader
from servicekit.json_logging import bind_attempt

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="A random UUID for each checkout, so that a retry gets the same response. "
        "From a signed-in user any 1 to 255 printable ASCII characters are taken.",
        json_schema_extra={"format": "uuid", "pattern": UUID4_PATTERN},
    ),
]


def checkout_routes(
    initiate: Initiate, complete: CompleteCheckout, statuses: CheckoutStatusReader, ids: AttemptIds
) -> APIRouter:
    """Return the routes of a checkout. An id that none of our secrets made is not found, without a call to anybody."""
    routes = APIRouter(prefix="/api", tags=["checkout"], responses=describe_problems(400, 401, 404, 409, 422, 429, 503))

    @routes.post("/stripe/initiate-checkout", summary="Initiate a checkout", openapi_extra=GUESTS_TOO)
    async def initiate_checkout(
        body: InitiateCheckoutBody,
        caller: InitiatingCaller,
        response: Response,
        idempotency_key: IdempotencyKey = None,
    ) -> CheckoutBody:
        """Store the cart, and return what Stripe.js needs to take the payment."""
        response.headers["Cache-Control"] = "no-store"  # the body has a client secret
        if body.supersedes is not None:
            ids.ensure_ours(body.supersedes)
        return checkout_to_body(await initiate.begin(checkout_request_from_body(body), caller, idempotency_key))

    @routes.post(
        "/orders",
        summary="Complete a checkout after the browser returned",
        tags=["orders"],
        openapi_extra=GUESTS_TOO,
        responses={202: {"model": PurchaseBody, "description": "The payment is processing"}},
    )
    async def complete_checkout(
        body: CompleteCheckoutBody, caller: RateLimitedCaller, response: Response, portal_url: CustomerPortalUrl
    ) -> PurchaseBody:
        """Ask Stripe if the checkout is paid, and record the purchase unless the webhook has."""
        bind_attempt(body.checkout_attempt_id)
        ids.ensure_ours(body.checkout_attempt_id)
        decision = await complete.complete(body.checkout_attempt_id, intent_ref_from_body(body), caller)
        response.status_code = 202 if decision is None else 200
        return decision_to_body(decision, portal_url)

    @routes.get("/checkout/{checkout_attempt_id}", summary="Read the status of a checkout", openapi_extra=GUESTS_TOO)
    async def read_checkout_status(
        checkout_attempt_id: Annotated[Uuid, Path()], caller: RateLimitedCaller, portal_url: CustomerPortalUrl
    ) -> CheckoutStatusBody:
        """Return the checkout's status, with the purchase once it is completed."""
        bind_attempt(checkout_attempt_id)
        ids.ensure_ours(checkout_attempt_id)
        return status_to_body(await statuses.status(checkout_attempt_id, caller), portal_url)

    return routes
