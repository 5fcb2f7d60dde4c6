"""Route that signs a customer of the demo in. Only a gateway in development has it."""

from typing import Annotated, Final

from fastapi import APIRouter
from pydantic import Field, StrictStr

from payments_gateway.access.demo_tokens import DemoTokens
from payments_gateway.api.fields import Body, RequestBody

DEMO_SIGN_IN: Final = "/api/demo/sign-in"


class DemoSignInBody(RequestBody):
    """The customer to sign in."""

    user: Annotated[StrictStr, Field(pattern=r"^[a-z0-9-]{1,32}$")]


class DemoTokenBody(Body):
    """The customer's token."""

    token: str


def demo_sign_in_routes(tokens: DemoTokens) -> APIRouter:
    """Return the route. It is not in the OpenAPI document, which describes what shops build on."""
    routes = APIRouter(include_in_schema=False)

    @routes.post(DEMO_SIGN_IN)
    async def sign_in(body: DemoSignInBody) -> DemoTokenBody:
        return DemoTokenBody(token=tokens.issue(body.user))

    return routes
