"""Routes for the storefront: the catalogue, and how to load Stripe.js."""

from fastapi import APIRouter, Response

from payments_gateway.api.problems import describe_problems
from payments_gateway.api.shop_bodies import CatalogueBody, ConfigBody, catalogue_to_body
from payments_gateway.checkout.catalogue_cache import CatalogueCache


def shop_routes(catalogue: CatalogueCache, config: ConfigBody) -> APIRouter:
    """Return the storefront's routes."""
    routes = APIRouter(prefix="/api", tags=["shop"], responses=describe_problems(503))

    @routes.get("/catalog", summary="List what is on sale")
    async def read_catalogue(response: Response) -> CatalogueBody:
        """Return every price that can be put into a cart, and the shipping options."""
        response.headers["Cache-Control"] = "public, max-age=15"
        return catalogue_to_body(catalogue.current())

    @routes.get("/config", summary="Read the settings for Stripe.js", response_model_exclude_none=True)
    async def read_config() -> ConfigBody:
        """Return the publishable key and the address of Stripe.js."""
        return config

    return routes
