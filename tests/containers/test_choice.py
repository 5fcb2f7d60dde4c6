"""Which servers the tests run on, and which tests run on them."""

from pathlib import Path

import pytest

from tests.containers.choice import VARIABLE, on_containers
from tests.e2e.embedded_only import EMBEDDED_ONLY

_E2E = Path(__file__).parents[1] / "e2e"


@pytest.mark.parametrize(("word", "chosen"), [("", False), ("embedded", False), ("containers", True)])
def test_the_variable_chooses(monkeypatch: pytest.MonkeyPatch, word: str, *, chosen: bool) -> None:
    """Embedded servers unless containers are asked for."""
    monkeypatch.setenv(VARIABLE, word)

    assert on_containers() is chosen


def test_a_word_that_is_no_choice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelled wish must not run something else and pass."""
    monkeypatch.setenv(VARIABLE, "container")

    with pytest.raises(pytest.UsageError, match="'container'"):
        on_containers()


@pytest.mark.parametrize("entry", EMBEDDED_ONLY)
def test_what_is_left_out_exists(entry: str) -> None:
    """A renamed file or test would otherwise run, or be forgotten in the table."""
    file, _, test = entry.partition("::")

    assert f"def {test}" in (_E2E / file).read_text()
