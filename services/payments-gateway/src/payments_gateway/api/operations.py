"""Routes for operators: liveness, readiness, metrics."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from servicekit.health import Readiness


def operations_routes(readiness: Readiness) -> APIRouter:
    """Return the operators' routes."""
    routes = APIRouter(tags=["operations"], include_in_schema=False)

    @routes.get("/livez")
    async def livez() -> dict[str, str]:
        """Return 200 without asking any dependency."""
        return {"status": "alive"}

    @routes.get("/readyz")
    async def readyz() -> JSONResponse:
        """Return 200 if checkouts can be served, else 503 with the reason."""
        if await readiness.check():
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not_ready", "reason": readiness.reason}, status_code=503)

    @routes.get("/metrics")
    async def metrics() -> Response:
        """Return Prometheus metrics."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return routes
