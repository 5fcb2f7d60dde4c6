"""What the gateway can be told, by environment variables that begin with GATEWAY_."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from servicekit.certificates import TlsFiles
from servicekit.plaintext import is_remote_address
from servicekit.settings import Listen, ServiceSettings

_MIN_SECRET_CHARACTERS: Final = 32
_LEAST_PREFIX_BITS: Final = {4: 8, 6: 16}
_IPV4_AS_IPV6: Final = IPv6Network("::ffff:0:0/96")

Algorithm = Literal["RS256", "PS256", "ES256", "EdDSA"]
"""Signatures with a key pair. `none` and shared secrets are no choice where keys are public."""
Address = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/@?#]+(/[^\s?#]*)?$")]
"""An http(s) URL without user, query or fragment, so that it can hold no secret."""


class AccessSettings(ServiceSettings):
    """Settings of sign-in and of rate limits."""

    allow_guests: bool = Field(default=True, description="Whether a buyer may check out without a token.")
    jwt_secret: SecretStr | None = Field(
        default=None, description="Shared HS256 secret of the shop's user tokens. Unset, with no issuer: only guests."
    )
    jwt_audience: str | None = Field(default=None, description="Audience that HS256 tokens must name, if set.")
    jwt_issuer: str | None = Field(default=None, description="Issuer that HS256 tokens must name, if set.")

    oidc_issuer: Address | None = Field(
        default=None, description="OIDC issuer of the shop's user tokens, exactly as their `iss` spells it."
    )
    oidc_audience: str | None = Field(default=None, description="Audience that the issuer's tokens must name.")
    oidc_jwks_url: Address | None = Field(
        default=None, description="Where the issuer publishes its keys. Unset: where its discovery document says."
    )
    oidc_algorithms: Annotated[tuple[Algorithm, ...], NoDecode] = Field(
        default=("RS256", "PS256", "ES256", "EdDSA"),
        min_length=1,
        description="Signature algorithms that tokens may use, comma separated.",
    )
    oidc_leeway_seconds: float = Field(
        default=10.0, ge=0, le=300, description="How far the issuer's clock and ours may differ, seconds."
    )
    oidc_timeout_seconds: float = Field(
        default=3.0, gt=0, le=10, description="Time limit of one read of the issuer's keys, seconds."
    )
    oidc_refresh_seconds: float = Field(
        default=300.0,
        ge=10,
        le=86_400,
        description="Age at which the issuer's keys are read again, in the background, seconds. A key that the issuer "
        "withdrew is good for as long.",
    )
    oidc_max_age_seconds: float = Field(
        default=6 * 3600.0,
        ge=10,
        le=7 * 86_400,
        description="Age at which keys that could not be read again, because the issuer is away, are no longer used.",
    )

    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = Field(
        default=(),
        description="Networks (CIDR) of the proxies whose X-Forwarded-For is believed, comma separated. None: a client "
        "is whoever connects.",
    )
    initiate_per_address_per_minute: float = Field(
        default=30.0, gt=0, le=1e6, description="Checkouts that one address may begin a minute, in the long run."
    )
    initiate_per_address_burst: int = Field(
        default=60, ge=1, le=1_000_000, description="Checkouts that one address may begin at once, after a rest."
    )
    initiate_per_user_per_minute: float = Field(
        default=6.0, gt=0, le=1e6, description="Checkouts that one signed-in user may begin a minute, in the long run."
    )
    initiate_per_user_burst: int = Field(
        default=20, ge=1, le=1_000_000, description="Checkouts that one signed-in user may begin at once, after a rest."
    )
    lookup_per_address_per_minute: float = Field(
        default=600.0,
        gt=0,
        le=1e6,
        description="Questions about a checkout (its status, its completion) that one address may ask a minute, in the "
        "long run.",
    )
    lookup_per_address_burst: int = Field(
        default=200, ge=1, le=1_000_000, description="Questions about a checkout that one address may ask at once."
    )

    @field_validator("oidc_algorithms", "trusted_proxies", mode="before")
    @classmethod
    def _split_access_lists(cls, given: object) -> object:
        if isinstance(given, str):
            return tuple(part.strip() for part in given.split(",") if part.strip())
        return given

    @field_validator("jwt_secret")
    @classmethod
    def _long_enough(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and len(secret.get_secret_value()) < _MIN_SECRET_CHARACTERS:
            raise ValueError(f"must have at least {_MIN_SECRET_CHARACTERS} characters")
        return secret

    @field_validator("trusted_proxies")
    @classmethod
    def _spelled_as_peers_are(
        cls, networks: tuple[IPv4Network | IPv6Network, ...]
    ) -> tuple[IPv4Network | IPv6Network, ...]:
        if any(isinstance(network, IPv6Network) and network.subnet_of(_IPV4_AS_IPV6) for network in networks):
            raise ValueError("must not write an IPv4 network as IPv6")
        return networks

    @model_validator(mode="after")
    def _one_way_to_sign_in(self) -> Self:
        if self.oidc_issuer is None:
            if self.oidc_audience is not None or self.oidc_jwks_url is not None:
                raise ValueError("GATEWAY_OIDC_ISSUER: required with any other setting of it")
            return self
        if self.jwt_secret is not None or self.jwt_audience is not None or self.jwt_issuer is not None:
            raise ValueError("GATEWAY_OIDC_ISSUER and GATEWAY_JWT_SECRET: only one of them can sign buyers in")
        if self.oidc_audience is None:
            raise ValueError("GATEWAY_OIDC_AUDIENCE: required with GATEWAY_OIDC_ISSUER")
        return self

    @model_validator(mode="after")
    def _keys_outlive_a_refresh(self) -> Self:
        if self.oidc_max_age_seconds < self.oidc_refresh_seconds:
            raise ValueError("GATEWAY_OIDC_MAX_AGE_SECONDS: must not be less than GATEWAY_OIDC_REFRESH_SECONDS")
        return self

    @model_validator(mode="after")
    def _safe_access_outside_development(self) -> Self:
        if self.in_development:
            return self
        if not self.allow_guests and self.jwt_secret is None and self.oidc_issuer is None:
            raise ValueError("GATEWAY_JWT_SECRET or GATEWAY_OIDC_ISSUER: required when guests are not allowed")
        if self.oidc_issuer is not None and not (self.oidc_jwks_url or self.oidc_issuer).startswith("https://"):
            raise ValueError("GATEWAY_OIDC_JWKS_URL: outside development the issuer's keys must come over https")
        if any(network.prefixlen < _LEAST_PREFIX_BITS[network.version] for network in self.trusted_proxies):
            raise ValueError("GATEWAY_TRUSTED_PROXIES: outside development no network may be that large")
        return self


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
        return [] if self.tls else [target for target in targets if is_remote_address(getattr(self, target))]

    @property
    def livemode(self) -> bool:
        """Whether the secret key moves real money."""
        return self.stripe_secret_key.get_secret_value().startswith(_LIVE_PREFIXES)
