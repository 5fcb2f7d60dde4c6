"""Settings of payments-gateway: environment variables that begin with GATEWAY_."""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import DirectoryPath, Field, SecretStr, StringConstraints, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from payments_gateway.stripe_api.operations import OPERATIONS
from servicekit.certificates import TlsFiles
from servicekit.plaintext import is_remote_address
from servicekit.settings import Listen, ServiceSettings

_MIN_SECRET_CHARACTERS: Final = 32
_TEST_KEY_PREFIXES: Final = ("sk_test_", "rk_test_")
_LIVE_KEY_PREFIXES: Final = ("sk_live_", "rk_live_")
_MIN_PREFIX_LENGTHS: Final = {4: 8, 6: 16}
"""Prefix length of the largest network of proxies that is accepted outside development, by IP version."""
_IPV4_AS_IPV6: Final = IPv6Network("::ffff:0:0/96")

EACH_OPERATION: Final = "each"
"""Key of the limit of operations that have none of their own."""

Algorithm = Literal["RS256", "PS256", "ES256", "EdDSA"]
"""Signature algorithms with a key pair. `none` and shared secrets are not offered: the keys are public."""
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/@?#;,]+(/[^\s?#]*)?$")]
"""An http(s) URL without user, query or fragment, so that it can hold no secret."""
Origin = Annotated[str, StringConstraints(pattern=r"^https?://[^/\s]+$")]
PerMinute = Annotated[float, Field(gt=0, le=1e6)]
RequestsPerSecond = Annotated[float, Field(gt=0, le=10_000)]
Burst = Annotated[int, Field(ge=1, le=1_000_000)]


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


