"""Settings of checkout-session: environment variables with the prefix CHECKOUT_SESSION_."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import parse_qsl

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from checkout_rules.limits import MAX_CONTEXT_BYTES
from checkout_session.domain.durability import DurabilityLevel, DurabilityPolicy
from checkout_session.redis_backend.url import parse_url
from servicekit.certificates import TlsFiles
from servicekit.plaintext import is_remote_address
from servicekit.settings import EncryptionSettings, GrpcServiceSettings, Listen
from servicekit.urls import split_url

_DAY_SECONDS: Final = 24 * 60 * 60


def _valid_url(url: SecretStr) -> SecretStr:
    parse_url(url.get_secret_value())
    return url


class CheckoutSessionSettings(GrpcServiceSettings, EncryptionSettings):
    """Store of checkout attempts in Redis until they are recorded."""

    model_config = SettingsConfigDict(env_prefix="CHECKOUT_SESSION_")

    listen: Listen = Field(default="127.0.0.1:7001", description="Address of the gRPC server, host:port.")
    redis_url: Annotated[SecretStr, AfterValidator(_valid_url)] = Field(
        description="Redis 7.2 or newer, or Valkey, as redis://[[user]:password@]host:port[/db], "
        "redis+cluster://[[user]:password@]host:port[,host:port] or "
        "redis+sentinel://[[user]:password@]sentinel:port[,sentinel:port]/name[/db]; rediss instead of redis for TLS."
    )
    redis_tls_ca_file: Path | None = Field(
        default=None, description="PEM file with the authorities that must have issued the certificate of Redis."
    )
    redis_tls_cert_file: Path | None = Field(default=None, description="PEM file with the certificate shown to Redis.")
    redis_tls_key_file: Path | None = Field(default=None, description="PEM file with its private key.")
    durability: DurabilityLevel = Field(
        default=DurabilityLevel.AOF,
        description="State of a change when it is acknowledged: none (in memory; development only), "
        "aof (the server keeps an append-only file), fsync (the change is on disk).",
    )
    durable_replicas: int = Field(
        default=0, ge=0, le=10, description="Number of replicas that must also have a change on disk, with fsync."
    )
    redis_max_connections: int = Field(
        default=64, ge=1, le=10_000, description="Maximum connections to Redis, or to each primary of a cluster."
    )
    redis_timeout_seconds: float = Field(
        default=1.0, gt=0, le=60, description="Seconds until a connection to Redis times out."
    )
    store_timeout_seconds: float = Field(
        default=2.0, gt=0, le=60, description="Seconds for the work of a call in Redis, retries included."
    )
    attempt_ttl_seconds: int = Field(
        default=35 * _DAY_SECONDS,
        ge=31 * _DAY_SECONDS,
        le=365 * _DAY_SECONDS,
        description="Seconds until a stored attempt expires; more than the 30 days for which Stripe lists events.",
    )
    first_check_seconds: int = Field(
        default=600, ge=1, le=7 * _DAY_SECONDS, description="Seconds from a save until the attempt first comes due."
    )
    max_attempt_bytes: int = Field(
        default=64 * 1024,
        ge=1024,
        le=MAX_CONTEXT_BYTES,  # the largest that orders accepts for the quarantine (P4)
        description="Maximum size of a new attempt's checkout context, serialized.",
    )

    @model_validator(mode="after")
    def _require_consistent_durability(self) -> Self:
        if self.durability is DurabilityLevel.NONE and not self.in_development:
            raise ValueError("durability none loses paid orders: it starts in development only")
        if self.durability is not DurabilityLevel.FSYNC and self.durable_replicas:
            raise ValueError("durable_replicas requires durability fsync")
        if self.durability is DurabilityLevel.FSYNC and self.store_timeout_seconds < self.redis_timeout_seconds:
            raise ValueError(
                "with durability fsync store_timeout_seconds must not be less than redis_timeout_seconds, "
                "which is the time for the disk"
            )
        return self

    @model_validator(mode="after")
    def _require_consistent_tls(self) -> Self:
        url = self.redis_url.get_secret_value()
        if self.redis_tls and not parse_url(url).tls:
            raise ValueError(f"{self.variable('redis_tls_cert_file')}: requires a URL that begins with rediss")
        if any(name.startswith("ssl") for name, _ in parse_qsl(split_url(url).query)):
            raise ValueError(f"{self.variable('redis_url')}: set TLS by {self.variable('redis_tls_ca_file')}")
        return self

    @property
    def redis_tls(self) -> TlsFiles | None:
        """Files for mutual TLS with Redis; with None a rediss URL trusts the system's authorities."""
        return self.tls_files("redis_tls_cert_file", "redis_tls_key_file", "redis_tls_ca_file")

    @property
    def plaintext_links(self) -> Sequence[str]:
        """See ServiceSettings."""
        url = self.redis_url.get_secret_value()
        unencrypted = is_remote_address(url) and not parse_url(url).tls
        return [*super().plaintext_links, *(["redis_url"] if unencrypted else [])]

    @property
    def durability_policy(self) -> DurabilityPolicy:
        """Durability of an acknowledged change."""
        return DurabilityPolicy(self.durability, self.durable_replicas)

    @property
    def attempt_ttl(self) -> timedelta:
        """Lifetime of a stored attempt that is not deleted."""
        return timedelta(seconds=self.attempt_ttl_seconds)

    @property
    def first_check(self) -> timedelta:
        """Delay from a save until the attempt first comes due."""
        return timedelta(seconds=self.first_check_seconds)
