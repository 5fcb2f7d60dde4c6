"""What the gateway can be told about who may come in: tokens, guests, and how often."""

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Final, Literal, Self

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator
from pydantic_settings import NoDecode

from servicekit.settings import ServiceSettings

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
