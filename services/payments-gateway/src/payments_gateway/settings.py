"""What the gateway can be told, by environment variables that begin with GATEWAY_."""

from typing import Annotated, Self

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from servicekit.settings import Listen, ServiceSettings

_MIN_SECRET_CHARACTERS = 32
_TEST_PREFIXES = ("sk_test_", "rk_test_")
_LIVE_PREFIXES = ("sk_live_", "rk_live_")


class GatewaySettings(ServiceSettings):
    """Settings of payments-gateway."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", frozen=True, extra="ignore")

    listen: Listen = Field(default="127.0.0.1:8080", description="Where HTTP is served, host:port.")
    checkout_session_target: str = Field(description="gRPC address of checkout-session, host:port.")
    orders_target: str = Field(description="gRPC address of orders, host:port.")
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
    stripe_webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(),
        max_length=2,
        description="Signing secrets (whsec_) of the webhook endpoint, comma separated; two while one is rotated.",
    )

    jwt_secret: SecretStr | None = Field(
        default=None, description="Shared HS256 secret of the shop's user tokens. Unset: every buyer is a guest."
    )
    jwt_audience: str | None = Field(default=None, description="Audience that tokens must name, if set.")
    jwt_issuer: str | None = Field(default=None, description="Issuer that tokens must name, if set.")
    allow_guests: bool = Field(default=True, description="Whether a buyer may check out without a token.")
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

    @field_validator("attempt_id_secret", "jwt_secret")
    @classmethod
    def _long_enough(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and len(secret.get_secret_value()) < _MIN_SECRET_CHARACTERS:
            raise ValueError(f"must have at least {_MIN_SECRET_CHARACTERS} characters")
        return secret

    @model_validator(mode="after")
    def _safe_outside_development(self) -> Self:
        if self.in_development:
            return self
        if not self.stripe_webhook_secrets:
            raise ValueError("GATEWAY_STRIPE_WEBHOOK_SECRETS: outside development at least one is required")
        if not self.allow_guests and self.jwt_secret is None:
            raise ValueError("GATEWAY_JWT_SECRET: required when guests are not allowed")
        return self

    @property
    def livemode(self) -> bool:
        """Whether the secret key moves real money."""
        return self.stripe_secret_key.get_secret_value().startswith(_LIVE_PREFIXES)
