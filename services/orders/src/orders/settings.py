"""Settings of orders: environment variables with the prefix ORDERS_."""

import re
from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from orders.postgres.session_settings import DatabaseLimits
from orders.postgres.tls import is_verified
from servicekit.plaintext import is_remote_address
from servicekit.settings import EncryptionSettings, GrpcServiceSettings, Listen

_HOST: Final = r"(?:\[[^\]/?#@]*\]|[^/?#@:,\[\]]*)(?::[0-9]{1,5})?"
_URL: Final = re.compile(rf"postgres(?:ql)?://(?:[^/?#@]*@)?{_HOST}(?:,{_HOST})*(?:/[^/?#@]*)?(?:\?[^#]*)?")


def _valid_url(url: SecretStr) -> SecretStr:
    # asyncpg takes the text before a stray / for a port and quotes it in its error: it may be a password (P7).
    if not _URL.fullmatch(url.get_secret_value()):
        raise ValueError("must be a postgresql:// URL; in a password / ? # @ are written %2F %3F %23 %40")
    return url


class OrdersSettings(GrpcServiceSettings, EncryptionSettings):
    """Service that stores purchases in PostgreSQL."""

    model_config = SettingsConfigDict(env_prefix="ORDERS_", frozen=True, extra="ignore")

    listen: Listen = Field(default="127.0.0.1:7002", description="Address of the gRPC server, host:port.")
    database_url: Annotated[SecretStr, AfterValidator(_valid_url)] = Field(
        description="PostgreSQL 17 or newer, its primary, as postgresql://user:password@host:port/database[?sslmode=...]."
    )
    database_pool_size: int = Field(default=10, ge=1, le=500, description="Maximum of connections to PostgreSQL.")
    transaction_pooling: bool = Field(
        default=False,
        description="The URL leads to a pooler in transaction mode, such as PgBouncer.",
    )
    connect_timeout_seconds: float = Field(
        default=2.0, gt=0, le=60, description="Seconds to wait for a connection, new or from the pool."
    )
    statement_timeout_seconds: float = Field(
        default=3.0, gt=0, le=60, description="Seconds after which PostgreSQL cancels a statement."
    )
    lock_timeout_seconds: float = Field(default=2.0, gt=0, le=60, description="Seconds a statement waits for a lock.")
    call_timeout_seconds: float = Field(
        default=8.0, gt=0, le=60, description="Seconds for a call, retries included, if its deadline is later."
    )
    database_tries: int = Field(
        default=3, ge=1, le=10, description="Tries of a call's transaction while the database is unavailable."
    )

    @property
    def plaintext_links(self) -> Sequence[str]:
        """See ServiceSettings."""
        url = self.database_url.get_secret_value()
        return [
            *super().plaintext_links,
            *(["database_url"] if is_remote_address(url) and not is_verified(url) else []),
        ]

    @property
    def limits(self) -> DatabaseLimits:
        """Size of the pool, and timeouts."""
        return DatabaseLimits(
            pool_size=self.database_pool_size,
            connect_timeout_seconds=self.connect_timeout_seconds,
            statement_timeout_seconds=self.statement_timeout_seconds,
            lock_timeout_seconds=self.lock_timeout_seconds,
            transaction_timeout_seconds=self.call_timeout_seconds,
            transaction_pooling=self.transaction_pooling,
        )
