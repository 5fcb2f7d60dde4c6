"""Settings of `payments-gateway reconcile`: those of both services and of Stripe, and GATEWAY_RECONCILE_*."""

from datetime import timedelta
from typing import Self

from pydantic import Field, model_validator

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
        description="Mean pause before a reconciler that found no due attempt looks again. Sweeps that do not hurry "
        "pause twelve times as long.",
    )
    reconcile_events_seconds: float = Field(
        default=300.0,
        gt=0,
        le=3600,
        description="Mean pause between searches of Stripe's events that no webhook has delivered. Each lists the last"
        " ten minutes once more.",
    )
    reconcile_subscriptions_seconds: float = Field(
        default=60.0,
        gt=0,
        le=3600,
        description="Age at which a subscription that is still pending is activated again, and mean pause between the"
        " searches for them.",
    )
    reconcile_lease_seconds: float = Field(
        default=60.0,
        ge=1,
        le=3600,
        description="Time after which the work of a killed reconciler is claimed by another.",
    )
    reconcile_orphan_hours: float | None = Field(
        default=None,
        gt=0,
        le=24 * 30,
        description="Age from which a payable intent of ours without an attempt is cancelled. At least the longest "
        "pay-by of the last 35 days. Unset: an hour more than GATEWAY_PAY_BY_HOURS.",
    )

    @model_validator(mode="after")
    def _let_buyers_pay(self) -> Self:
        if self.orphan_age < timedelta(hours=self.pay_by_hours):
            raise ValueError("GATEWAY_RECONCILE_ORPHAN_HOURS: must not be less than GATEWAY_PAY_BY_HOURS")
        return self

    @property
    def orphan_age(self) -> timedelta:
        """Age of an intent without an attempt from which it is cancelled."""
        hours = self.reconcile_orphan_hours
        return timedelta(hours=self.pay_by_hours + 1 if hours is None else hours)
