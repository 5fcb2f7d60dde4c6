"""What checkout-session can be told, by environment variables with the prefix CHECKOUT_SESSION_."""

from datetime import timedelta
from typing import Annotated, Final

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from servicekit.settings import GrpcServiceSettings, Listen

_DAY_SECONDS: Final = 24 * 60 * 60


def _known_scheme(url: SecretStr) -> SecretStr:
    if not url.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must begin with redis://, rediss:// or unix://")
    return url


class CheckoutSessionSettings(GrpcServiceSettings):
    """Keeps checkout attempts in Redis until they are recorded."""

    model_config = SettingsConfigDict(env_prefix="CHECKOUT_SESSION_")

    listen: Listen = Field(default="127.0.0.1:7001", description="Where gRPC is served, host:port.")
    redis_url: Annotated[SecretStr, AfterValidator(_known_scheme)] = Field(
        description="Redis 7.2 or newer, or Valkey, as redis://[[user]:password@]host:port[/db] or rediss:// for TLS."
    )
    redis_max_connections: int = Field(default=64, ge=1, le=10_000, description="Most connections to Redis.")
    redis_timeout_seconds: float = Field(
        default=1.0, gt=0, le=60, description="Seconds to wait for Redis on one connection before it is given up."
    )
    store_timeout_seconds: float = Field(
        default=2.0, gt=0, le=60, description="Seconds for a call's work in Redis, retries included."
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
        default=6 * 1024 * 1024,
        ge=1024,
        le=7 * 1024 * 1024,  # with the rest of a message it must fit into gRPC's limit, here and at orders
        description="Most bytes of an attempt's checkout context, serialized.",
    )

    @property
    def attempt_ttl(self) -> timedelta:
        """How long a stored attempt stays if nobody deletes it."""
        return timedelta(seconds=self.attempt_ttl_seconds)

    @property
    def first_check(self) -> timedelta:
        """From a save until the attempt first comes due."""
        return timedelta(seconds=self.first_check_seconds)
