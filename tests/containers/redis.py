"""Redis 8 from its public image."""

import secrets
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from testcontainers.core.network import Network

from devstack.ports import LOOPBACK

from .container import Container, Recipe

IMAGE: Final = "redis:8"
INSIDE_PORT: Final = 6379
_ANSWER_SECONDS: Final = 10.0
_CONFIG: Final = "/etc/holdfast.conf"


class ContainerRedis(Container):
    """Redis with the settings of the embedded Valkey. `appendonly` writes the log before each answer."""

    def __init__(self, *, appendonly: bool, network: Network | None = None, alias: str = "") -> None:
        self.password = secrets.token_hex(16)
        settings = {
            "requirepass": self.password,
            "appendonly": "yes" if appendonly else "no",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "save": '""',
        }
        # A file, because every user of the machine can read the arguments of a process.
        config = "".join(f"{name} {value}\n" for name, value in settings.items())
        recipe = Recipe(
            image=IMAGE,
            inside_port=INSIDE_PORT,
            command=["redis-server", _CONFIG],
            files={_CONFIG: config},
            network=network,
            alias=alias,
        )
        super().__init__(recipe, self._answers)

    @property
    def url(self) -> str:
        """The URL for this machine, password included."""
        return f"redis://:{self.password}@{LOOPBACK}:{self.port}/0"

    @property
    def inside_url(self) -> str:
        """The URL for its network, password included."""
        return f"redis://:{self.password}@{self.recipe.alias}:{INSIDE_PORT}/0"

    def execute(self, *words: str | int) -> Any:
        """Send one command on a new connection and return the answer. Raises redis.RedisError."""
        with self._client(self.port) as client:
            return client.execute_command(*words)

    def _answers(self, port: int) -> bool:
        with self._client(port) as client:
            try:
                return bool(client.ping())
            except (redis.ConnectionError, redis.TimeoutError):
                return False

    def _client(self, port: int) -> redis.Redis:
        return redis.Redis(
            host=LOOPBACK,
            port=port,
            password=self.password,
            decode_responses=True,
            socket_timeout=_ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
