"""Home directory of a stack: its files, its secrets, and the lock that makes one stack use it alone."""

import base64
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HOME_VARIABLE = "HOLDFAST_HOME"
_HOME_NAME = ".holdfast"
_CHECKOUT_MARK = "uv.lock"
_BUILT_SHOP = Path("frontend/shop/dist")


class AlreadyRunning(RuntimeError):
    """Another stack uses the same home."""


@dataclass(frozen=True, slots=True)
class Home:
    """The directory of one stack. Its data stays for the next run."""

    root: Path

    @property
    def stack_file(self) -> Path:
        """The file with addresses and keys, while the stack runs."""
        return self.root / "stack.json"

    @property
    def log_dir(self) -> Path:
        """The directory of each process's log and of all.log."""
        return self.root / "log"

    @property
    def postgres_dir(self) -> Path:
        """PostgreSQL's data directory."""
        return self.root / "postgres"

    @property
    def valkey_dir(self) -> Path:
        """Valkey's data directory."""
        return self.root / "valkey"

    @property
    def certs_dir(self) -> Path:
        """The directory of the test authority and its certificates."""
        return self.root / "certs"

    def log_of(self, process: str) -> Path:
        """Return the log file of a process."""
        return self.log_dir / f"{process}.log"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the home during the block. Raises AlreadyRunning. The kernel releases the lock of a dead process."""
        self.root.mkdir(mode=0o755, parents=True, exist_ok=True)
        with (self.root / "lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise AlreadyRunning(_explanation(self, file.read().strip())) from None
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            yield

    def persistent_secret(self, name: str) -> str:
        """Return a random secret that all runs share."""
        path = self.root / "secrets.json"
        kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        if name not in kept:
            kept[name] = secrets.token_hex(32)
            write_private(path, json.dumps(kept, indent=2) + "\n")
        return kept[name]


def encryption_keys(home: Home, service: str) -> str:
    """Return the encryption keys of a service's data, as its setting expects them. All runs share them."""
    key = bytes.fromhex(home.persistent_secret(f"{service}-encryption"))
    return f"dev1:{base64.b64encode(key).decode()}"


def home_from(environment: Mapping[str, str], start: Path) -> Home:
    """Return HOLDFAST_HOME, or .holdfast in the checkout that contains `start`."""
    if named := environment.get(HOME_VARIABLE):
        return Home(Path(named).absolute())
    return Home(_checkout(start) / _HOME_NAME)


def built_shop(start: Path) -> Path | None:
    """Return the folder of the shop in the checkout that contains `start`, or None if it is not built."""
    folder = _checkout(start) / _BUILT_SHOP
    return folder if (folder / "index.html").exists() else None


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 atomically."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


def _checkout(start: Path) -> Path:
    checkouts = (folder for folder in (start, *start.parents) if (folder / _CHECKOUT_MARK).exists())
    return next(checkouts, start)


def _explanation(home: Home, holder: str) -> str:
    return (
        f"a stack is running here already (process {holder}); its addresses are in {home.stack_file}. "
        f"Stop it first, or set {HOME_VARIABLE} to another folder to run a second one."
    )
