"""The OpenAPI document with every failure described as a problem."""

from typing import Any, Final

from fastapi import FastAPI

from payments_gateway.api.problems import MALFORMED, MEDIA_TYPE, NOT_JSON, TOO_LARGE, UNAVAILABLE

_PROBLEM: Final = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
_FAILURES_OF_BODIES: Final = (MALFORMED, TOO_LARGE, NOT_JSON)
_UNUSED_SCHEMAS: Final = ("HTTPValidationError", "ValidationError")
_FIRST_FAILURE: Final = "400"


class OpenApiApp(FastAPI):
    """FastAPI, whose own document would describe failures in a form that is not sent."""

    def openapi(self) -> dict[str, Any]:
        """Return the document."""
        document = super().openapi()
        for methods in document["paths"].values():
            for method, operation in methods.items():
                _describe_failures(operation["responses"], takes_body=method == "post")
        for name in _UNUSED_SCHEMAS:
            document["components"]["schemas"].pop(name, None)
        return document


def _describe_failures(responses: dict[str, Any], *, takes_body: bool) -> None:
    for problem in (*(_FAILURES_OF_BODIES if takes_body else ()), UNAVAILABLE):  # 503 also at the request deadline
        responses.setdefault(str(problem.status), {"description": problem.title})
    for status, response in responses.items():
        if status >= _FIRST_FAILURE:
            response["content"] = _PROBLEM
