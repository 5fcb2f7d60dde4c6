import os
import subprocess
import sys
import tempfile
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # asyncpg ships no types
import pytest

from devstack.embedded_postgres import EmbeddedPostgres
from devstack.processes import ProcessFailed, family_of, wait_until_gone

ORPHANING_PARENT = """
import os, signal, sys
from pathlib import Path
from devstack.embedded_postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), durable=False)
server.start()
print(server.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


async def test_speaks_sql_over_tcp_at_its_url(postgres: EmbeddedPostgres) -> None:
    """The URL alone is enough to connect, password included."""
    connection = await asyncpg.connect(postgres.url())

    version = await connection.fetchval("SHOW server_version_num")

    await connection.close()
    assert int(version) >= 180000


async def test_refuses_a_wrong_password(postgres: EmbeddedPostgres) -> None:
    """Another user of the machine does not get in."""
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.url(), password="wrong")


def test_copies_a_database_from_a_template(postgres: EmbeddedPostgres) -> None:
    """A migrated database can be the template of a test's own."""
    postgres.create_database("template_of_all")
    postgres.run_sql("CREATE TABLE kept (id int); INSERT INTO kept VALUES (7)", "template_of_all")

    postgres.create_database("copy", template="template_of_all")

    assert postgres.run_sql("SELECT id FROM kept", "copy") == "7"


def test_ensuring_a_database_twice_changes_nothing(postgres: EmbeddedPostgres) -> None:
    """A second run finds the first one's database."""
    first = postgres.ensure_database("orders")

    second = postgres.ensure_database("orders")

    assert first == second


def test_refuses_a_database_name_that_needs_quoting(postgres: EmbeddedPostgres) -> None:
    """A name is never a way to run SQL."""
    with pytest.raises(ValueError, match="not a database name"):
        postgres.create_database('x"; DROP DATABASE postgres; --')


def test_keeps_committed_rows_and_its_port_over_a_kill(postgres: EmbeddedPostgres) -> None:
    """SIGKILL of the server and its backends loses no commit, and clients find it where it was."""
    postgres.run_sql("CREATE TABLE kept (id int); INSERT INTO kept VALUES (7)")
    port = postgres.port

    postgres.kill()
    postgres.start()

    assert (postgres.port, postgres.run_sql("SELECT id FROM kept")) == (port, "7")


async def test_answers_nothing_while_paused(postgres: EmbeddedPostgres) -> None:
    """A paused server keeps its connections and lets them wait."""
    connection = await asyncpg.connect(postgres.url())
    postgres.pause()

    with pytest.raises(TimeoutError):
        await connection.fetchval("SELECT 1", timeout=0.3)

    postgres.resume()
    connection.terminate()
    assert postgres.run_sql("SELECT 1") == "1"


def test_stop_leaves_no_process(postgres: EmbeddedPostgres) -> None:
    """Backends end with the server."""
    family = family_of(postgres.pid)

    postgres.stop()

    wait_until_gone(family, seconds=5)
    assert len(family) > 1


def test_two_servers_run_at_once(postgres: EmbeddedPostgres) -> None:
    """Each takes a port of its own."""
    with EmbeddedPostgres.temporary() as other:
        assert other.port != postgres.port


def test_a_port_that_is_taken_is_reported_with_the_servers_words(postgres: EmbeddedPostgres) -> None:
    """A port that the caller insists on is not replaced by another one."""
    with tempfile.TemporaryDirectory() as folder:
        other = EmbeddedPostgres(Path(folder) / "data", port=postgres.port, durable=False)

        with pytest.raises(ProcessFailed, match="could not bind"):
            other.start()

        other.destroy()


def test_dies_with_its_parent_and_the_next_one_takes_over(tmp_path: Path) -> None:
    """A parent killed by SIGKILL leaves no server, and its data directory starts again."""
    data_dir = tmp_path / "data"
    parent = subprocess.run([sys.executable, "-c", ORPHANING_PARENT, data_dir], capture_output=True, check=False)

    wait_until_gone([int(parent.stdout)], seconds=10)

    server = EmbeddedPostgres(data_dir, durable=False)
    server.start()
    assert server.run_sql("SELECT 1") == "1"
    server.destroy()


def test_ends_a_server_that_an_earlier_run_left(tmp_path: Path) -> None:
    """Two servers never work on one data directory."""
    data_dir = tmp_path / "data"
    first = EmbeddedPostgres(data_dir, durable=False)
    first.start()
    second = EmbeddedPostgres(data_dir, durable=False)

    second.start()

    assert not first.running
    second.destroy()


def test_a_stale_pid_file_does_not_stop_a_start(tmp_path: Path) -> None:
    """The pid in it may belong to somebody else by now."""
    server = EmbeddedPostgres(tmp_path / "data", durable=False)
    server.start()
    server.kill()
    pid_file = (tmp_path / "data").resolve() / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]))

    server.start()

    assert server.run_sql("SELECT 1") == "1"
    server.destroy()
