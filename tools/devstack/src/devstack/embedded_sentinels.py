"""A real Valkey primary and its replica on loopback, and the sentinels that watch over them."""

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
"""The name under which the sentinels know the primary."""
WATCHED_SECONDS: Final = 60.0
"""How long the sentinels may take to know their primary, its replica and each other. It takes a second or two."""
_PATIENT_MS: Final = 600_000
_QUORUM: Final = 2


class Sentinel(EmbeddedValkey):
    """One sentinel. It adds to its configuration what it learns, so that is written by us only once."""

    name = "valkey-sentinel"

    def __init__(self, data_dir: Path, *, password: str, watched: EmbeddedValkey) -> None:
        super().__init__(data_dir, password=password)
        self._options = {
            f"sentinel monitor {PRIMARY_NAME}": f"{LOOPBACK} {watched.port} {_QUORUM}",
            f"sentinel auth-pass {PRIMARY_NAME}": watched.password,
            f"sentinel down-after-milliseconds {PRIMARY_NAME}": str(_PATIENT_MS),
            f"sentinel failover-timeout {PRIMARY_NAME}": "10000",
            "sentinel sentinel-pass": password,
        }

    def _program(self, port: int) -> Program:
        program = super()._program(port)
        return replace(program, command=[*program.command, "--sentinel"])

    def _configuration(self, port: int) -> Path:
        learned = self._data_dir / CONFIG
        return learned if self._port == port and learned.exists() else super()._configuration(port)


class EmbeddedSentinels:
    """A primary, its replica and three sentinels, of which two must agree that the primary is down.

    The sentinels depose nobody until `automatic_failover` is called: on a machine too busy to answer in time, a primary
    that nobody meant to lose would go, and with it what its replica had not heard yet.
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
        told = {
            "masterauth": self.password,
            "repl-diskless-sync-delay": "0",
            "shutdown-timeout": "0",
            **(options or {}),
        }
        self.servers = [
            EmbeddedValkey(folder / name, appendonly=appendonly, options=told, password=self.password)
            for name in ("first", "second")
        ]
        """The primary at first, and its replica."""
        self.sentinels: list[Sentinel] = []
        self._folder = folder

    @classmethod
    @contextmanager
    def temporary(cls, *, appendonly: bool = False, options: Mapping[str, str] | None = None) -> Iterator[Self]:
        """Run everything in a temporary directory, and leave nothing behind."""
        with (
            tempfile.TemporaryDirectory(prefix="holdfast-sentinels-") as folder,
            cls(Path(folder), appendonly=appendonly, options=options) as running,
        ):
            yield running

    def __enter__(self) -> Self:
        """Start the servers and their sentinels, and return when these know all there is to know."""
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
        """Stop everything."""
        self.stop()

    def stop(self) -> None:
        """Stop whatever runs, the sentinels first."""
        for server in (*self.sentinels, *self.servers):
            server.stop()

    @property
    def url(self) -> str:
        """Its address: every sentinel, the passwords, and the name of the primary."""
        hosts = ",".join(f"{LOOPBACK}:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://:{self.password}@{hosts}/{PRIMARY_NAME}?sentinel_password={self.sentinel_password}"

    @property
    def primary(self) -> EmbeddedValkey:
        """The server that the sentinels call the primary."""
        port = _primary_port(self.sentinels[0])
        return next(server for server in self.servers if server.port == port)

    @property
    def replica(self) -> EmbeddedValkey:
        """The other one."""
        primary = self.primary
        return next(server for server in self.servers if server is not primary)

    def automatic_failover(self, *, down_after_ms: int) -> None:
        """Let the sentinels depose a primary that has not answered for so long."""
        for sentinel in self.sentinels:
            sentinel.execute("SENTINEL", "SET", PRIMARY_NAME, "down-after-milliseconds", down_after_ms)

    def fail_over(self) -> EmbeddedValkey:
        """Let the replica take over by command; what it had not heard yet is lost. Return the new primary."""
        replica = self.replica
        self.sentinels[0].execute("SENTINEL", "FAILOVER", PRIMARY_NAME)
        self.wait_until_promoted(replica)
        return replica

    def wait_until_promoted(self, replica: EmbeddedValkey) -> None:
        """Wait until every sentinel leads to a replica, and it is a primary."""
        wait_until(lambda: self._all_lead_to(replica), "the replica took over", seconds=WATCHED_SECONDS)

    def wait_until_healthy(self) -> None:
        """Wait until every sentinel knows the others and the replica, and the replica is in step."""
        wait_until(self._is_healthy, "the sentinels know their master", seconds=WATCHED_SECONDS)

    def _all_lead_to(self, server: EmbeddedValkey) -> bool:
        if any(_primary_port(sentinel) != server.port for sentinel in self.sentinels):
            return False
        return bool(server.execute("INFO", "replication")["role"] == "master")

    def _is_healthy(self) -> bool:
        if not all(_knows_all(sentinel, len(self.sentinels)) for sentinel in self.sentinels):
            return False
        replication = self.replica.execute("INFO", "replication")
        return bool(replication["role"] == "slave" and replication["master_link_status"] == "up")


def _primary_port(sentinel: Sentinel) -> int:
    return int(_facts(sentinel.execute("SENTINEL", "MASTER", PRIMARY_NAME))["port"])


def _knows_all(sentinel: Sentinel, count: int) -> bool:
    facts = _facts(sentinel.execute("SENTINEL", "MASTER", PRIMARY_NAME))
    known = facts["num-other-sentinels"] == str(count - 1) and facts["num-slaves"] == "1"
    return known and not any("down" in flag for flag in facts["flags"].split(","))


def _facts(answer: Any) -> dict[str, str]:
    """Read a flat list of names and values, or what the client made of it."""
    return answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))
