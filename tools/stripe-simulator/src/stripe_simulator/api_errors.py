"""Stripe's errors.

Shapes and codes follow https://docs.stripe.com/api/errors and https://docs.stripe.com/error-codes.
"""

from collections.abc import Mapping
from typing import Any, Final

ACCOUNT_ID: Final = "acct_1HoldfastSimulator"
_UNAUTHORIZED: Final = 401


class ApiError(Exception):
    """An error with its HTTP status. `body` is the content of the envelope, `headers` are additional ones."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})
        error: dict[str, Any] = {}
        if code:
            error |= {"code": code, "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"}
        error["message"] = message
        if param:
            error["param"] = param
        self.body = error | dict(details or {}) | {"type": kind}

    def envelope(self, log_url: str | None = None) -> dict[str, Any]:
        """Return the JSON body, with the address of the request in the Dashboard. A 401 knows no account."""
        if log_url is None or self.status == _UNAUTHORIZED:
            return {"error": self.body}
        return {"error": dict(sorted((self.body | {"request_log_url": log_url}).items()))}


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> ApiError:
    """Build a 400 `invalid_request_error`."""
    return ApiError(400, message, code=code, param=param)


def resource_missing(kind: str, object_id: str, *, param: str = "id", status: int = 404) -> ApiError:
    """Build the error for an unknown id: 404 in a path, 400 in a parameter."""
    return ApiError(status, f"No such {kind}: '{object_id}'", code="resource_missing", param=param)


def unrecognized_url(method: str, path: str) -> ApiError:
    """Build the 404 for an unknown path."""
    return ApiError(
        404,
        f"Unrecognized request URL ({method}: {path}). If you are trying to list objects, remove the trailing slash. "
        "If you are trying to retrieve an object, make sure you passed a valid (non-empty) identifier in your code. "
        "Please see https://stripe.com/docs or we can help at https://support.stripe.com/.",
    )


def server_error() -> ApiError:
    """Build Stripe's 500."""
    return ApiError(
        500, "An unknown error occurred. Please contact https://support.stripe.com/ for help.", kind="api_error"
    )


def key_expired() -> ApiError:
    """Build the 401 for an expired key."""
    return ApiError(401, "Expired API Key provided: sk_test_********", code="api_key_expired")


def not_permitted(shown_key: str = "rk_test_********", permission: str = "rak_charge_write") -> ApiError:
    """Build the 403 for a restricted key, which names the permission that it lacks.

    It has no code: see what https://github.com/stripe/stripe-node/issues/2246 shows of one.
    """
    return ApiError(
        403,
        f"The provided key '{shown_key}' does not have the required permissions for this endpoint on account "
        f"'{ACCOUNT_ID}'. Having the '{permission}' permission would allow this request to continue.",
    )


def locked() -> ApiError:
    """Build the 429 for a locked object (https://docs.stripe.com/rate-limits#object-lock-timeouts)."""
    return ApiError(
        429,
        "This object cannot be accessed right now because another API request or Stripe process is currently "
        "accessing it. If you see this error intermittently, retry the request. If you see this error frequently and "
        "are making multiple concurrent requests to a single object, make your requests serially or at a lower rate.",
        code="lock_timeout",
    )
