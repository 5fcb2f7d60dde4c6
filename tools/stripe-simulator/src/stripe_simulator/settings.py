"""Settings of the simulator."""

from dataclasses import dataclass

from stripe_simulator.rate_limits import RateLimits, is_live, limits_of_key

API_VERSION = "2026-10-28.endive"


@dataclass(frozen=True, slots=True)
class QuickRetries:
    """Retries in real time, for tests that cannot wait for Stripe's.

    A delivery is attempted until a 2xx response, at most `max_attempts` times. The pause before attempt n+1 is
    `backoff_base_seconds * 2 ** (n - 1)`, never longer than `backoff_max_seconds`.
    """

    backoff_base_seconds: float = 0.25
    backoff_max_seconds: float = 10.0
    max_attempts: int = 30

    def backoff_seconds(self, attempts_made: int) -> float:
        """Return the pause after this many failed attempts."""
        return min(self.backoff_base_seconds * 2.0 ** min(attempts_made - 1, 30), self.backoff_max_seconds)


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """Delivery of webhooks. Without `quick_retries` they follow Stripe's schedule, on the simulated clock."""

    concurrency: int = 64
    timeout_seconds: float = 20.0
    quick_retries: QuickRetries | None = None


@dataclass(frozen=True, slots=True)
class SimulatorSettings:
    """Keys, seed and timings of one simulator.

    The same seed and the same order of calls give the same ids, client secrets and webhook secrets. A bank debit stays
    in `processing` for `settlement_seconds` of simulated time. A failed renewal is retried after each of `retry_days`;
    then the subscription is canceled. A renewal is announced `upcoming_days` before. With `processing_debit_activates`
    a subscription is active while its first bank debit is processing, else it stays incomplete: Stripe's documentation
    says both (https://docs.stripe.com/billing/subscriptions/overview, statuses and payment statuses). An event
    is listed up to `event_list_lag_seconds` late, each for a time of its own. Without `rate_limits` those of the secret
    key's mode apply.
    """

    host: str = "127.0.0.1"
    port: int = 0
    secret_key: str = "sk_test_simulator"  # noqa: S105 - it opens nothing but this simulator
    publishable_key: str = "pk_test_simulator"
    seed: int = 0
    api_version: str = API_VERSION
    settlement_seconds: float = 180.0
    retry_days: tuple[int, ...] = (3, 5, 7)
    upcoming_days: int = 7
    processing_debit_activates: bool = False
    event_list_lag_seconds: float = 0.0
    webhooks: WebhookSettings = WebhookSettings()
    rate_limits: RateLimits | None = None

    @property
    def livemode(self) -> bool:
        """True with a secret key of live mode."""
        return is_live(self.secret_key)

    @property
    def rate_limits_in_force(self) -> RateLimits:
        """The given limits, or Stripe's."""
        return self.rate_limits or limits_of_key(self.secret_key)
