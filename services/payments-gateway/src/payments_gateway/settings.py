"""What the gateway can be told, by environment variables that begin with GATEWAY_."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from payments_gateway.access_settings import AccessSettings
from servicekit.plaintext import leaves_machine
from servicekit.settings import Listen
from servicekit.tls_files import TlsFiles

_MIN_SECRET_CHARACTERS = 32
_TEST_PREFIXES = ("sk_test_", "rk_test_")
_LIVE_PREFIXES = ("sk_live_", "rk_live_")


class GatewaySettings(AccessSettings):
    """Settings of payments-gateway."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", frozen=True, extra="ignore")

    listen: Listen = Field(default="127.0.0.1:8080", description="Where HTTP is served, host:port.")
    checkout_session_target: str = Field(description="gRPC address of checkout-session, host:port.")
    orders_target: str = Field(description="gRPC address of orders, host:port.")
    tls_ca_file: Path | None = Field(
        default=None, description="PEM file with the authorities that both services must have their certificate of."
    )
    tls_cert_file: Path | None = Field(default=None, description="PEM file with the certificate shown to both.")
    tls_key_file: Path | None = Field(default=None, description="PEM file with its private key.")
    service_timeout_seconds: float = Field(
        default=3.0, gt=0, le=60, description="Deadline of one call to checkout-session or orders, retries included."
    )
    request_deadline_seconds: float = Field(
        default=25.0, gt=0, le=300, description="After this long any request is answered 503."
    )

    stripe_secret_key: SecretStr = Field(description="Stripe's secret (sk_) or restricted (rk_) key.")
    stripe_publishable_key: str = Field(description="Stripe's publishable key (pk_), handed to the frontend.")
    stripe_api_base: str = Field(default="https://api.stripe.com", description="Address of Stripe's API.")
    stripe_js_url: str = Field(
        default="https://js.stripe.com/v3/", description="Address of Stripe.js, handed to the frontend."
    )
    stripe_timeout_seconds: float = Field(default=8.0, gt=0, le=80, description="Time limit of one request to Stripe.")
    stripe_max_retries: int = Field(
        default=2, ge=0, le=5, description="How often a request to Stripe is repeated, with the same idempotency key."
    )
    stripe_budget_seconds: float = Field(
        default=12.0,
        gt=0,
        le=120,
        description="Time limit of one request to Stripe with its repeats and waits, in seconds. Never more than what "
        "is left of the buyer's own request.",
    )
    stripe_max_concurrent: int = Field(
        default=40, ge=1, le=1000, description="Requests that may be under way at Stripe at once, in this process."
    )
    stripe_requests_per_second: float = Field(
        default=80.0,
        gt=0,
        le=10_000,
        description="Requests to Stripe that this process may begin in a second. Stripe counts by account.",
    )
    stripe_queue_seconds: float = Field(
        default=3.0, gt=0, le=60, description="How long a request may wait for its turn to go to Stripe, in seconds."
    )
    stripe_webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(),
        max_length=2,
        description="Signing secrets (whsec_) of the webhook endpoint, comma separated; two while one is rotated.",
    )

    attempt_id_secret: SecretStr = Field(
        description="Key of the hash that turns an Idempotency-Key into an attempt id. The same on every gateway."
    )
    cors_origins: Annotated[tuple[Annotated[str, StringConstraints(pattern=r"^https?://[^/\s]+$")], ...], NoDecode] = (
        Field(default=(), description="Origins of the shop's frontends, comma separated, such as https://shop.example.")
    )

    pay_by_hours: float = Field(default=24.0, gt=0, le=24 * 14, description="How long a buyer may take to pay, hours.")
    catalogue_refresh_seconds: float = Field(
        default=30.0, gt=0, description="Age at which prices are read from Stripe again, in the background."
    )
    catalogue_pause_seconds: float = Field(
        default=2.0,
        ge=0,
        description="Least time between two readings of the prices, in seconds, however many carts hold unknown ones.",
    )
    catalogue_max_age_seconds: float = Field(
        default=3600.0, gt=0, description="Age at which prices that could not be refreshed are no longer sold by."
    )

    @field_validator("stripe_webhook_secrets", "cors_origins", mode="before")
    @classmethod
    def _split_on_commas(cls, given: object) -> object:
        if isinstance(given, str):
            return tuple(part.strip() for part in given.split(",") if part.strip())
        return given

    @field_validator("stripe_secret_key")
    @classmethod
    def _of_a_known_mode(cls, key: SecretStr) -> SecretStr:
        if not key.get_secret_value().startswith((*_TEST_PREFIXES, *_LIVE_PREFIXES)):
            raise ValueError("must begin with sk_test_, rk_test_, sk_live_ or rk_live_")
        return key

    @field_validator("attempt_id_secret")
    @classmethod
    def _hard_to_guess(cls, secret: SecretStr) -> SecretStr:
        if len(secret.get_secret_value()) < _MIN_SECRET_CHARACTERS:
            raise ValueError(f"must have at least {_MIN_SECRET_CHARACTERS} characters")
        return secret

    @model_validator(mode="after")
    def _no_real_money_in_development(self) -> Self:
        if self.in_development and self.livemode:
            raise ValueError("GATEWAY_STRIPE_SECRET_KEY: a live key does not start in development")
        return self

    @model_validator(mode="after")
    def _safe_outside_development(self) -> Self:
        if self.in_development:
            return self
        if not self.stripe_webhook_secrets:
            raise ValueError("GATEWAY_STRIPE_WEBHOOK_SECRETS: outside development at least one is required")
        return self

    @property
    def tls(self) -> TlsFiles | None:
        """The files for mutual TLS with checkout-session and orders; None calls them in plaintext."""
        return self.tls_files("tls_cert_file", "tls_key_file", "tls_ca_file")

    @property
    def plaintext_links(self) -> Sequence[str]:
        """See ServiceSettings. What listens for HTTP does not count: TLS ends in front of the gateway."""
        targets = ("checkout_session_target", "orders_target")
        return [] if self.tls else [target for target in targets if leaves_machine(getattr(self, target))]

    @property
    def livemode(self) -> bool:
        """Whether the secret key moves real money."""
        return self.stripe_secret_key.get_secret_value().startswith(_LIVE_PREFIXES)
