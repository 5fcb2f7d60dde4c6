import aiohttp
import pytest

from payments_gateway.access.demo_tokens import DemoTokens
from payments_gateway.access.tokens import TokenValidation
from payments_gateway.api.demo_sign_in import DEMO_SIGN_IN, demo_sign_in_routes

from ..assembly import Gateway
from ..http_edge import JWT_SECRET, Edge, get, post, served
from ..signing import VALIDATION


@pytest.mark.parametrize("validation", [TokenValidation(), VALIDATION], ids=["plain", "audience and issuer"])
async def test_the_demo_signs_a_customer_in(gateway: Gateway, validation: TokenValidation) -> None:
    """With a token that the gateway takes."""
    tokens = DemoTokens(JWT_SECRET, validation, now=gateway.clock.seconds)
    async with served(Edge(gateway, validation=validation, more_routes=[demo_sign_in_routes(tokens)])) as http:
        token = (await post(http, DEMO_SIGN_IN, {"user": "ada-1"})).json["token"]
        orders = await get(http, "/api/orders", Authorization=f"Bearer {token}")

    assert (orders.status, orders.json["orders"]) == (200, [])


@pytest.mark.parametrize("user", ["", "Ada", "a b", "x" * 33, "ada\n", 1, None])
async def test_another_name_is_refused(gateway: Gateway, user: object) -> None:
    """It becomes part of Stripe's customers and of the database."""
    tokens = DemoTokens(JWT_SECRET, TokenValidation(), now=gateway.clock.seconds)
    async with served(Edge(gateway, more_routes=[demo_sign_in_routes(tokens)])) as http:
        answer = await post(http, DEMO_SIGN_IN, {"user": user})

    assert (answer.status, answer.fields) == (422, ["user"])


async def test_only_a_demo_signs_customers_in(http: aiohttp.ClientSession) -> None:
    """Elsewhere the route does not exist, and the frontend is told nothing of it."""
    answer, config = await post(http, DEMO_SIGN_IN, {"user": "ada"}), await get(http, "/api/config")

    assert (answer.status, answer.kind) == (404, "no_such_route")
    assert set(config.json) == {"publishableKey", "stripeJsUrl", "customerPortalUrl"}
