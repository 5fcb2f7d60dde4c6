"""A real Valkey primary with a replica and three sentinels on loopback."""

import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from devstack.embedded_valkey import CONFIG, EmbeddedValkey
from devstack.ports import LOOPBACK
from devstack.processes import Program, wait_until

PRIMARY_NAME: Final = "holdfast"
"""Name of the primary at the sentinels."""
HEALTHY_SECONDS: Final = 60.0
"""Limit for the sentinels to know the primary, its replica and each other. It takes a second or two."""
_NEVER_DOWN_MS: Final = 600_000
_QUORUM: Final = 2


class Sentinel(EmbeddedValkey):
    """One sentinel. It updates its configuration file, which is therefore written only once."""

    name = "valkey-sentinel"

    def __init__(self, data_dir: Path, *, password: str, watched: EmbeddedValkey) -> None:
        super().__init__(data_dir, password=password)
        self._options = {
            f"sentinel monitor {PRIMARY_NAME}": f"{LOOPBACK} {watched.port} {_QUORUM}",
            f"sentinel auth-pass {PRIMARY_NAME}": watched.password,
            f"sentinel down-after-milliseconds {PRIMARY_NAME}": str(_NEVER_DOWN_MS),
            f"sentinel failover-timeout {PRIMARY_NAME}": "10000",
            "sentinel sentinel-pass": password,
        }

    def _program(self, port: int) -> Program:
        program = super()._program(port)
        return replace(program, command=[*program.command, "--sentinel"])

    def _configuration(self, port: int) -> Path:
        existing = self._data_dir / CONFIG
        return existing if self._port == port and existing.exists() else super()._configuration(port)


class EmbeddedSentinels:
    """A primary, its replica and three sentinels with a quorum of two.

    Until `automatic_failover` is called, the sentinels fail over only by command. On a busy machine a failover would
    otherwise start by itself and lose what the replica had not received yet.
    """

    def __init__(
        self,
        folder: Path,
        *,
        appendonly: bool = False,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.password = secrets.token_hex(16)
        self.sentinel_password = secrets.token_hex(16)
        settings = {
            "masterauth": self.password,
            "repl-diskless-sync-delay": "0",
            "shutdown-timeout": "0",
            **(options or {}),
        }
        self.servers = [
            EmbeddedValkey(folder / name, appendonly=appendonly, options=settings, password=self.password)
            for name in ("first", "second")
        ]
        """The initial primary and its replica."""
        self.sentinels: list[Sentinel] = []
        self._folder = folder

    @classmethod
    @contextmanager
    def temporary(cls, *, appendonly: bool = False, options: Mapping[str, str] | None = None) -> Iterator[Self]:
        """Run all servers in a temporary directory and delete it afterwards."""
        with (
            tempfile.TemporaryDirectory(prefix="holdfast-sentinels-") as folder,
            cls(Path(folder), appendonly=appendonly, options=options) as running,
        ):
            yield running

    def __enter__(self) -> Self:
        """Start all servers and return when the sentinels know the primary, its replica and each other."""
        with ExitStack() as on_failure:
            on_failure.callback(self.stop)
            first, second = self.servers
            first.start()
            second.start()
            second.execute("REPLICAOF", LOOPBACK, first.port)
            self.sentinels = [
                Sentinel(self._folder / f"sentinel-{number}", password=self.sentinel_password, watched=first)
                for number in range(3)
            ]
            for sentinel in self.sentinels:
                sentinel.start()
            self.wait_until_healthy()
            on_failure.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all servers."""
        self.stop()

    def stop(self) -> None:
        """Stop all servers, the sentinels first."""
        for server in (*self.sentinels, *self.servers):
            server.stop()

    @property
    def url(self) -> str:
        """The URL with all sentinels, the passwords, and the name of the primary."""
        hosts = ",".join(f"{LOOPBACK}:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://:{self.password}@{hosts}/{PRIMARY_NAME}?sentinel_password={self.sentinel_password}"

    @property
    def primary(self) -> EmbeddedValkey:
        """The primary according to the sentinels."""
        port = _primary_port(self.sentinels[0])
        return next(server for server in self.servers if server.port == port)

    @property
    def replica(self) -> EmbeddedValkey:
        """The replica."""
        primary = self.primary
        return next(server for server in self.servers if server is not primary)

    def automatic_failover(self, *, down_after_ms: int) -> None:
        """Let the sentinels fail over after this timeout without the primary."""
        for sentinel in self.sentinels:
            sentinel.execute("SENTINEL", "SET", PRIMARY_NAME, "down-after-milliseconds", down_after_ms)

    def fail_over(self) -> EmbeddedValkey:
        """Fail over by command, which loses what the replica has not received. Return the new primary."""
        replica = self.replica
        self.sentinels[0].execute("SENTINEL", "FAILOVER", PRIMARY_NAME)
        self.wait_until_promoted(replica)
        return replica

    def wait_until_promoted(self, replica: EmbeddedValkey) -> None:
        """Wait until a replica is primary and every sentinel knows it."""
        wait_until(lambda: self._is_promoted(replica), "the replica takes over", seconds=HEALTHY_SECONDS)

    def wait_until_healthy(self) -> None:
        """Wait until every sentinel knows the others and the replica, and the replica is in sync."""
        wait_until(self._is_healthy, "the sentinels know their primary", seconds=HEALTHY_SECONDS)

    def _is_promoted(self, server: EmbeddedValkey) -> bool:
        if any(_primary_port(sentinel) != server.port for sentinel in self.sentinels):
            return False
        return bool(server.execute("INFO", "replication")["role"] == "master")

    def _is_healthy(self) -> bool:
        if not all(_knows_all(sentinel, len(self.sentinels)) for sentinel in self.sentinels):
            return False
        replication = self.replica.execute("INFO", "replication")
        return bool(replication["role"] == "slave" and replication["master_link_status"] == "up")


def _primary_port(sentinel: Sentinel) -> int:
    return int(_to_dict(sentinel.execute("SENTINEL", "MASTER", PRIMARY_NAME))["port"])


def _knows_all(sentinel: Sentinel, count: int) -> bool:
    fields = _to_dict(sentinel.execute("SENTINEL", "MASTER", PRIMARY_NAME))
    known = fields["num-other-sentinels"] == str(count - 1) and fields["num-slaves"] == "1"
    return known and not any("down" in flag for flag in fields["flags"].split(","))


def _to_dict(response: Any) -> dict[str, str]:
    """Convert a flat list of names and values, unless the client has done so."""
    return response if isinstance(response, dict) else dict(zip(response[::2], response[1::2], strict=True))
