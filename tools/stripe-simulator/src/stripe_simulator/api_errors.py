"""Stripe's error answers.

Shapes and codes follow https://docs.stripe.com/api/errors and https://docs.stripe.com/error-codes.
"""

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """An error envelope with its HTTP status."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        error: dict[str, Any] = {}
        if code:
            error |= {"code": code, "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"}
        error["message"] = message
        if param:
            error["param"] = param
        self.error = error | dict(details or {}) | {"type": kind}

    def envelope(self) -> dict[str, Any]:
        """Answer the JSON body."""
        return {"error": self.error}


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> ApiError:
    """Make a 400 `invalid_request_error`."""
    return ApiError(400, message, code=code, param=param)


def resource_missing(kind: str, object_id: str, *, param: str = "id", status: int = 404) -> ApiError:
    """Make the answer for an id that leads nowhere: 404 in the URL, 400 in a parameter."""
    return ApiError(status, f"No such {kind}: '{object_id}'", code="resource_missing", param=param)


def unrecognized_url(method: str, path: str) -> ApiError:
    """Make the answer for a URL that names no endpoint."""
    return ApiError(
        404,
        f"Unrecognized request URL ({method}: {path}). If you are trying to list objects, remove the trailing slash. "
        "If you are trying to retrieve an object, make sure you passed a valid (non-empty) identifier in your code. "
        "Please see https://stripe.com/docs or we can help at https://support.stripe.com/.",
    )


def server_error() -> ApiError:
    """Make Stripe's own 500."""
    return ApiError(
        500, "An unknown error occurred. Please contact https://support.stripe.com/ for help.", kind="api_error"
    )


def key_refused() -> ApiError:
    """Make the 401 for a key that is no longer good."""
    return ApiError(401, "Expired API Key provided: sk_test_********", code="api_key_expired")


def not_permitted() -> ApiError:
    """Make the 403 for a restricted key that lacks a permission."""
    return ApiError(403, "The provided key does not have the required permissions for this endpoint.")


def locked() -> ApiError:
    """Make the 429 for an object that another request works on (https://docs.stripe.com/rate-limits#object-lock-timeouts)."""
    return ApiError(
        429,
        "This object cannot be accessed right now because another API request or Stripe process is currently "
        "accessing it. If you see this error intermittently, retry the request.",
        code="lock_timeout",
    )


def rate_limited() -> ApiError:
    """Make the 429 of https://docs.stripe.com/rate-limits."""
    return ApiError(
        429,
        "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits.",
        code="rate_limit",
    )
