"""Real PostgreSQL, and the service on a real gRPC server in this process.

Tests share one database, which is emptied before each of them. A test that changes the database's settings or tables
takes one of its own. On containers, the fixture `postgres` is postgres:17, and only the tests that use it run.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from orders.postgres.connection import open_engine
from orders.postgres.migrate import upgrade
from orders.postgres.tables import Row
from tests.containers.choice import PostgresServer, a_postgres, keep_on_containers

from .service import Client, OperatorClient, connected, served, settings_for

_EMPTY: Final = ";".join(f"DELETE FROM {table.name}" for table in reversed(Row.metadata.sorted_tables))  # noqa: S608 - our own names

_numbers = itertools.count(1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On containers, keep the tests that use a database."""
    keep_on_containers(config, items, Path(__file__).parent, {"postgres"})


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Run one PostgreSQL for all tests."""
    with a_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def template(postgres: PostgresServer) -> str:
    """Migrate a database once; the others are copies."""
    with ThreadPoolExecutor(1) as thread:  # An async fixture may be the first to ask, inside a running loop.
        thread.submit(asyncio.run, upgrade(postgres.create_database("migrated"))).result()
    return "migrated"


@pytest.fixture(scope="session")
def shared_database_url(postgres: PostgresServer, template: str) -> str:
    """Create the database that tests share."""
    return postgres.create_database("shared", template=template)


@pytest.fixture
async def database_url(shared_database_url: str) -> str:
    """Empty the shared database."""
    async with connected(shared_database_url) as connection:
        await connection.execute(_EMPTY)
    return shared_database_url


@pytest.fixture
def own_database_url(postgres: PostgresServer, template: str) -> Iterator[str]:
    """Create a migrated database for this test."""
    name = f"own_{next(_numbers)}"
    yield postgres.create_database(name, template=template)
    postgres.drop_database(name)


@pytest.fixture
def empty_database_url(postgres: PostgresServer) -> Iterator[str]:
    """Create a database without a schema for this test."""
    name = f"empty_{next(_numbers)}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


@pytest.fixture
async def sql(database_url: str) -> AsyncIterator[Any]:
    """Connect to the shared database as an operator."""
    async with connected(database_url) as connection:
        yield connection


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """Open an engine on the shared database."""
    engine = open_engine(database_url, settings_for(database_url).limits)
    yield engine
    await engine.dispose()


@pytest.fixture
async def channel(database_url: str) -> AsyncIterator[grpc.aio.Channel]:
    """Run the service on the shared database."""
    async with served(database_url) as opened:
        yield opened


@pytest.fixture
def orders(channel: grpc.aio.Channel) -> Client:
    """Open a client of the service."""
    return Client(channel)


@pytest.fixture
def operator(channel: grpc.aio.Channel) -> OperatorClient:
    """Open an operator's client of the service."""
    return OperatorClient(channel)
