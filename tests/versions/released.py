"""The newest release, from the repository's history."""

import io
import os
import subprocess
import tarfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent
_CHECKOUT: Final = _HERE.parents[1]
_CODE: Final = ("libs", "services")


@dataclass(frozen=True, slots=True)
class Release:
    """A released version, and its code."""

    version: str
    environment: dict[str, str]
    """Variables with which a service runs the release's code, on the packages that are installed here."""


def check_out(folder: Path, repository: Path = _CHECKOUT) -> Release:
    """Write the code of the newest release to a folder. Raises LookupError if the repository lacks its commit."""
    released = tomllib.loads((_HERE / "released.toml").read_text())
    command = ["git", "archive", "--format=tar", released["commit"], *_CODE]
    archive = subprocess.run(command, cwd=repository, capture_output=True, check=False)
    if archive.returncode:
        raise LookupError(
            f"the commit of {released['version']} is not in this clone: fetch its whole history "
            f"(git fetch --unshallow). git says: {archive.stderr.decode(errors='replace').strip()}"
        )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    sources = sorted(str(path) for part in _CODE for path in folder.glob(f"{part}/*/src"))
    return Release(released["version"], {"PYTHONPATH": os.pathsep.join(sources)})
