"""The choice of the servers that tests run on."""

import pytest

from tests.containers.choice import VARIABLE, on_containers


def test_an_unknown_choice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelled choice would run the tests on embedded servers and pass."""
    monkeypatch.setenv(VARIABLE, "container")

    with pytest.raises(pytest.UsageError, match="'container'"):
        on_containers()
