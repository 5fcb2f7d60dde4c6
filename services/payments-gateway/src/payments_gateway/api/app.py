"""The ASGI app: routes, error handlers and middleware."""

from collections.abc import Callable, Sequence
from typing import Final

from fastapi import APIRouter, FastAPI
from starlette.middleware.cors import CORSMiddleware

from payments_gateway.api.body_limit import BodyLimitMiddleware
from payments_gateway.api.callers import AccessControl
from payments_gateway.api.load_shedding import LoadSheddingMiddleware
from payments_gateway.api.openapi import OpenApiApp
from payments_gateway.api.problems import install_error_handlers
from payments_gateway.api.request_log import RequestLogMiddleware
from servicekit.load_shedding import LoadShedder

_CORS_MAX_AGE_SECONDS: Final = 600


def create_app(
    routes: Sequence[APIRouter],
    *,
    access_control: AccessControl,
    customer_portal_url: str | None,
    cors_origins: Sequence[str],
    max_in_flight: int,
    deadline_seconds: float,
    refusal_pause_seconds: Callable[[], float],
) -> FastAPI:
    """Return the app. The middleware that is added last is outermost."""
    app = OpenApiApp(
        title="Holdfast payments-gateway",
        description="Initiate a checkout, pay it at Stripe, and find it recorded exactly once.",
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # asked about by each request otherwise
        redirect_slashes=False,  # a redirect would name the host that the client sent
    )
    app.state.access_control = access_control
    app.state.customer_portal_url = customer_portal_url
    for router in routes:
        app.include_router(router)
    install_error_handlers(app, refusal_pause_seconds)
    app.add_middleware(BodyLimitMiddleware)
    app.add_middleware(RequestLogMiddleware, deadline_seconds=deadline_seconds)
    app.add_middleware(LoadSheddingMiddleware, shedder=LoadShedder(max_in_flight))
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(cors_origins),
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "X-Request-Id"],
        expose_headers=["X-Request-Id", "Retry-After"],
        max_age=_CORS_MAX_AGE_SECONDS,
    )
    return app
