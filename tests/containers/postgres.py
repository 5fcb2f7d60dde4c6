"""PostgreSQL 17 from its public image."""

import asyncio
import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import asyncpg  # type: ignore[import-untyped] # asyncpg ships no types
from testcontainers.core.network import Network

from devstack.ports import LOOPBACK

from .container import Container, Recipe

IMAGE: Final = "postgres:17"
INSIDE_PORT: Final = 5432
_USER: Final = "holdfast"
_ANSWER_SECONDS: Final = 10.0
_DATABASE_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_SETTINGS: Final = {
    "max_connections": "200",
    "timezone": "UTC",
    # As in the embedded one: else the log quotes rows and parameters of what was refused (P7).
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    # A crash of the server loses nothing by these, only one of the machine does.
    "fsync": "off",
    "full_page_writes": "off",
}


class ContainerPostgres(Container):
    """One PostgreSQL, set up as the embedded one is when it need not be durable."""

    def __init__(self, *, network: Network | None = None, alias: str = "") -> None:
        self._password = secrets.token_hex(16)
        recipe = Recipe(
            image=IMAGE,
            inside_port=INSIDE_PORT,
            command=["postgres", *(word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}"))],
            environment={"POSTGRES_USER": _USER, "POSTGRES_PASSWORD": self._password, "POSTGRES_DB": _USER},
            network=network,
            alias=alias,
        )
        super().__init__(recipe, self._takes_connections)

    def url(self, database: str = "postgres") -> str:
        """Return the address of a database on this machine, password included."""
        return f"postgresql://{_USER}:{self._password}@{LOOPBACK}:{self.port}/{database}"

    def inside_url(self, database: str) -> str:
        """Return the address of a database in the network, password included."""
        return f"postgresql://{_USER}:{self._password}@{self.recipe.alias}:{INSIDE_PORT}/{database}"

    def create_database(self, name: str, template: str | None = None) -> str:
        """Create a database, as a copy of another one if told, and return its URL."""
        copy = "" if template is None else f" TEMPLATE {_quoted(template)}"
        self._run(f"CREATE DATABASE {_quoted(name)}{copy}")
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Delete a database and cut its connections."""
        self._run(f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")

    def _run(self, statement: str) -> None:
        # A loop of its own: the caller may be in one.
        with ThreadPoolExecutor(1) as elsewhere:
            elsewhere.submit(asyncio.run, _run(self.url(), statement)).result()

    def _takes_connections(self, port: int) -> bool:
        url = f"postgresql://{_USER}:{self._password}@{LOOPBACK}:{port}/postgres"
        with ThreadPoolExecutor(1) as elsewhere:
            try:
                elsewhere.submit(asyncio.run, _run(url, "SELECT 1")).result()
            except (OSError, TimeoutError, asyncpg.PostgresError):
                return False
        return True


async def _run(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url, timeout=_ANSWER_SECONDS)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _quoted(name: str) -> str:
    if not _DATABASE_NAME.fullmatch(name):
        raise ValueError(f"not a plain database name: {name!r}")
    return f'"{name}"'
