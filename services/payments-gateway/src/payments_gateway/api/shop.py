"""Routes that the storefront reads: what is on sale, and how to load Stripe.js."""

from fastapi import APIRouter, Response

from payments_gateway.api.bodies import CatalogueBody, ConfigBody
from payments_gateway.api.problems import ProblemBody
from payments_gateway.api.views import catalogue_body
from payments_gateway.checkout.catalogue_cache import CatalogueCache


def shop_routes(catalogue: CatalogueCache, config: ConfigBody) -> APIRouter:
    """Return the storefront's routes."""
    routes = APIRouter(prefix="/api", tags=["shop"], responses={503: {"model": ProblemBody}})

    @routes.get("/catalog", summary="See what is on sale")
    async def catalog(response: Response) -> CatalogueBody:
        """Answer every price that can be put into a cart, and the ways of shipping."""
        response.headers["Cache-Control"] = "public, max-age=15"
        return catalogue_body(catalogue.current())

    @routes.get("/config", summary="Learn how to load Stripe.js")
    async def read_config() -> ConfigBody:
        """Answer the publishable key and the address of Stripe.js."""
        return config

    return routes
