"""The shop as the gateway serves it."""

import fcntl
import subprocess
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).parents[3]
FOLDER: Final = _ROOT / "frontend" / "shop" / "dist"
_BUILD_SECONDS: Final = 110.0


def build() -> None:
    """Build the shop unless it is newer than its sources. Workers wait for each other."""
    with (_ROOT / "Makefile").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        command = ["make", "--silent", "--directory", str(_ROOT), "frontend"]
        built = subprocess.run(
            command, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False, stdin=subprocess.DEVNULL
        )
        assert built.returncode == 0, f"make frontend failed:\n{built.stdout}{built.stderr}"
