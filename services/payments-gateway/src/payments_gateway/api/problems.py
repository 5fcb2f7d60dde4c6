"""Responses for failures: RFC 9457 problem details, from one table of exceptions."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from payments_gateway.access.jwks_cache import JwksUnavailable
from payments_gateway.access.rate_limits import RateLimited
from payments_gateway.access.tokens import Unauthenticated
from payments_gateway.api.customer_portal import customer_portal_url
from payments_gateway.api.methods import allowed_methods
from payments_gateway.api.order_bodies import PurchaseBody, purchase_to_body
from payments_gateway.api.validation_errors import is_malformed_json, violations_of
from payments_gateway.checkout.carts import CartNotForSale
from payments_gateway.checkout.catalogue_cache import CatalogueUnavailable
from payments_gateway.domain.attempts import AttemptClosed, AttemptTooLarge, RequestHashMismatch
from payments_gateway.domain.errors import (
    AlreadyPaid,
    AttemptNotFound,
    ConflictRetriesExhausted,
    ForgedAttemptId,
    IntentMismatch,
    PaymentNotSucceeded,
    PaymentProcessing,
)
from payments_gateway.domain.intents import CustomerMissing, IntentNotFound, IntentRefused
from payments_gateway.domain.purchases import OrderNotFound
from payments_gateway.domain.stripe_billing import SubscriptionRefused
from payments_gateway.domain.stripe_errors import StripeUnavailable, UnsupportedStripeObject
from payments_gateway.domain.subscriptions import SubscriptionNotFound
from payments_gateway.stripe_api.webhooks import BadEvent, BadSignature, ThinPayload
from payments_gateway.subscriptions.cancel import SubscriptionEnded
from payments_gateway.subscriptions.portal import PortalNotConfigured
from servicekit.json_logging import request_id
from servicekit.load_shedding import RETRY_AFTER_SECONDS
from servicekit.unavailable import ServiceOverloaded, ServiceUnavailable
from servicekit.violations import FieldViolation, InvalidRequest

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:holdfast:problem:"
_MAX_RETRY_AFTER_SECONDS: Final = 60
"""Longest Retry-After of a 503."""
SLOT: Final = "holdfast.slot"
"""Key of the request's slot in its scope."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Kind of a failure as a client sees it. `kind` is a stable lower_snake_case word, the end of the type."""

    status: int
    kind: str
    title: str


class FieldError(BaseModel):
    """Violation of one field of a request."""

    field: str = Field(description="Path of the field as the client spells it.", examples=["items[0].quantity"])
    message: str = Field(description="What the field must be.", examples=["must be greater than or equal to 1"])


_TYPE_MEANINGS: Final = """\
Stable; clients act on it. What to do after a conflict about a checkout:
- `already_paid`: show `purchase`. Without one, the payment is reviewed or its purchase was erased: ask for no money.
- `payment_processing`: a payment may still succeed. Poll the status of `checkoutAttemptId`, which may be a later
  checkout than you have; do not let the buyer pay again. From a cancel of a subscription: repeat it when
  the payment has arrived or failed.
- `attempt_closed`: expired, superseded or cancelled. Begin another checkout, with a new key, that supersedes the last
  one whose `checkoutAttemptId` you have.
- `payment_not_succeeded`: not paid. Read the status: it says if the buyer may try again or must begin anew.
- `intent_mismatch`: the intent is another checkout's. Read the status of the checkout that was stored.
- `cart_not_for_sale`: `errors` names the lines that the shop does not sell now. Read the catalogue again.
- `idempotency_key_reused`: use a new key for a changed cart, and name the old checkout in `supersedes`.

`temporarily_unavailable`, `overloaded`: the same request may be repeated after Retry-After. Nothing is lost or done
twice by that.
"""


