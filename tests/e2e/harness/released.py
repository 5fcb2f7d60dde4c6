"""Sources of the newest release, from the repository's history."""

import subprocess
import tarfile
import tomllib
from pathlib import Path
from typing import Final

_CHECKOUT: Final = Path(__file__).parents[3]
_RELEASED: Final = _CHECKOUT / "tests/versions/released.toml"


def unpack_release(folder: Path) -> str:
    """Unpack the newest release into a folder, and return the PYTHONPATH of its packages."""
    commit = tomllib.loads(_RELEASED.read_text())["commit"]
    archive = folder / "release.tar"
    subprocess.run(["git", "archive", "--output", archive, commit, "libs", "services"], cwd=_CHECKOUT, check=True)
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return ":".join(map(str, sorted(folder.glob("*/*/src"))))
