"""The newest release, from the repository's history."""

import subprocess
from pathlib import Path

import pytest

from .released import check_out


def test_a_shallow_clone_says_what_it_lacks(tmp_path: Path) -> None:
    """As CI systems make them by default."""
    repository = tmp_path / "shallow"
    source = Path(__file__).parents[2].as_uri()
    subprocess.run(["git", "clone", "--quiet", "--bare", "--depth=1", source, repository], check=True)

    with pytest.raises(LookupError, match="git fetch --unshallow"):
        check_out(tmp_path / "released", repository)
