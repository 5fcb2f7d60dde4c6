"""Routes for whoever runs the gateway: liveness, readiness, metrics."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from servicekit.health import Readiness


def operations_routes(readiness: Readiness) -> APIRouter:
    """Return the operator's routes."""
    routes = APIRouter(tags=["operations"], include_in_schema=False)

    @routes.get("/livez")
    async def livez() -> dict[str, str]:
        """Answer whenever the process can; asks nothing of others."""
        return {"status": "alive"}

    @routes.get("/readyz")
    async def readyz() -> JSONResponse:
        """Answer 200 when checkouts can be served, else 503 with the reason."""
        if await readiness.check():
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not_ready", "reason": readiness.reason}, status_code=503)

    @routes.get("/metrics")
    async def metrics() -> Response:
        """Answer Prometheus metrics."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return routes
