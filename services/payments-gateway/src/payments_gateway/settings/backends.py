"""Settings that every process of the gateway has: the services behind it, Stripe and its limits, attempt ids."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from payments_gateway.stripe_api.operations import OPERATIONS
from servicekit.certificates import TlsFiles
from servicekit.plaintext import is_remote_address
from servicekit.settings import ServiceSettings

_MIN_SECRET_CHARACTERS: Final = 32
_TEST_KEY_PREFIXES: Final = ("sk_test_", "rk_test_")
_LIVE_KEY_PREFIXES: Final = ("sk_live_", "rk_live_")

EACH_OPERATION: Final = "each"
"""Key of the limit of operations that have none of their own."""

RequestsPerSecond = Annotated[float, Field(gt=0, le=10_000)]


class StripeSettings(ServiceSettings):
    """Access to Stripe's API: all that the webhook-endpoint command needs."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", frozen=True, extra="ignore")

    stripe_secret_key: SecretStr = Field(description="Stripe's secret (sk_) or restricted (rk_) key.")
    stripe_api_base: str = Field(default="https://api.stripe.com", description="Address of Stripe's API.")

    @field_validator("stripe_secret_key")
    @classmethod
    def _has_a_mode(cls, key: SecretStr) -> SecretStr:
        if not key.get_secret_value().startswith((*_TEST_KEY_PREFIXES, *_LIVE_KEY_PREFIXES)):
            raise ValueError("must begin with sk_test_, rk_test_, sk_live_ or rk_live_")
        return key


class BackendSettings(StripeSettings):
    """Access to both services and to Stripe, within its limits."""

    # The services behind the gateway.
    checkout_session_target: str = Field(description="gRPC address of checkout-session, host:port.")
    orders_target: str = Field(description="gRPC address of orders, host:port.")
    service_timeout_seconds: float = Field(
        default=3.0, gt=0, le=60, description="Deadline of a call to either service, retries included."
    )
    service_try_seconds: float = Field(
        default=2.0,
        gt=0,
        le=60,
        description="Time limit of one try of such a call, which is then sent to another replica. Not less than the "
        "deadline: one try has it all.",
    )
    tls_ca_file: Path | None = Field(
        default=None, description="PEM file with the authorities that issue both services' certificates."
    )
    tls_cert_file: Path | None = Field(default=None, description="PEM file with the gateway's client certificate.")
    tls_key_file: Path | None = Field(default=None, description="PEM file with its private key.")

    # Stripe's limits.
    stripe_timeout_seconds: float = Field(default=8.0, gt=0, le=80, description="Timeout of one try of a request.")
    stripe_max_retries: int = Field(
        default=2, ge=0, le=5, description="Retries of a request, with the same idempotency key."
    )
    stripe_budget_seconds: float = Field(
        default=12.0,
        gt=0,
        le=120,
        description="Time limit of a request with its retries and waits; at most what the buyer's request has left.",
    )
    stripe_max_concurrent: int = Field(
        default=40,
        ge=2,
        le=1000,
        description="Concurrent requests to Stripe of this process. A tenth, at least one, is kept for paid checkouts.",
    )
    stripe_requests_per_second: float | None = Field(
        default=None,
        gt=0,
        le=10_000,
        description="Requests a second that Stripe allows the account. Unset: 100 with a live key, 25 with a test key.",
    )
    stripe_operation_requests_per_second: Annotated[Mapping[str, RequestsPerSecond], NoDecode] = Field(
        default={EACH_OPERATION: 25.0},
        description="Requests a second that Stripe allows of each operation. Operations whose limit Stripe has raised "
        "follow, such as 25,POST /v1/payment_intents=50,GET /v1/payment_intents/{id}=50. The metric "
        "holdfast_stripe_rate_limit names those in use; others are refused.",
    )
    stripe_queue_seconds: float = Field(
        default=3.0,
        gt=0,
        le=60,
        description="Longest time that a request waits for its turn, unless a paid checkout needs it.",
    )

    # Checkouts.
    attempt_id_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        min_length=1,
        max_length=2,
        description="Keys that make attempt ids and prove that they are ours, comma separated; two during a rotation: "
        "the first makes new ids. The same on every gateway.",
    )
    pay_by_hours: float = Field(default=24.0, gt=0, le=24 * 14, description="Time that a buyer has to pay.")

    @field_validator("attempt_id_secrets", mode="before")
    @classmethod
    def _split_secrets_on_commas(cls, given: object) -> object:
        return split_on_commas(given)

    @field_validator("stripe_operation_requests_per_second", mode="before")
    @classmethod
    def _read_operation_limits(cls, given: object) -> object:
        if not isinstance(given, str):
            return given
        each, *exceptions = (part.strip() for part in given.split(","))
        limits = {EACH_OPERATION: each}
        for exception in exceptions:
            operation, _, limit = exception.partition("=")
            if operation.strip() not in OPERATIONS:
                known = ", ".join(sorted(OPERATIONS))
                raise ValueError(f"must be a number, and then some of these operations, each with =number: {known}")
            if operation.strip() in limits:
                raise ValueError(f"must not name {operation.strip()} twice")
            limits[operation.strip()] = limit.strip()
        return limits

    @field_validator("attempt_id_secrets")
    @classmethod
    def _are_long_enough(cls, secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for secret in secrets:
            check_length(secret)
        return secrets

    @model_validator(mode="after")
    def _moves_no_real_money_in_development(self) -> Self:
        if self.in_development and self.livemode:
            raise ValueError("GATEWAY_STRIPE_SECRET_KEY: a live key does not start in development")
        return self

    @property
    def tls(self) -> TlsFiles | None:
        """Files for mutual TLS with checkout-session and orders; None for plaintext."""
        return self.tls_files("tls_cert_file", "tls_key_file", "tls_ca_file")

    @property
    def plaintext_links(self) -> Sequence[str]:
        """See ServiceSettings. The HTTP listener does not count: TLS ends at the ingress."""
        targets = ("checkout_session_target", "orders_target")
        return [] if self.tls else [target for target in targets if is_remote_address(getattr(self, target))]

    @property
    def stripe_total_requests_per_second(self) -> float:
        """Limit of the account: as set, else Stripe's own (https://docs.stripe.com/rate-limits)."""
        if self.stripe_requests_per_second is not None:
            return self.stripe_requests_per_second
        return 100.0 if self.livemode else 25.0

    @property
    def livemode(self) -> bool:
        """True if the secret key moves real money."""
        return self.stripe_secret_key.get_secret_value().startswith(_LIVE_KEY_PREFIXES)


def split_on_commas(given: object) -> object:
    """Return the parts of a text, and anything else as it is."""
    if isinstance(given, str):
        return tuple(part.strip() for part in given.split(",") if part.strip())
    return given


def check_length(secret: SecretStr) -> None:
    """Raise ValueError if a secret is too short to withstand guessing."""
    if len(secret.get_secret_value()) < _MIN_SECRET_CHARACTERS:
        raise ValueError(f"must have at least {_MIN_SECRET_CHARACTERS} characters")
