"""Every file and test that docs/security.md names is there."""

import os
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "docs" / "security.md").read_text()
NAMED = sorted(set(re.findall(r"`([\w./-]+\.(?:py|md|toml|lock))(?:::(\w+))?`", TEXT)))


@cache
def files() -> list[Path]:
    """Return the project's own files; folders that begin with a dot hold what was installed or is running."""
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "node_modules"]
        found += [Path(folder, name) for name in names]
    return found


def files_called(name: str) -> list[Path]:
    """Return the files whose path ends with this."""
    return [path for path in files() if f"/{path}".endswith(f"/{name}")]


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_what_stops_a_threat_is_there(file: str, test: str) -> None:
    """A file by the end of its path, and in it the test, if one is named."""
    found = files_called(file)

    assert found, f"no {file}"
    assert any(re.search(rf"def {test}\(", path.read_text()) for path in found) or not test, f"no {test} in {file}"


def test_every_threat_and_requirement_names_its_proof() -> None:
    """No row of the tables ends without a file."""
    rows = [line for line in TEXT.splitlines() if line.startswith("| ") and not line.startswith(("| asset", "| requ"))]

    assert len(rows) > 50
    assert [row for row in rows if not re.search(r"`[\w./-]+\.\w+(?:::\w+)?`[^|]*\|$", row)] == []
