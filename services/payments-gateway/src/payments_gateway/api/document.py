"""The OpenAPI document, as the answers really are."""

from typing import Any, Final

from fastapi import FastAPI

from payments_gateway.api.problems import MEDIA_TYPE

_PROBLEM: Final = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
_OF_EVERY_BODY: Final = {
    "400": "The body is not JSON",
    "413": "The body is over 256 KiB",
    "415": "The body is not JSON",
}
_UNAVAILABLE: Final = "Something is away; try again after Retry-After seconds"
_UNUSED_SCHEMAS: Final = ("HTTPValidationError", "ValidationError")
_FIRST_REFUSAL: Final = "400"


class OpenApiApp(FastAPI):
    """An app whose document says that every refusal is a problem; FastAPI would call it plain JSON of its own shape."""

    def openapi(self) -> dict[str, Any]:
        """Return the document."""
        document = super().openapi()
        for methods in document["paths"].values():
            for method, operation in methods.items():
                _describe_refusals(operation["responses"], takes_body=method == "post")
        for name in _UNUSED_SCHEMAS:
            document["components"]["schemas"].pop(name, None)
        return document


def _describe_refusals(responses: dict[str, Any], *, takes_body: bool) -> None:
    for status, description in (_OF_EVERY_BODY if takes_body else {}).items():
        responses.setdefault(status, {"description": description})
    responses.setdefault("503", {"description": _UNAVAILABLE})  # whatever takes too long
    for status, response in responses.items():
        if status >= _FIRST_REFUSAL:
            response["content"] = _PROBLEM
