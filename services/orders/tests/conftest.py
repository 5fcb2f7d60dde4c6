"""A real PostgreSQL, a fresh database for each test, and the service on a real in-process gRPC server."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from devstack.embedded_postgres import EmbeddedPostgres
from orders.schema_revision import upgrade

from .service import Client, connected, served, settings_for

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """Run one PostgreSQL for every test that leaves it running."""
    with EmbeddedPostgres.temporary(durable=False) as server:
        yield server


@pytest.fixture(scope="session")
def template(postgres: EmbeddedPostgres) -> str:
    """Migrate a database once; the tests get copies."""
    with ThreadPoolExecutor(1) as elsewhere:  # A loop may run here: an async fixture may be the first to ask.
        elsewhere.submit(asyncio.run, upgrade(postgres.create_database("migrated"))).result()
    return "migrated"


@pytest.fixture
def empty_database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """Give a database without a schema."""
    name = f"empty_{next(_numbers)}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
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
