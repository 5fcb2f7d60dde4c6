"""A real PostgreSQL, a fresh database for each test, and the service on a real in-process gRPC server.

Where containers are asked for, the fixture `postgres` is postgres:17 and every test that uses it runs, the ones in
which the server is stopped or frozen too. The others are left out: they ask no server.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from orders.postgres.migrate import upgrade
from tests.containers.choice import PostgresServer, a_postgres, keep_on_containers

from .service import Client, connected, served, settings_for

_numbers = itertools.count(1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On containers, keep what asks a database; a ledger's form of that name is the one among several."""
    keep_on_containers(config, items, Path(__file__).parent, {"postgres"})


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Run one PostgreSQL for every test that leaves it running."""
    with a_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def template(postgres: PostgresServer) -> str:
    """Migrate a database once; the tests get copies."""
    with ThreadPoolExecutor(1) as elsewhere:  # A loop may run here: an async fixture may be the first to ask.
        elsewhere.submit(asyncio.run, upgrade(postgres.create_database("migrated"))).result()
    return "migrated"


@pytest.fixture
def empty_database_url(postgres: PostgresServer) -> Iterator[str]:
    """Give a database without a schema."""
    name = f"empty_{next(_numbers)}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


@pytest.fixture
def database_url(postgres: PostgresServer, template: str) -> Iterator[str]:
    """Give a migrated database of the test's own."""
    name = f"test_{next(_numbers)}"
    yield postgres.create_database(name, template=template)
    postgres.drop_database(name)


@pytest.fixture
async def sql(database_url: str) -> AsyncIterator[Any]:
    """Give an operator's connection to the test's database."""
    async with connected(database_url) as connection:
        yield connection


@pytest.fixture
async def channel(database_url: str) -> AsyncIterator[grpc.aio.Channel]:
    """Run the service on the test's database."""
    async with served(settings_for(database_url)) as opened:
        yield opened


@pytest.fixture
def orders(channel: grpc.aio.Channel) -> Client:
    """Give a client of the service."""
    return Client(channel)
