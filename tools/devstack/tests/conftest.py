"""Servers of their own for the tests of the servers."""

from collections.abc import Iterator

import pytest

from devstack.embedded_postgres import EmbeddedPostgres
from devstack.embedded_valkey import EmbeddedValkey


@pytest.fixture
def postgres() -> Iterator[EmbeddedPostgres]:
    """Run a fresh PostgreSQL that is gone afterwards."""
    with EmbeddedPostgres.temporary() as server:
        yield server


@pytest.fixture
def valkey() -> Iterator[EmbeddedValkey]:
    """Run a fresh Valkey that is gone afterwards."""
    with EmbeddedValkey.temporary() as server:
        yield server
