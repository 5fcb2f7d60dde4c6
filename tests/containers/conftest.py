"""These tests are about containers themselves: they run where containers are asked for."""

from pathlib import Path

import pytest

from tests.containers.choice import leave_out, on_containers

_NEEDS_ENGINE = {"test_container.py", "test_leftovers.py"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave them out of a run on embedded servers, which must need no Docker engine."""
    if not on_containers():
        here = Path(__file__).parent
        leave_out(config, items, lambda item: item.path.parent == here and item.path.name in _NEEDS_ENGINE)