class ProblemBody(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(description=_TYPE_MEANINGS, examples=[TYPE_PREFIX + "invalid_request"])
    title: str = Field(examples=["The request is invalid"])
    status: int = Field(examples=[422])
    request_id: str = Field(serialization_alias="requestId", description="Names this request in the shop's logs.")
    errors: list[FieldError] | None = Field(
        default=None, description="With invalid_request and cart_not_for_sale: one for each field."
    )
    purchase: PurchaseBody | None = Field(default=None, description="With already_paid, where the purchase is known.")
    checkout_attempt_id: str | None = Field(
        default=None,
        serialization_alias="checkoutAttemptId",
        description="With payment_processing: the checkout whose payment it is, if it is the caller's.",
    )


INVALID: Final = Problem(422, "invalid_request", "The request is invalid")
MALFORMED: Final = Problem(400, "malformed_json", "The body is not valid JSON")
UNAVAILABLE: Final = Problem(503, "temporarily_unavailable", "A dependency is unavailable")
OVERLOADED: Final = Problem(503, "overloaded", "Too many requests are being served")
INTERNAL: Final = Problem(500, "internal", "Internal server error")
TOO_LARGE: Final = Problem(413, "body_too_large", "The body is too large")
NOT_JSON: Final = Problem(415, "unsupported_media_type", "The body must be application/json")

PROBLEMS: Final[Mapping[type[Exception], Problem]] = {
    InvalidRequest: INVALID,
    CartNotForSale: Problem(409, "cart_not_for_sale", "The shop does not sell this cart"),
    IntentRefused: Problem(422, "refused_by_stripe", "Stripe refused the amount or currency"),
    AttemptTooLarge: Problem(422, "checkout_too_large", "The checkout is too large to be stored"),
    Unauthenticated: Problem(401, "unauthenticated", "A valid token is required"),
    AttemptNotFound: Problem(404, "checkout_not_found", "Checkout not found"),
    OrderNotFound: Problem(404, "order_not_found", "Order not found"),
    SubscriptionNotFound: Problem(404, "subscription_not_found", "Subscription not found"),
    IntentNotFound: Problem(404, "intent_not_found", "Intent not found at Stripe"),
    RequestHashMismatch: Problem(409, "idempotency_key_reused", "Idempotency-Key was used for another request"),
    AttemptClosed: Problem(409, "attempt_closed", "Checkout is superseded, expired or cancelled: begin a new one"),
    AlreadyPaid: Problem(409, "already_paid", "Checkout is already paid"),
    PaymentProcessing: Problem(409, "payment_processing", "A payment is processing"),
    PaymentNotSucceeded: Problem(409, "payment_not_succeeded", "The payment has not succeeded"),
    IntentMismatch: Problem(409, "intent_mismatch", "The intent does not belong to the checkout"),
    SubscriptionEnded: Problem(409, "subscription_ended", "Subscription has ended"),
    SubscriptionRefused: Problem(409, "subscription_refused", "Stripe refused the change of the subscription"),
    PortalNotConfigured: Problem(409, "portal_not_configured", "The shop has no customer portal at Stripe"),
    CustomerMissing: Problem(409, "customer_deleted", "The customer was deleted at Stripe"),
    BadSignature: Problem(403, "bad_signature", "Webhook signature is missing, invalid or outdated"),
    BadEvent: Problem(400, "bad_event", "The body is not a webhook event"),
    ThinPayload: Problem(
        400,
        "thin_payload",
        "Thin payloads are not supported: replace this event destination by a webhook endpoint with snapshot payloads, "
        "with `payments-gateway webhook-endpoint ensure`",
    ),
    RateLimited: Problem(429, "rate_limited", "Too many requests"),
    JwksUnavailable: UNAVAILABLE,
    ServiceUnavailable: UNAVAILABLE,
    ServiceOverloaded: OVERLOADED,
    StripeUnavailable: UNAVAILABLE,
    ConflictRetriesExhausted: UNAVAILABLE,
    UnsupportedStripeObject: UNAVAILABLE,  # until the gateway is updated
    CatalogueUnavailable: UNAVAILABLE,
}
"""Problem by exception. A subclass without a row takes its nearest ancestor's; without any it is a 500."""

NO_SUCH_ROUTE: Final = "no_such_route"
METHOD_NOT_ALLOWED: Final = "method_not_allowed"
HTTP_ERROR: Final = "http_error"

KINDS: Final = sorted(
    {
        *(problem.kind for problem in (*PROBLEMS.values(), MALFORMED, INTERNAL, TOO_LARGE, NOT_JSON)),
        NO_SUCH_ROUTE,
        METHOD_NOT_ALLOWED,
        HTTP_ERROR,
    }
)
"""Every kind of problem."""

_DESCRIPTIONS: Final[Mapping[int, str]] = {
    400: "The body is not valid",
    401: "A valid token is required",
    403: "The signature is missing, invalid or outdated",
    404: "Not found, or owned by another user; a forged attempt id is answered after a pause",
    409: "The current state does not allow it; the problem's type says why",
    422: "A field is invalid; errors names it",
    429: "Too many requests; retry after Retry-After seconds",
    503: "A dependency is unavailable, or too many requests are being served; retry after Retry-After seconds",
}


def describe_problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the problems of a route for the OpenAPI document."""
    return {status: {"model": ProblemBody, "description": _DESCRIPTIONS[status]} for status in statuses}


def problem_response(
    problem: Problem,
    *,
    violations: Sequence[FieldViolation] = (),
    purchase: PurchaseBody | None = None,
    checkout_attempt_id: str | None = None,
    retry_after_seconds: int | None = None,
) -> JSONResponse:
    """Return a problem as a response."""
    body = ProblemBody(
        type=TYPE_PREFIX + problem.kind,
        title=problem.title,
        status=problem.status,
        request_id=request_id.get(),
        errors=[FieldError(field=each.field, message=each.description) for each in violations] or None,
        purchase=purchase,
        checkout_attempt_id=checkout_attempt_id,
    )
    headers = {}
    if problem.status == UNAVAILABLE.status or retry_after_seconds is not None:
        headers["Retry-After"] = str(retry_after_seconds or RETRY_AFTER_SECONDS)
    if problem.status == 401:  # noqa: PLR2004 — HTTP's own number
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(
        body.model_dump(mode="json", by_alias=True, exclude_none=True),
        status_code=problem.status,
        headers=headers,
        media_type=MEDIA_TYPE,
    )


def install_error_handlers(app: FastAPI, pause_seconds: Callable[[], float]) -> None:
    """Make the app respond to every expected exception by the table.

    Whoever forges ids or exceeds a rate limit is answered after a pause: connections that wait for each response
    cannot keep this process busy, and buyers waiting (ADR 25).
    """
    for kind in PROBLEMS:
        app.add_exception_handler(kind, _respond_by_table)
    for kind in (ForgedAttemptId, RateLimited):
        app.add_exception_handler(kind, _respond_after(pause_seconds))
    app.add_exception_handler(RequestValidationError, _respond_to_invalid_request)
    app.add_exception_handler(HTTPException, _respond_to_http_exception)


def _respond_after(pause_seconds: Callable[[], float]) -> Callable[[Request, Exception], Awaitable[JSONResponse]]:
    async def respond(request: Request, error: Exception) -> JSONResponse:
        request.scope[SLOT].release()  # it only waits from here on
        await asyncio.sleep(pause_seconds())
        return await _respond_by_table(request, error)

    return respond


async def _respond_by_table(request: Request, error: Exception) -> JSONResponse:
    problem = next(PROBLEMS[kind] for kind in type(error).__mro__ if kind in PROBLEMS)
    return problem_response(
        problem,
        violations=error.violations if isinstance(error, InvalidRequest) else (),
        purchase=_purchase_of(error, customer_portal_url(request)),
        checkout_attempt_id=error.attempt_id if isinstance(error, PaymentProcessing) else None,
        retry_after_seconds=_retry_after_seconds(error),
    )


def _retry_after_seconds(error: Exception) -> int | None:
    if isinstance(error, RateLimited):
        return error.retry_after_seconds
    if isinstance(error, StripeUnavailable | CatalogueUnavailable) and error.retry_after_seconds is not None:
        return max(RETRY_AFTER_SECONDS, min(_MAX_RETRY_AFTER_SECONDS, math.ceil(error.retry_after_seconds)))
    return None


def _purchase_of(error: Exception, portal_url: str | None) -> PurchaseBody | None:
    if isinstance(error, AlreadyPaid) and error.purchase is not None:
        return purchase_to_body(error.purchase, portal_url)
    return None


async def _respond_to_invalid_request(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 — registered for no other
    errors = error.errors()
    if is_malformed_json(errors):
        return problem_response(MALFORMED)
    return problem_response(INVALID, violations=violations_of(errors))


async def _respond_to_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 — registered for no other
    if error.status_code == MALFORMED.status:
        return problem_response(MALFORMED)
    kind = {404: NO_SUCH_ROUTE, 405: METHOD_NOT_ALLOWED}.get(error.status_code, HTTP_ERROR)
    response = problem_response(Problem(error.status_code, kind, str(error.detail)))
    response.headers.update(error.headers or {})
    if kind == METHOD_NOT_ALLOWED:
        response.headers["Allow"] = allowed_methods(request.scope)
    return response
