"""Routes of the storefront's pages and files: a folder that Vite has built (ADR 31)."""

import re
from os import PathLike, stat_result
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from payments_gateway.api.content_security import storefront_headers

INDEX: Final = "index.html"
PAGES: Final = ("/", "/checkout", "/order-confirmation", "/orders", "/subscriptions")
"""Paths that the storefront's own router shows pages for."""
_HASHED_NAME: Final = re.compile(r"-[\w-]{8}\.\w+")
"""End of a name that Vite makes of a file's content, such as index-BvXo3f_k.js."""
_FOREVER: Final = "public, max-age=31536000, immutable"
_REVALIDATE: Final = "no-cache"
_SHORT: Final = "public, max-age=300"
_GZIP_LEVEL: Final = 6
"""zlib's own default: level 9 takes more than twice the time for one percent less."""


def storefront_routes(folder: Path, *, stripe_js_url: str) -> APIRouter:
    """Return routes for exactly the pages, the assets and the files at the top, so that no path of the API is hidden.

    A new file at the top needs a restart; assets do not.
    """
    files = GZipMiddleware(_Storefront(folder, storefront_headers(stripe_js_url)), compresslevel=_GZIP_LEVEL)
    tops = [f"/{each.name}" for each in sorted(folder.iterdir()) if each.is_file()]
    routes = APIRouter()
    for path in [*PAGES, *tops, "/assets/{file:path}"]:
        routes.routes.append(Route(path, files, methods=["GET"], include_in_schema=False))
    return routes


class _Storefront(StaticFiles):
    """Files of a built storefront, with headers for caches and browsers."""

    def __init__(self, folder: Path, headers: dict[str, str]) -> None:
        super().__init__(directory=folder)
        self._headers = headers

    def get_path(self, scope: Scope) -> str:
        """Return the file for a path: index.html for a page. A path out of its route's folder is not found."""
        if scope["path"] in PAGES:
            return INDEX
        path = super().get_path(scope)
        is_routed = f"/{path}" == scope["path"]
        if not is_routed or any(part.startswith(".") for part in Path(path).parts):
            raise HTTPException(404)
        return path

    def file_response(
        self, full_path: str | PathLike[str], stat_result: stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """Return a file, or 304 if the browser has it."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update({**self._headers, "Cache-Control": _cache_control(Path(full_path))})
        return response


def _cache_control(file: Path) -> str:
    if file.name == INDEX:
        return _REVALIDATE
    return _FOREVER if file.parent.name == "assets" and _HASHED_NAME.search(file.name) else _SHORT
