"""Settings of every gateway of a stack, embedded or in containers."""

from collections.abc import Sequence
from pathlib import Path

from devstack.layout import Home
from devstack.stack_options import Upstreams
from devstack.stripe_access import StripeAccess

FRONTEND_ORIGINS = "http://localhost:5173,http://127.0.0.1:5173"
UNLIMITED_RATES = {
    **{
        f"{limit}_{kind}": "1000000"
        for limit in ("INITIATE_PER_ADDRESS", "INITIATE_PER_USER", "LOOKUP_PER_ADDRESS")
        for kind in ("PER_MINUTE", "BURST")
    },
    "REFUSAL_PAUSE_SECONDS": "0",
}
"""Rate limits that no test reaches, and no pause before a refusal."""
UNLIMITED_STRIPE_RATES = {
    "STRIPE_REQUESTS_PER_SECOND": "10000",
    "STRIPE_OPERATION_REQUESTS_PER_SECOND": "10000",
}
"""Limits of requests to a simulator that limits nothing."""


def gateway_settings(
    upstreams: Upstreams,
    access: StripeAccess,
    webhook_secrets: Sequence[str],
    home: Home,
    *,
    rate_limits: bool,
    port: int | None = None,
    shop: Path | None = None,
) -> dict[str, str]:
    """Return a gateway's environment variables without their prefix. Upstreams are as the gateway reaches them."""
    back_from_portal = f"http://127.0.0.1:{port}/subscriptions"
    return {
        "CHECKOUT_SESSION_TARGET": upstreams.checkout_session,
        "ORDERS_TARGET": upstreams.orders,
        "STRIPE_API_BASE": upstreams.stripe_api,
        "STRIPE_SECRET_KEY": access.secret_key,
        "STRIPE_PUBLISHABLE_KEY": access.publishable_key,
        "STRIPE_WEBHOOK_SECRETS": ",".join(webhook_secrets),
        "JWT_SECRET": home.persistent_secret("jwt"),
        "ATTEMPT_ID_SECRETS": home.persistent_secret("attempt-id"),
        "ALLOW_GUESTS": "true",
        "CORS_ORIGINS": FRONTEND_ORIGINS,
        **({} if access.is_real else {"STRIPE_JS_URL": f"{access.api_base}/stripe.js"}),
        **({"STOREFRONT_DIR": str(shop), "DEMO_SIGN_IN": "true"} if shop else {}),
        **({"CUSTOMER_PORTAL_RETURN_URL": back_from_portal} if shop and port else {}),
        **({} if rate_limits else UNLIMITED_RATES),
        **({} if rate_limits or access.is_real else UNLIMITED_STRIPE_RATES),
    }