class GatewaySettings(StripeSettings):
    """Settings of payments-gateway."""

    # HTTP, and the services behind the gateway.
    listen: Listen = Field(default="127.0.0.1:8080", description="Address on which HTTP is served, host:port.")
    cors_origins: Annotated[tuple[Origin, ...], NoDecode] = Field(
        default=(), description="Origins of the shop's frontends, comma separated, such as https://shop.example."
    )
    storefront_dir: DirectoryPath | None = Field(
        default=None,
        description="Folder with a built storefront (index.html, assets/), served at /. Unset: none is served.",
    )
    request_deadline_seconds: float = Field(
        default=25.0, gt=0, le=300, description="A request that takes longer gets a 503."
    )
    drain_seconds: float = Field(
        default=30.0,
        ge=0,
        le=310,
        description="Seconds that requests in flight get to finish after SIGTERM; then they get a 503. Should be more "
        "than the request deadline.",
    )
    checkout_session_target: str = Field(description="gRPC address of checkout-session, host:port.")
    orders_target: str = Field(description="gRPC address of orders, host:port.")
    service_timeout_seconds: float = Field(
        default=3.0, gt=0, le=60, description="Deadline of a call to either service, retries included."
    )
    tls_ca_file: Path | None = Field(
        default=None, description="PEM file with the authorities that issue both services' certificates."
    )
    tls_cert_file: Path | None = Field(default=None, description="PEM file with the gateway's client certificate.")
    tls_key_file: Path | None = Field(default=None, description="PEM file with its private key.")

    # Stripe.
    stripe_publishable_key: str = Field(description="Stripe's publishable key (pk_), for the frontend.")
    stripe_webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(),
        max_length=2,
        description="Signing secrets (whsec_) of the webhook endpoint, comma separated; two during a rotation.",
    )
    stripe_js_url: Url = Field(
        default="https://js.stripe.com/endive/stripe.js",
        description="Address of Stripe.js, for the frontend. The default is of the release of the pinned API version.",
    )
    customer_portal_url: Url | None = Field(
        default=None,
        description="Login link of Stripe's customer portal, where buyers end subscriptions. Unset: guests cannot.",
    )
    customer_portal_return_url: Url | None = Field(
        default=None,
        description="Page of the shop to which the portal leads signed-in buyers back. Unset: the first CORS origin, "
        "or else the address in the portal's settings at Stripe.",
    )
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
    stripe_share: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Part of these limits that this process takes: one third if three gateways run.",
    )
    stripe_queue_seconds: float = Field(
        default=3.0,
        gt=0,
        le=60,
        description="Longest time that a request waits for its turn, unless a paid checkout needs it.",
    )

    # Checkouts and prices.
    attempt_id_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        min_length=1,
        max_length=2,
        description="Keys that make attempt ids and prove that they are ours, comma separated; two during a rotation: "
        "the first makes new ids. The same on every gateway.",
    )
    pay_by_hours: float = Field(default=24.0, gt=0, le=24 * 14, description="Time that a buyer has to pay.")
    catalogue_refresh_seconds: float = Field(
        default=30.0, gt=0, description="Interval at which prices are read from Stripe in the background."
    )
    catalogue_pause_seconds: float = Field(
        default=2.0, ge=0, description="Least time between two reads, however many carts have unknown prices."
    )
    catalogue_max_age_seconds: float = Field(
        default=3600.0, gt=0, description="Age at which prices that could not be refreshed are no longer used."
    )

    # Sign-in: tokens of a shared secret or of an OIDC issuer.
    allow_guests: bool = Field(default=True, description="Accept checkouts without a token.")
    jwt_secret: SecretStr | None = Field(
        default=None, description="Shared HS256 secret of the shop's tokens. Without it and an issuer: only guests."
    )
    jwt_audience: str | None = Field(default=None, description="Audience that HS256 tokens must have, if set.")
    jwt_issuer: str | None = Field(default=None, description="Issuer that HS256 tokens must have, if set.")
    demo_sign_in: bool = Field(
        default=False,
        description="Sign in whoever asks, as any user, at /api/demo/sign-in. In development only, with a JWT secret.",
    )
    oidc_issuer: Url | None = Field(
        default=None, description="OIDC issuer of the shop's tokens, exactly as in their `iss`."
    )
    oidc_audience: str | None = Field(default=None, description="Audience that the issuer's tokens must have.")
    oidc_jwks_url: Url | None = Field(
        default=None, description="Address of the issuer's keys. Unset: from its discovery document."
    )
    oidc_algorithms: Annotated[tuple[Algorithm, ...], NoDecode] = Field(
        default=("RS256", "PS256", "ES256", "EdDSA"),
        min_length=1,
        description="Signature algorithms that tokens may use, comma separated.",
    )
    oidc_leeway_seconds: float = Field(
        default=10.0, ge=0, le=300, description="Tolerated difference between the issuer's clock and ours."
    )
    oidc_timeout_seconds: float = Field(
        default=3.0, gt=0, le=10, description="Time limit of one read of the issuer's keys."
    )
    oidc_refresh_seconds: float = Field(
        default=300.0,
        ge=10,
        le=86_400,
        description="Interval at which the issuer's keys are read. A withdrawn key is accepted for as long.",
    )
    oidc_max_age_seconds: float = Field(
        default=6 * 3600.0,
        ge=10,
        le=7 * 86_400,
        description="Age at which keys that could not be refreshed are no longer used.",
    )

    # Rate limits, counted by this process.
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = Field(
        default=(),
        description="Networks (CIDR) of the proxies whose X-Forwarded-For is believed, comma separated. None: the "
        "client is the connection's peer.",
    )
    initiate_per_address_per_minute: PerMinute = Field(
        default=30.0, description="Checkouts that one address may begin a minute, in the long run."
    )
    initiate_per_address_burst: Burst = Field(
        default=60, description="Checkouts that one address may begin at once, after a rest."
    )
    initiate_per_user_per_minute: PerMinute = Field(
        default=6.0, description="Checkouts that one signed-in user may begin a minute, in the long run."
    )
    initiate_per_user_burst: Burst = Field(
        default=20, description="Checkouts that one signed-in user may begin at once, after a rest."
    )
    lookup_per_address_per_minute: PerMinute = Field(
        default=600.0,
        description="Requests that ask Stripe about a checkout or subscription from one address a minute, in the long "
        "run.",
    )
    lookup_per_address_burst: Burst = Field(
        default=200, description="Requests that ask Stripe about a checkout or subscription from one address at once."
    )

    refusal_pause_seconds: float = Field(
        default=2.0,
        ge=0,
        le=10,
        description="Mean time after which a forged id or a request over a limit is answered.",
    )

    @field_validator(
        "cors_origins",
        "stripe_webhook_secrets",
        "attempt_id_secrets",
        "oidc_algorithms",
        "trusted_proxies",
        mode="before",
    )
    @classmethod
    def _split_on_commas(cls, given: object) -> object:
        if isinstance(given, str):
            return tuple(part.strip() for part in given.split(",") if part.strip())
        return given

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

    @field_validator("storefront_dir")
    @classmethod
    def _has_an_index(cls, folder: Path | None) -> Path | None:
        if folder is not None and not (folder / "index.html").is_file():
            raise ValueError("has no index.html: build the storefront first")
        return folder

    @field_validator("attempt_id_secrets")
    @classmethod
    def _are_long_enough(cls, secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for secret in secrets:
            _check_length(secret)
        return secrets

    @field_validator("jwt_secret")
    @classmethod
    def _is_long_enough(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            _check_length(secret)
        return secret

    @field_validator("trusted_proxies")
    @classmethod
    def _has_no_ipv4_as_ipv6(
        cls, networks: tuple[IPv4Network | IPv6Network, ...]
    ) -> tuple[IPv4Network | IPv6Network, ...]:
        if any(isinstance(network, IPv6Network) and network.subnet_of(_IPV4_AS_IPV6) for network in networks):
            raise ValueError("must not write an IPv4 network as IPv6")
        return networks

    @model_validator(mode="after")
    def _is_consistent_and_safe(self) -> Self:
        rules = {**self._contradictions(), **({} if self.in_development else self._unsafe_in_production())}
        for violation, holds in rules.items():
            if holds:
                raise ValueError(violation)
        return self

    def _contradictions(self) -> Mapping[str, bool]:
        hmac = (self.jwt_secret, self.jwt_audience, self.jwt_issuer)
        oidc = (self.oidc_audience, self.oidc_jwks_url)
        signs_in_by_oidc = self.oidc_issuer is not None
        return {
            "GATEWAY_OIDC_ISSUER: required with any other setting of it": not signs_in_by_oidc and any(oidc),
            "GATEWAY_OIDC_ISSUER and GATEWAY_JWT_SECRET: only one of them can sign buyers in": signs_in_by_oidc
            and any(hmac),
            "GATEWAY_OIDC_AUDIENCE: required with GATEWAY_OIDC_ISSUER": signs_in_by_oidc and self.oidc_audience is None,
            "GATEWAY_OIDC_MAX_AGE_SECONDS: must not be less than GATEWAY_OIDC_REFRESH_SECONDS": (
                self.oidc_max_age_seconds < self.oidc_refresh_seconds
            ),
            "GATEWAY_DEMO_SIGN_IN: requires GATEWAY_JWT_SECRET": self.demo_sign_in and self.jwt_secret is None,
            "GATEWAY_STRIPE_SECRET_KEY: a live key does not start in development": self.in_development
            and self.livemode,
        }

    def _unsafe_in_production(self) -> Mapping[str, bool]:
        jwks_url = self.oidc_jwks_url or self.oidc_issuer
        return {
            "GATEWAY_STRIPE_WEBHOOK_SECRETS: outside development at least one is required": (
                not self.stripe_webhook_secrets
            ),
            "GATEWAY_DEMO_SIGN_IN: starts in development only": self.demo_sign_in,
            "GATEWAY_JWT_SECRET or GATEWAY_OIDC_ISSUER: required when guests are not allowed": not self.allow_guests
            and self.jwt_secret is None
            and self.oidc_issuer is None,
            "GATEWAY_OIDC_JWKS_URL: outside development the issuer's keys must come over https": jwks_url is not None
            and not jwks_url.startswith("https://"),
            "GATEWAY_STRIPE_JS_URL: outside development it must be https": not self.stripe_js_url.startswith(
                "https://"
            ),
            "GATEWAY_CUSTOMER_PORTAL_URL: outside development it must be https": self.customer_portal_url is not None
            and not self.customer_portal_url.startswith("https://"),
            "GATEWAY_CUSTOMER_PORTAL_RETURN_URL: outside development it must be https": (
                self.customer_portal_return_url is not None
                and not self.customer_portal_return_url.startswith("https://")
            ),
            "GATEWAY_TRUSTED_PROXIES: outside development no network may be that large": any(
                network.prefixlen < _MIN_PREFIX_LENGTHS[network.version] for network in self.trusted_proxies
            ),
        }

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
    def portal_return_url(self) -> str | None:
        """Page to which the customer portal sends buyers back; never one that a client names."""
        return self.customer_portal_return_url or next(iter(self.cors_origins), None)

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


def _check_length(secret: SecretStr) -> None:
    if len(secret.get_secret_value()) < _MIN_SECRET_CHARACTERS:
        raise ValueError(f"must have at least {_MIN_SECRET_CHARACTERS} characters")
