"""Routes of a checkout: begin it, see where it stands, complete it when the browser is back."""

import hashlib
import json
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Response

from payments_gateway.api.bodies import (
    CheckoutBody,
    CheckoutStatusBody,
    CompleteCheckoutBody,
    InitiateCheckoutBody,
    PurchaseBody,
    Uuid,
)
from payments_gateway.api.callers import InitiatingCaller, RateLimitedCaller
from payments_gateway.api.problems import ProblemBody
from payments_gateway.api.views import checkout_body, decision_body, status_body
from payments_gateway.checkout.carts import Cart, CartLine
from payments_gateway.checkout.complete import CompleteCheckout
from payments_gateway.checkout.initiate import CheckoutRequest, Initiate
from payments_gateway.checkout.status import CheckoutStatusReader
from payments_gateway.domain.attempts import Address, Contact, IntentKind, IntentRef
from servicekit.json_logging import bind_attempt
from servicekit.violations import FieldViolation, InvalidRequest

_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": ProblemBody, "description": description}
    for status, description in {
        400: "The body is not JSON",
        401: "The token is not valid",
        404: "Unknown, or somebody else's",
        409: "The checkout cannot go this way; the problem's type says why",
        413: "The body is over 256 KiB",
        415: "The body is not JSON",
        422: "A field is not acceptable; errors names it",
        429: "Too many requests; try again after Retry-After seconds",
        503: "Something is away; try again after Retry-After seconds",
    }.items()
}


def checkout_routes(initiate: Initiate, complete: CompleteCheckout, statuses: CheckoutStatusReader) -> APIRouter:
    """Return the routes of a checkout."""
    routes = APIRouter(prefix="/api", tags=["checkout"], responses=_REFUSALS)

    @routes.post("/stripe/initiate-checkout", summary="Begin a checkout")
    async def initiate_checkout(
        body: InitiateCheckoutBody,
        caller: InitiatingCaller,
        response: Response,
        idempotency_key: Annotated[
            str | None,
            Header(description="A random UUID for each checkout, so that a retry gets the same answer."),
        ] = None,
    ) -> CheckoutBody:
        """Store what the buyer wants, and answer what Stripe.js needs to take the payment for it."""
        response.headers["Cache-Control"] = "no-store"  # the answer carries a client secret
        return checkout_body(await initiate.begin(_checkout_request(body), caller, idempotency_key))

    @routes.post(
        "/orders",
        summary="Complete a checkout after the browser returned",
        tags=["orders"],
        responses={202: {"model": PurchaseBody, "description": "The payment is under way"}},
    )
    async def complete_checkout(
        body: CompleteCheckoutBody, caller: RateLimitedCaller, response: Response
    ) -> PurchaseBody:
        """Ask Stripe whether the checkout is paid, and record it if the webhook has not done so yet."""
        bind_attempt(body.checkout_attempt_id)
        decision = await complete.complete(body.checkout_attempt_id, _intent_ref(body), caller)
        response.status_code = 202 if decision is None else 200
        return decision_body(decision)

    @routes.get("/checkout/{checkout_attempt_id}", summary="See where a checkout stands")
    async def checkout_status(
        checkout_attempt_id: Annotated[Uuid, Path()], caller: RateLimitedCaller
    ) -> CheckoutStatusBody:
        """Answer the checkout's state, with what was bought once it is completed."""
        bind_attempt(checkout_attempt_id)
        return status_body(await statuses.status(checkout_attempt_id, caller))

    return routes


def _checkout_request(body: InitiateCheckoutBody) -> CheckoutRequest:
    if body.shipping_option_id is not None and body.shipping_address is None:
        raise InvalidRequest([FieldViolation("shippingAddress", "is required with shippingOptionId")])
    sent = json.dumps(body.model_dump(mode="json", exclude_none=True), sort_keys=True)
    return CheckoutRequest(
        cart=Cart(
            lines=tuple(CartLine(item.price_id, item.quantity) for item in body.items),
            shipping_option_id=body.shipping_option_id,
        ),
        contact=Contact(**body.contact.model_dump()),
        shipping_address=Address(**body.shipping_address.model_dump()) if body.shipping_address else None,
        supersedes=body.supersedes,
        request_hash=hashlib.sha256(sent.encode()).digest(),
    )


def _intent_ref(body: CompleteCheckoutBody) -> IntentRef:
    if body.payment_intent_id is not None and body.setup_intent_id is None:
        return IntentRef(body.payment_intent_id, IntentKind.PAYMENT)
    if body.setup_intent_id is not None and body.payment_intent_id is None:
        return IntentRef(body.setup_intent_id, IntentKind.SETUP)
    raise InvalidRequest([FieldViolation("paymentIntentId", "or setupIntentId is required, and only one of them")])
