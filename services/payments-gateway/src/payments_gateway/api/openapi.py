"""The OpenAPI document: failures as the problems that are sent, credentials, and parameters that are left out."""

from typing import Any, Final

from fastapi import FastAPI

from payments_gateway.api.problems import KINDS, MALFORMED, MEDIA_TYPE, NOT_JSON, TOO_LARGE, TYPE_PREFIX, UNAVAILABLE

_PROBLEM: Final = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
_FAILURES_OF_BODIES: Final = (MALFORMED, TOO_LARGE, NOT_JSON)
_UNUSED_SCHEMAS: Final = ("HTTPValidationError", "ValidationError")
_FIRST_FAILURE: Final = "400"
_NULL: Final = {"type": "null"}
_RETRY_AFTER: Final = {
    "Retry-After": {
        "description": "Seconds after which the request may be repeated.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    }
}
_CHALLENGE: Final = {"WWW-Authenticate": {"required": True, "schema": {"type": "string", "const": "Bearer"}}}
_HEADERS: Final = {"401": _CHALLENGE, "429": _RETRY_AFTER, "503": _RETRY_AFTER}
_SECURITY_SCHEMES: Final = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token of the shop. An invalid one is a 401, never a guest.",
    },
    "stripeSignature": {
        "type": "apiKey",
        "in": "header",
        "name": "Stripe-Signature",
        "description": "Stripe's signature of the body and its time.",
    },
}


class OpenApiApp(FastAPI):
    """FastAPI, whose own document would describe failures in a form that is not sent."""

    def openapi(self) -> dict[str, Any]:
        """Return the document."""
        document = super().openapi()
        for methods in document["paths"].values():
            for method, operation in methods.items():
                _describe_failures(operation["responses"], takes_body=method == "post")
                for parameter in operation.get("parameters", ()):
                    _leave_null_out(parameter)
        components = document["components"]
        components["securitySchemes"] = _SECURITY_SCHEMES
        components["schemas"]["ProblemBody"]["properties"]["type"]["enum"] = [TYPE_PREFIX + kind for kind in KINDS]
        for name in _UNUSED_SCHEMAS:
            components["schemas"].pop(name, None)
        return document


def _describe_failures(responses: dict[str, Any], *, takes_body: bool) -> None:
    for problem in (*(_FAILURES_OF_BODIES if takes_body else ()), UNAVAILABLE):  # 503 also at the request deadline
        responses.setdefault(str(problem.status), {"description": problem.title})
    for status, response in responses.items():
        if status >= _FIRST_FAILURE:
            response["content"] = _PROBLEM
        if status in _HEADERS:
            response["headers"] = _HEADERS[status]


def _leave_null_out(parameter: dict[str, Any]) -> None:
    """Describe an optional parameter as one that may be absent: a query or header has no null."""
    schema = parameter["schema"]
    kinds = [kind for kind in schema.pop("anyOf", ()) if kind != _NULL]
    for kind in kinds:
        schema.update(kind)
