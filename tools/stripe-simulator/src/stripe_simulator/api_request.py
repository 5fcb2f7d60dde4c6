"""One HTTP request and the headers of its answer."""

import re
from typing import Any

from aiohttp import web
from pydantic_core import to_json

from stripe_simulator.api_errors import invalid
from stripe_simulator.forms import Form, MalformedForm, parse_form
from stripe_simulator.idempotency import Answer

_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(\.[a-z]+)?")
_FORM_TYPES = ("application/x-www-form-urlencoded", "application/octet-stream")
# What Stripe tells its libraries about trying again; where it says nothing they decide by the status.
_SHOULD_RETRY = {400: "false", 401: "false", 402: "false", 404: "false", 409: "true"}


class ApiRequest:
    """What was asked, read once."""

    def __init__(self, request: web.Request, body: bytes, request_id: str, pinned_version: str) -> None:
        self.request_id = request_id
        self.method = request.method
        self.path = request.rel_url.raw_path
        self.authorization = _header(request, "Authorization")
        self.stripe_version = _header(request, "Stripe-Version")
        self.idempotency_key = _header(request, "Idempotency-Key") if self.method == "POST" else None
        self.malformed = False
        self.form = self._read_form(request, body)
        self._pinned_version = pinned_version

    def check(self) -> None:
        """Refuse a body that is no form and a version that Stripe never had the like of."""
        if self.malformed:
            raise invalid(
                "Invalid request (check that your POST content type is application/x-www-form-urlencoded). If you "
                "have any questions, we can help at https://support.stripe.com/."
            )
        if self.stripe_version and not _VERSION.fullmatch(self.stripe_version):
            raise invalid(f"Invalid Stripe API version: {self.stripe_version}")

    def answer(self, status: int, content: Any) -> Answer:
        """Make an answer to this request."""
        return Answer(status, to_json(content), self.request_id)

    def response(self, answer: Answer, *, replayed: bool, retry_after: int | None = None) -> web.Response:
        """Make the HTTP response; a replay says so, and names the request that it repeats."""
        headers = {
            "Content-Type": "application/json",
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Expose-Headers": "Request-Id",
            "Request-Id": self.request_id,
            "Stripe-Version": self.stripe_version or self._pinned_version,
        }
        if self.idempotency_key:
            headers |= {"Idempotency-Key": self.idempotency_key, "Original-Request": answer.request_id}
        if replayed:
            headers["Idempotent-Replayed"] = "true"
        if answer.status in _SHOULD_RETRY:
            headers["Stripe-Should-Retry"] = _SHOULD_RETRY[answer.status]
        if retry_after is not None:
            headers["Retry-After"] = str(retry_after)
        return web.Response(status=answer.status, body=answer.body, headers=headers)

    def _read_form(self, request: web.Request, body: bytes) -> Form:
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
    """Answer a header as text that can be written again: bytes that are no UTF-8 arrive as lone surrogates."""
    value = request.headers.get(name)
    return None if value is None else value.encode(errors="replace").decode()
