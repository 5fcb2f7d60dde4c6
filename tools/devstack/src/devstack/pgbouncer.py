"""A real PgBouncer on a loopback port, in front of a PostgreSQL. The program is Debian's, Homebrew's or any other."""

import os
import pwd
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from devstack.embedded_server import EmbeddedServer
from devstack.ports import LOOPBACK
from devstack.processes import Account, ProcessFailed, Program

READY_SECONDS: Final = 30.0


def pgbouncer_program() -> str | None:
    """Return the path of the installed program, or None."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")


class PgBouncer(EmbeddedServer):
    """One PgBouncer in transaction mode. `options` override its configuration."""

    name = "pgbouncer"

    def __init__(self, folder: Path, database_url: str, options: Mapping[str, str] | None = None) -> None:
        super().__init__(folder, port=None, log=None)
        self._database = urlsplit(database_url)
        self._options = {"pool_mode": "transaction", "auth_type": "scram-sha-256", **(options or {})}

    @classmethod
    @contextmanager
    def temporary(cls, database_url: str, options: Mapping[str, str] | None = None) -> Iterator[Self]:
        """Run one in front of a database in a temporary directory, and delete that afterwards."""
        with tempfile.TemporaryDirectory(prefix="holdfast-pgbouncer-") as folder:
            Path(folder).chmod(0o711)
            with cls(Path(folder) / "data", database_url, options) as server:
                yield server

    @property
    def url(self) -> str:
        """The URL of the database through the pooler, with the password."""
        database = self._database
        return f"postgresql://{database.username}:{database.password}@{LOOPBACK}:{self.port}{database.path}"

    def start(self) -> None:
        """Start the server and return when it accepts connections."""
        self._data_dir.mkdir(mode=0o700, exist_ok=True)
        self._start_on_its_port(self._program, _accepts, seconds=READY_SECONDS, port_is_taken="in use")

    def _program(self, port: int) -> Program:
        program = pgbouncer_program()
        if program is None:
            raise ProcessFailed("pgbouncer is not installed")
        return Program(
            name=self.name,
            command=[program, str(self._write_configuration(port))],
            log=self.log,
            directory=self._data_dir,
            account=self._account(),
        )

    def _write_configuration(self, port: int) -> Path:
        users, configuration = self._data_dir / "users.txt", self._data_dir / "pgbouncer.ini"
        database = self._database
        users.write_text(f'"{database.username}" "{database.password}"\n')
        settings = {"listen_addr": LOOPBACK, "listen_port": str(port), "unix_socket_dir": "", "auth_file": str(users)}
        configuration.write_text(
            f"[databases]\n* = host={database.hostname} port={database.port}\n[pgbouncer]\n"
            + "".join(f"{name} = {value}\n" for name, value in (settings | self._options).items())
        )
        return configuration

    def _account(self) -> Account | None:
        # PgBouncer refuses to run as root, as PostgreSQL does.
        if os.geteuid():
            return None
        nobody = pwd.getpwnam("nobody")
        for path in (self._data_dir, *self._data_dir.iterdir()):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        return Account(nobody.pw_uid, nobody.pw_gid)


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0
