"""Access to Stripe: to the simulator, or to Stripe itself with test keys."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import stripe

REAL_API_BASE = "https://api.stripe.com"
_LIVE_PREFIXES = ("sk_live_", "rk_live_", "pk_live_")


class UnusableStripeKeys(RuntimeError):
    """The Stripe keys in the environment cannot be used."""


@dataclass(frozen=True, slots=True)
class StripeAccess:
    """Address and keys of Stripe or of the simulator."""

    api_base: str
    secret_key: str = field(repr=False)
    publishable_key: str
    webhook_secret: str | None = field(default=None, repr=False)
    """Set for Stripe itself. The simulator returns one when the webhook endpoint is registered."""

    @property
    def is_real(self) -> bool:
        """True for Stripe itself."""
        return self.api_base == REAL_API_BASE

    def client(self) -> stripe.StripeClient:
        """Return the official client for this address."""
        # Telemetry would write a file into the user's home, and send the simulator's timings to Stripe.
        stripe.enable_telemetry = False
        return stripe.StripeClient(
            self.secret_key,
            base_addresses={"api": self.api_base},
            http_client=stripe.UrllibClient(),
            max_network_retries=2,
        )


def find_real_stripe(environment: Mapping[str, str]) -> StripeAccess | None:
    """Return access to Stripe itself if the environment has a key for it.

    Raises UnusableStripeKeys for a live key, and if another variable is missing.
    """
    secret_key = environment.get("STRIPE_SECRET_KEY", "")
    if not secret_key:
        return None
    _refuse_live("STRIPE_SECRET_KEY", secret_key)
    access = StripeAccess(
        api_base=REAL_API_BASE,
        secret_key=secret_key,
        publishable_key=_required(
            environment, "STRIPE_PUBLISHABLE_KEY", "the pk_test_ key that belongs to STRIPE_SECRET_KEY"
        ),
        webhook_secret=_required(
            environment,
            "STRIPE_WEBHOOK_SECRET",
            "the whsec_ secret that `stripe listen --forward-to http://127.0.0.1:PORT/api/stripe/webhook` prints",
        ),
    )
    _refuse_live("STRIPE_PUBLISHABLE_KEY", access.publishable_key)
    return access


def _refuse_live(name: str, key: str) -> None:
    if key.startswith(_LIVE_PREFIXES):
        raise UnusableStripeKeys(f"{name} is a live key. This stack makes purchases: use test keys.")


def _required(environment: Mapping[str, str], name: str, meaning: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise UnusableStripeKeys(f"STRIPE_SECRET_KEY is set, so {name} must be too: {meaning}.")
    return value
