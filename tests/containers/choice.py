"""The servers that tests run on: embedded ones, or containers with HOLDFAST_TEST_SERVERS=containers."""

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import pytest

from devstack.embedded_postgres import EmbeddedPostgres
from devstack.embedded_valkey import EmbeddedValkey

if TYPE_CHECKING:
    from tests.containers.postgres import ContainerPostgres
    from tests.containers.redis import ContainerRedis

VARIABLE: Final = "HOLDFAST_TEST_SERVERS"
RedisServer: TypeAlias = "EmbeddedValkey | ContainerRedis"
PostgresServer: TypeAlias = "EmbeddedPostgres | ContainerPostgres"
_CHOICES: Final = {"embedded": False, "containers": True}


def on_containers() -> bool:
    """Return True if tests run on containers. Raises pytest.UsageError for an unknown choice."""
    word = os.environ.get(VARIABLE) or "embedded"
    if word not in _CHOICES:
        raise pytest.UsageError(f"{VARIABLE} is {word!r}, and must be one of: {', '.join(_CHOICES)}")
    return _CHOICES[word]


@contextmanager
def a_redis() -> Iterator[RedisServer]:
    """Run an empty server without persistence: Valkey, or redis:8 in a container."""
    if on_containers():
        from tests.containers.redis import ContainerRedis  # noqa: PLC0415 - embedded runs need no Docker client

        with ContainerRedis(appendonly=False) as container:
            yield container
    else:
        with EmbeddedValkey.temporary(appendonly=False) as server:
            yield server


@contextmanager
def a_postgres() -> Iterator[PostgresServer]:
    """Run a PostgreSQL without fsync: 18 embedded, or postgres:17 in a container."""
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
    """On containers, deselect a folder's tests that use none of these fixtures and parameters.

    They are not skipped: they run on embedded servers with all the others.
    """
    if on_containers():
        leave_out(config, items, lambda item: item.path.is_relative_to(folder) and not _asks_for(item, asking_for))


def leave_out(config: pytest.Config, items: list[pytest.Item], unwanted: Callable[[pytest.Item], bool]) -> None:
    """Deselect tests; pytest prints how many."""
    left_out = [item for item in items if unwanted(item)]
    items[:] = [item for item in items if not unwanted(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)


def _asks_for(item: pytest.Item, names: Collection[str]) -> bool:
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    asked = {*getattr(item, "fixturenames", ()), *(each for each in parameters if isinstance(each, str))}
    return not asked.isdisjoint(names)
