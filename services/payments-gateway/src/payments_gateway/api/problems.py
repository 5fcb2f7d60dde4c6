"""What a client is told when a request fails: RFC 9457 problem details, from one table."""

import math
import re
from collections.abc import Mapping, Sequence
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
from payments_gateway.api.bodies import PurchaseBody
from payments_gateway.api.views import purchase_body
from payments_gateway.checkout.catalogue_cache import CatalogueUnavailable
from payments_gateway.domain.attempts import AttemptClosed, AttemptTooLarge, RequestHashMismatch
from payments_gateway.domain.errors import (
    AlreadyPaid,
    AttemptNotFound,
    ConflictRetriesExhausted,
    IntentMismatch,
    PaymentNotSucceeded,
    PaymentProcessing,
)
from payments_gateway.domain.intents import IntentNotFound, IntentRefused
from payments_gateway.domain.purchases import OrderNotFound
from payments_gateway.domain.stripe_billing import SubscriptionRefused
from payments_gateway.domain.stripe_errors import StripeUnavailable, UnsupportedStripeObject
from payments_gateway.domain.subscriptions import SubscriptionNotFound
from payments_gateway.stripe_api.webhooks import BadEvent, BadSignature
from payments_gateway.subscriptions.cancel import SubscriptionEnded, SubscriptionNotActiveYet
from servicekit.grpc_client import ServiceUnavailable
from servicekit.json_logging import request_id
from servicekit.violations import FieldViolation, InvalidRequest

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:holdfast:problem:"
_RETRY_AFTER_SECONDS: Final = 2
"""Where nobody says better."""
_LONGEST_RETRY_AFTER_SECONDS: Final = 60
"""No header of Stripe's sends a buyer away for longer."""


@dataclass(frozen=True)
class Problem:
    """One kind of failure as a client sees it."""

    status: int
    kind: str
    """Stable lower_snake_case word; the end of the problem's type."""
    title: str


class FieldError(BaseModel):
    """What is wrong with one field of a request."""

    field: str = Field(description="Path of the field as the client spells it.", examples=["items[0].quantity"])
    message: str = Field(description="What the field must be.", examples=["must be greater than or equal to 1"])


