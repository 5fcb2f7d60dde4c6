"""PostgreSQL 17 from its public image."""

import asyncio
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
_SETTINGS: Final = {
    "max_connections": "200",
    "timezone": "UTC",
    # As in the embedded server: otherwise the log quotes the rows and parameters of failed statements (P7).
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    # Only a crash of the machine loses data with these, not one of the server.
    "fsync": "off",
    "full_page_writes": "off",
}


class ContainerPostgres(Container):
    """PostgreSQL with the settings of the embedded server without fsync."""

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
        """Return the URL of a database for this machine, password included."""
        return f"postgresql://{_USER}:{self._password}@{LOOPBACK}:{self.port}/{database}"

    def inside_url(self, database: str) -> str:
        """Return the URL of a database for the network, password included."""
        return f"postgresql://{_USER}:{self._password}@{self.recipe.alias}:{INSIDE_PORT}/{database}"

    def create_database(self, name: str, template: str | None = None) -> str:
        """Create a database, optionally as a copy of another one, and return its URL."""
        copy = "" if template is None else f' TEMPLATE "{template}"'
        _run_in_thread(self.url(), f'CREATE DATABASE "{name}"{copy}')
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database and close its connections."""
        _run_in_thread(self.url(), f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _takes_connections(self, port: int) -> bool:
        url = f"postgresql://{_USER}:{self._password}@{LOOPBACK}:{port}/postgres"
        try:
            _run_in_thread(url, "SELECT 1")
        except (OSError, TimeoutError, asyncpg.PostgresError):
            return False
        return True


def _run_in_thread(url: str, statement: str) -> None:
    with ThreadPoolExecutor(1) as thread:  # the caller may run in an event loop
        thread.submit(asyncio.run, _run(url, statement)).result()


async def _run(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url, timeout=_ANSWER_SECONDS)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
