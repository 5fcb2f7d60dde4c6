"""Where a stack keeps its files, and that one stack alone uses them."""

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


class AlreadyRunning(RuntimeError):
    """Another stack uses the same home."""


@dataclass(frozen=True)
class Home:
    """The folder of one stack. It outlives the stack: the next one finds the data."""

    root: Path

    @property
    def stack_file(self) -> Path:
        """Tells where everything listens, while it does."""
        return self.root / "stack.json"

    @property
    def log_dir(self) -> Path:
        """Holds a log of each process, and all.log."""
        return self.root / "log"

    @property
    def postgres_dir(self) -> Path:
        """PostgreSQL's data."""
        return self.root / "postgres"

    @property
    def valkey_dir(self) -> Path:
        """Valkey's data."""
        return self.root / "valkey"

    @property
    def certs_dir(self) -> Path:
        """The test authority and its certificates, with private keys."""
        return self.root / "certs"

    def log_of(self, process: str) -> Path:
        """Return the log file of a process."""
        return self.log_dir / f"{process}.log"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the home; raise AlreadyRunning if another stack does. The kernel frees it however a holder ends."""
        self.root.mkdir(mode=0o755, parents=True, exist_ok=True)
        with (self.root / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise AlreadyRunning(_explanation(self, lock.read().strip())) from None
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            yield

    def persistent_secret(self, name: str) -> str:
        """Return a random secret that stays the same from run to run."""
        path = self.root / "secrets.json"
        kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        if name not in kept:
            kept[name] = secrets.token_hex(32)
            write_private(path, json.dumps(kept, indent=2) + "\n")
        return kept[name]


def encryption_keys(home: Home, service: str) -> str:
    """Return a service's keys for what it stores, as its setting takes them: one, the same from run to run."""
    key = bytes.fromhex(home.persistent_secret(f"{service}-encryption"))
    return f"dev1:{base64.b64encode(key).decode()}"


def home_from(environment: Mapping[str, str], start: Path) -> Home:
    """Return HOLDFAST_HOME, or .holdfast in the checkout that start lies in."""
    if named := environment.get(HOME_VARIABLE):
        return Home(Path(named).absolute())
    checkouts = (folder for folder in (start, *start.parents) if (folder / _CHECKOUT_MARK).exists())
    return Home(next(checkouts, start) / _HOME_NAME)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


def _explanation(home: Home, holder: str) -> str:
    return (
        f"a stack is running here already (process {holder}); {home.stack_file} tells where it listens. "
        f"Stop it first, or set {HOME_VARIABLE} to another folder to run a second one."
    )
