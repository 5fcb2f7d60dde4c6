"""Settings of `payments-gateway serve`: environment variables that begin with GATEWAY_."""

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import DirectoryPath, Field, SecretStr, StringConstraints, field_validator, model_validator
from pydantic_settings import NoDecode

from payments_gateway.settings.backends import BackendSettings, check_length, split_on_commas
from servicekit.load_shedding import DEFAULT_MAX_IN_FLIGHT
from servicekit.settings import Listen, MaxInFlight

_MIN_PREFIX_LENGTHS: Final = {4: 8, 6: 16}
"""Prefix length of the largest network of proxies that is accepted outside development, by IP version."""
_IPV4_AS_IPV6: Final = IPv6Network("::ffff:0:0/96")

Algorithm = Literal["RS256", "PS256", "ES256", "EdDSA"]
"""Signature algorithms with a key pair. `none` and shared secrets are not offered: the keys are public."""
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/@?#;,]+(/[^\s?#]*)?$")]
"""An http(s) URL without user, query or fragment, so that it can hold no secret."""
Origin = Annotated[str, StringConstraints(pattern=r"^https?://[^/\s]+$")]
PerMinute = Annotated[float, Field(gt=0, le=1e6)]
Burst = Annotated[int, Field(ge=1, le=1_000_000)]


class GatewaySettings(BackendSettings):
    """Settings of payments-gateway."""

    # HTTP.
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
    max_in_flight: MaxInFlight = Field(
        default=DEFAULT_MAX_IN_FLIGHT,
        description="Requests in flight from which on every request is refused as `overloaded`; new checkouts from "
        "half of them, webhooks and what is browsed from three quarters.",
    )
    keep_alive_seconds: int = Field(
        default=75,
        ge=1,
        le=3600,
        description="Time after which an idle connection is closed. Should be more than the balancer's, which is often "
        "60: else a request can meet a connection that is just being closed.",
    )
    drain_seconds: float = Field(
        default=30.0,
        ge=0,
        le=310,
        description="Seconds that requests in flight get to finish after SIGTERM and the lame duck; then they get a "
        "503. Should be more than the request deadline.",
    )

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
    stripe_share: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="Part of these limits that this process takes: one third of 0.8 if three gateways run. The rest is "
        "for the reconciler and the operator's command.",
    )

    # Prices.
    catalogue_refresh_seconds: float = Field(
        default=30.0, gt=0, description="Interval at which prices are read from Stripe in the background."
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
        "oidc_algorithms",
        "trusted_proxies",
        mode="before",
    )
    @classmethod
    def _split_on_commas(cls, given: object) -> object:
        return split_on_commas(given)

    @field_validator("storefront_dir")
    @classmethod
    def _has_an_index(cls, folder: Path | None) -> Path | None:
        if folder is not None and not (folder / "index.html").is_file():
            raise ValueError("has no index.html: build the storefront first")
        return folder

    @field_validator("jwt_secret")
    @classmethod
    def _is_long_enough(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            check_length(secret)
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
    def portal_return_url(self) -> str | None:
        """Page to which the customer portal sends buyers back; never one that a client names."""
        return self.customer_portal_return_url or next(iter(self.cors_origins), None)
