"""One API request, and the HTTP response to it."""

from typing import Any, Final

from aiohttp import web
from pydantic_core import to_json

from stripe_simulator.api_errors import ApiError, invalid
from stripe_simulator.forms import Form, MalformedForm, parse_form
from stripe_simulator.idempotency import ApiResponse

_FORM_TYPES: Final = ("application/x-www-form-urlencoded", "application/octet-stream")
_SHOULD_RETRY: Final = {400: "false", 401: "false", 402: "false", 404: "false", 409: "true"}
"""Values of the Stripe-Should-Retry header. Without it the libraries decide by the status."""


class ApiRequest:
    """The parsed parts of a request."""

    def __init__(
        self, request: web.Request, body: bytes, request_id: str, pinned_version: str, log_url: str | None
    ) -> None:
        self.request_id = request_id
        self.method = request.method
        self.path = request.rel_url.raw_path
        self.origin = f"{request.scheme}://{request.host}"  # as the caller reaches it, which may be through a port map
        self.authorization = _header(request, "Authorization")
        self.stripe_version = _header(request, "Stripe-Version")
        self.idempotency_key = _header(request, "Idempotency-Key") if self.method == "POST" else None
        self.malformed = False
        self.form = self._parse_form(request, body)
        self.publishable_key = self._take_key()
        self._pinned_version = pinned_version
        self._log_url = log_url

    @property
    def by_browser(self) -> bool:
        """True for a publishable key, which sees less of an object."""
        return self.publishable_key is not None or "pk_" in (self.authorization or "")

    def check(self) -> None:
        """Refuse a body that is not a form, and any API version but the simulated one, as Stripe an unknown one."""
        if self.malformed:
            raise invalid(
                "Invalid request (check that your POST content type is application/x-www-form-urlencoded). If you "
                "have any questions, we can help at https://support.stripe.com/."
            )
        if self.stripe_version and self.stripe_version != self._pinned_version:
            raise invalid(f"Invalid Stripe API version: {self.stripe_version}")

    def response(self, status: int, content: Any) -> ApiResponse:
        """Build the response to this request."""
        return ApiResponse(status, to_json(content), self.request_id)

    def error_response(self, error: ApiError) -> ApiResponse:
        """Build the error response to this request."""
        content = error.envelope(self._log_url)
        return ApiResponse(error.status, to_json(content), self.request_id, error.headers)

    def http_response(self, response: ApiResponse, *, replayed: bool, retry_after: int | None = None) -> web.Response:
        """Add the headers. Those of a replay name the original request."""
        headers = {
            "Content-Type": "application/json",
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Expose-Headers": "Request-Id",
            "Request-Id": self.request_id,
            "Stripe-Version": self._pinned_version,
            **response.headers,
        }
        if self.idempotency_key:
            headers |= {"Idempotency-Key": self.idempotency_key, "Original-Request": response.request_id}
        if replayed:
            headers["Idempotent-Replayed"] = "true"
        if response.status in _SHOULD_RETRY:
            headers["Stripe-Should-Retry"] = _SHOULD_RETRY[response.status]
        if retry_after is not None:
            headers["Retry-After"] = str(retry_after)
        return web.Response(status=response.status, body=response.body, headers=headers)

    def _take_key(self) -> str | None:
        """Take the publishable key out of the form, where Stripe.js puts it: a header would cost a CORS preflight."""
        key = self.form.get("key")
        if self.authorization is not None or not isinstance(key, str):
            return None
        del self.form["key"]
        return key

    def _parse_form(self, request: web.Request, body: bytes) -> Form:
        if body and request.content_type not in _FORM_TYPES:
            self.malformed = True
            return {}
        try:
            form = parse_form(request.rel_url.raw_query_string)
            return form | parse_form(body.decode()) if body else form
        except (MalformedForm, UnicodeDecodeError):
            self.malformed = True
            return {}


def _header(request: web.Request, name: str) -> str | None:
    """Return a header without lone surrogates, which stand for bytes that are not UTF-8."""
    value = request.headers.get(name)
    return None if value is None else value.encode(errors="replace").decode()
