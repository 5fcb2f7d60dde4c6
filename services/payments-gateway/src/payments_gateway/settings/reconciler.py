"""Settings of `payments-gateway reconcile`: those of both services and of Stripe, and GATEWAY_RECONCILE_*."""

from pydantic import Field

from payments_gateway.settings.backends import BackendSettings
from servicekit.settings import Listen


class ReconcilerSettings(BackendSettings):
    """Settings of the reconciler."""

    reconcile_listen: Listen | None = Field(
        default=None,
        description="Address of Prometheus metrics, /livez and /readyz over HTTP, host:port. Unset serves none.",
    )
    reconcile_stripe_share: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="Part of Stripe's limits that this reconciler takes: half of 0.1 if two run.",
    )
    reconcile_interval_seconds: float = Field(
        default=5.0,
        gt=0,
        le=3600,
        description="Mean pause before a reconciler that found no due work looks again.",
    )
