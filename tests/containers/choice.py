"""Which servers the tests run on: those of Python packages, or containers when HOLDFAST_TEST_SERVERS=containers."""

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import pytest

from devstack.embedded_postgres import EmbeddedPostgres
from devstack.embedded_valkey import EmbeddedValkey

VARIABLE: Final = "HOLDFAST_TEST_SERVERS"
_CHOICES: Final = {"embedded": False, "containers": True}


class RedisServer(Protocol):
    """A server that speaks Redis's protocol, as a test sees it that leaves it as it is."""

    @property
    def url(self) -> str:
        """Its address, password included."""

    @property
    def port(self) -> int:
        """The loopback port it is reached at."""

    @property
    def password(self) -> str:
        """What its clients must know."""

    def execute(self, *words: str | int) -> Any:
        """Send one command on a connection of its own and return its answer. Raises redis.RedisError."""


class PostgresServer(Protocol):
    """A PostgreSQL that can be away for a while."""

    @property
    def port(self) -> int:
        """The loopback port it is reached at; it stays."""

    def create_database(self, name: str, template: str | None = None) -> str:
        """Create a database, as a copy of another one if told, and return its URL."""

    def drop_database(self, name: str) -> None:
        """Delete a database and cut its connections."""

    def start(self) -> None:
        """Start it, and return when it takes connections."""

    def stop(self) -> None:
        """Let it end in its own way."""

    def restart(self) -> None:
        """Stop and start it."""

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers."""

    def resume(self) -> None:
        """Let it go on."""


def on_containers() -> bool:
    """Whether containers are asked for. Raises pytest.UsageError for a word that is neither choice."""
    word = os.environ.get(VARIABLE) or "embedded"
    if word not in _CHOICES:
        raise pytest.UsageError(f"{VARIABLE} is {word!r}, and must be one of: {', '.join(_CHOICES)}")
    return _CHOICES[word]


@contextmanager
def a_redis() -> Iterator[RedisServer]:
    """Run an empty server that keeps nothing on disk: Valkey, or redis:8 in a container."""
    if on_containers():
        from tests.containers.redis import ContainerRedis  # noqa: PLC0415 - who runs embedded needs no Docker client

        with ContainerRedis(appendonly=False) as container:
            yield container
    else:
        with EmbeddedValkey.temporary(appendonly=False) as server:
            yield server


@contextmanager
def a_postgres() -> Iterator[PostgresServer]:
    """Run a PostgreSQL that does not wait for the disk: 18 embedded, or postgres:17 in a container."""
    if on_containers():
        from tests.containers.postgres import ContainerPostgres  # noqa: PLC0415 - as above

        with ContainerPostgres() as container:
            yield container
    else:
        with EmbeddedPostgres.temporary(durable=False) as server:
            yield server


def keep_on_containers(
    config: pytest.Config, items: list[pytest.Item], folder: Path, asking_for: Collection[str]
) -> None:
    """Where containers are asked for, leave out a folder's tests that have none of these fixtures and parameters.

    They are deselected and not skipped: nothing is missing, since they run with everything else on embedded servers.
    """
    if on_containers():
        leave_out(config, items, lambda item: item.path.is_relative_to(folder) and not _asks_for(item, asking_for))


def leave_out(config: pytest.Config, items: list[pytest.Item], unwanted: Callable[[pytest.Item], bool]) -> None:
    """Deselect tests, so that pytest says how many."""
    left_out = [item for item in items if unwanted(item)]
    items[:] = [item for item in items if not unwanted(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)


def _asks_for(item: pytest.Item, names: Collection[str]) -> bool:
    parameters = (
        item.callspec.params.values() if isinstance(item, pytest.Function) and hasattr(item, "callspec") else ()
    )
    asked = {*getattr(item, "fixturenames", ()), *(each for each in parameters if isinstance(each, str))}
    return not asked.isdisjoint(names)
