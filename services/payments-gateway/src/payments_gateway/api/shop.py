"""Routes for the storefront: the catalogue, and how to load Stripe.js."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from fastapi import APIRouter, Request, Response

from payments_gateway.api.problems import describe_problems
from payments_gateway.api.shop_bodies import CatalogueBody, ConfigBody, catalogue_to_body
from payments_gateway.checkout.catalogue_cache import CatalogueCache
from payments_gateway.domain.catalogue import Catalogue

_CACHE_CONTROL: Final = "public, max-age=15"
_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class _Rendered:
    """A catalogue with its body: thousands of prices take milliseconds to render."""

    catalogue: Catalogue
    body: bytes
    etag: str
    """Of the body, so that it is the same on every gateway and after a refresh that changed nothing."""


def shop_routes(catalogue: CatalogueCache, config: ConfigBody) -> APIRouter:
    """Return the storefront's routes."""
    routes = APIRouter(prefix="/api", tags=["shop"], responses=describe_problems(503))
    rendered: _Rendered | None = None

    @routes.get("/catalog", summary="List what is on sale", response_model=CatalogueBody)
    async def read_catalogue(request: Request) -> Response:
        """Return every price that can be put into a cart, and the shipping options."""
        nonlocal rendered
        current = catalogue.current()
        if rendered is None or rendered.catalogue is not current:
            rendered = _render(current)
        headers = {"Cache-Control": _CACHE_CONTROL, "ETag": rendered.etag}
        if _names(request.headers.get("If-None-Match", ""), rendered.etag):
            return Response(status_code=304, headers=headers)
        return Response(rendered.body, media_type=_JSON, headers=headers)

    @routes.get("/config", summary="Read the settings for Stripe.js", response_model_exclude_none=True)
    async def read_config() -> ConfigBody:
        """Return the publishable key and the address of Stripe.js."""
        return config

    return routes


def _render(catalogue: Catalogue) -> _Rendered:
    body = catalogue_to_body(catalogue).model_dump_json(by_alias=True).encode()
    return _Rendered(catalogue, body, f'"{sha256(body).hexdigest()}"')


def _names(if_none_match: str, etag: str) -> bool:
    """Return True if the header names this tag, even as a weak one: proxies that compress make it so (RFC 9110)."""
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return etag in tags or "*" in tags
