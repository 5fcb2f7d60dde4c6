"""Puts the routes together into one ASGI app."""

from collections.abc import Sequence
from typing import Final

from fastapi import APIRouter, FastAPI
from starlette.middleware.cors import CORSMiddleware

from payments_gateway.api.body_guard import BodyGuard
from payments_gateway.api.callers import Gatekeeper
from payments_gateway.api.document import DescribedApp
from payments_gateway.api.problems import answer_problems
from payments_gateway.api.request_log import RequestLog

_CORS_MAX_AGE_SECONDS: Final = 600


def create_app(
    routes: Sequence[APIRouter], *, gatekeeper: Gatekeeper, cors_origins: Sequence[str], deadline_seconds: float
) -> FastAPI:
    """Return the app; the middleware added last stands outermost."""
    app = DescribedApp(
        title="Holdfast payments-gateway",
        description="Begin a checkout, pay it at Stripe, and find it recorded exactly once.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would name whatever host the client sent
    )
    app.state.gatekeeper = gatekeeper
    for router in routes:
        app.include_router(router)
    answer_problems(app)
    app.add_middleware(BodyGuard)
    app.add_middleware(RequestLog, deadline_seconds=deadline_seconds)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(cors_origins),
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "X-Request-Id"],
        expose_headers=["X-Request-Id", "Retry-After"],
        max_age=_CORS_MAX_AGE_SECONDS,
    )
    return app