class ProblemBody(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(description="Stable; clients act on it.", examples=[TYPE_PREFIX + "invalid_request"])
    title: str = Field(examples=["The request is not acceptable"])
    status: int = Field(examples=[422])
    request_id: str = Field(serialization_alias="requestId", description="Names this request in the shop's logs.")
    errors: list[FieldError] | None = Field(default=None, description="One for each field that is not acceptable.")
    purchase: PurchaseBody | None = Field(
        default=None, description="With already_paid: what was bought, where it is known."
    )


INVALID: Final = Problem(422, "invalid_request", "The request is not acceptable")
MALFORMED: Final = Problem(400, "malformed_json", "The body is not valid JSON")
UNAVAILABLE: Final = Problem(503, "temporarily_unavailable", "Something we depend on is away; please try again shortly")
INTERNAL: Final = Problem(500, "internal", "Something went wrong on our side")
TOO_LARGE: Final = Problem(413, "body_too_large", "The body is too large")
NOT_JSON: Final = Problem(415, "unsupported_media_type", "The body must be application/json")

PROBLEMS: Final[Mapping[type[Exception], Problem]] = {
    InvalidRequest: INVALID,
    IntentRefused: Problem(422, "refused_by_stripe", "Stripe does not accept this amount or currency"),
    AttemptTooLarge: Problem(422, "checkout_too_large", "The checkout has too much content"),
    Unauthenticated: Problem(401, "unauthenticated", "A valid token is required"),
    AttemptNotFound: Problem(404, "checkout_not_found", "There is no such checkout"),
    OrderNotFound: Problem(404, "order_not_found", "There is no such order"),
    IntentNotFound: Problem(404, "intent_not_found", "Stripe knows no such intent"),
    RequestHashMismatch: Problem(409, "idempotency_key_reused", "This Idempotency-Key was used for another request"),
    AttemptClosed: Problem(409, "attempt_closed", "This checkout was replaced, expired or given up; begin a new one"),
    AlreadyPaid: Problem(409, "already_paid", "This checkout has been paid"),
    SubscriptionNotFound: Problem(404, "subscription_not_found", "There is no such subscription"),
    SubscriptionNotActiveYet: Problem(409, "subscription_not_active_yet", "This subscription has not begun yet"),
    SubscriptionEnded: Problem(409, "subscription_ended", "This subscription has ended"),
    SubscriptionRefused: Problem(409, "subscription_refused", "Stripe does not let this subscription be changed so"),
    PaymentProcessing: Problem(409, "payment_processing", "A payment for this checkout is under way"),
    PaymentNotSucceeded: Problem(409, "payment_not_succeeded", "This checkout has not been paid"),
    IntentMismatch: Problem(409, "intent_mismatch", "The intent does not belong to this checkout"),
    BadSignature: Problem(400, "bad_signature", "The signature is missing, wrong, or not of just now"),
    BadEvent: Problem(400, "bad_event", "The body is not an event"),
    RateLimited: Problem(429, "rate_limited", "Too many requests; please wait a little"),
    JwksUnavailable: UNAVAILABLE,
    ServiceUnavailable: UNAVAILABLE,
    StripeUnavailable: UNAVAILABLE,
    ConflictRetriesExhausted: UNAVAILABLE,
    UnsupportedStripeObject: UNAVAILABLE,  # until this program has learnt the word
    CatalogueUnavailable: UNAVAILABLE,
}
"""Answer by exception. A subclass without a row takes its nearest ancestor's; what has none is a 500."""


def problem_response(
    problem: Problem,
    *,
    violations: Sequence[FieldViolation] = (),
    purchase: PurchaseBody | None = None,
    retry_after_seconds: int | None = None,
) -> JSONResponse:
    """Return a problem as a response."""
    body = ProblemBody(
        type=TYPE_PREFIX + problem.kind,
        title=problem.title,
        status=problem.status,
        request_id=request_id.get(),
        errors=[FieldError(field=found.field, message=found.description) for found in violations] or None,
        purchase=purchase,
    )
    headers = {}
    if problem is UNAVAILABLE or retry_after_seconds is not None:
        headers["Retry-After"] = str(retry_after_seconds or _RETRY_AFTER_SECONDS)
    if problem.status == 401:  # noqa: PLR2004 — HTTP's own number
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(
        body.model_dump(mode="json", by_alias=True, exclude_none=True),
        status_code=problem.status,
        headers=headers,
        media_type=MEDIA_TYPE,
    )


def install_error_handlers(app: FastAPI) -> None:
    """Make the app answer every expected failure by the table."""
    for kind in PROBLEMS:
        app.add_exception_handler(kind, _from_table)
    app.add_exception_handler(RequestValidationError, _from_validation)
    app.add_exception_handler(HTTPException, _from_framework)


async def _from_table(_request: Request, failure: Exception) -> JSONResponse:
    problem = next(PROBLEMS[kind] for kind in type(failure).__mro__ if kind in PROBLEMS)
    violations = failure.violations if isinstance(failure, InvalidRequest) else ()
    wait = _wait_after(failure)
    return problem_response(problem, violations=violations, purchase=_purchase_of(failure), retry_after_seconds=wait)


def _wait_after(failure: Exception) -> int | None:
    if isinstance(failure, RateLimited):
        return failure.retry_after_seconds
    if isinstance(failure, StripeUnavailable | CatalogueUnavailable) and failure.retry_after_seconds is not None:
        return max(1, min(_LONGEST_RETRY_AFTER_SECONDS, math.ceil(failure.retry_after_seconds)))
    return None


def _purchase_of(failure: Exception) -> PurchaseBody | None:
    if isinstance(failure, AlreadyPaid) and failure.purchase is not None:
        return purchase_body(failure.purchase)
    return None


async def _from_validation(_request: Request, failure: Exception) -> JSONResponse:
    assert isinstance(failure, RequestValidationError)  # noqa: S101 — registered for no other
    faults = failure.errors()
    if any(fault["type"] == "json_invalid" for fault in faults):
        return problem_response(MALFORMED)
    return problem_response(INVALID, violations=[_violation(fault) for fault in faults[:_MAX_ERRORS]])


async def _from_framework(_request: Request, failure: Exception) -> JSONResponse:
    assert isinstance(failure, HTTPException)  # noqa: S101 — registered for no other
    if failure.status_code == MALFORMED.status:
        return problem_response(MALFORMED)
    kind = {404: "no_such_route", 405: "method_not_allowed"}.get(failure.status_code, "http_error")
    response = problem_response(Problem(failure.status_code, kind, str(failure.detail)))
    response.headers.update(failure.headers or {})
    return response


_PLACES: Final = frozenset({"body", "query", "path", "header"})
_MAX_FIELD_CHARACTERS: Final = 200
_FIELD_NAME: Final = re.compile(r"[A-Za-z_]{1,40}")
"""An unknown field's name is the client's own text: it is told only if it could not be an address or a number (P7)."""
_MESSAGES: Final = {"extra_forbidden": "is not a field of this request", "missing": "is required"}
"""What pydantic would say less clearly."""
_MAX_ERRORS: Final = 100
"""A small body can hold tens of thousands of faults; nobody mends a form by more than this."""


def _violation(fault: Mapping[str, Any]) -> FieldViolation:
    """Name the field as the client spells it; never quote its value (P7)."""
    location = list(fault["loc"])
    if len(location) > 1 and location[0] in _PLACES:
        location = location[1:]
    if fault["type"] == "extra_forbidden" and not _FIELD_NAME.fullmatch(str(location[-1])):
        return FieldViolation(_path(location[:-1]) or "body", "has something that is not a field of this request")
    message = _MESSAGES.get(fault["type"]) or fault["msg"].removeprefix("Value error, ")
    return FieldViolation(_path(location), message)


def _path(location: Sequence[Any]) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    return path[:_MAX_FIELD_CHARACTERS]
