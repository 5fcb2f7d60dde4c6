"""Behaviour that the embedded PostgreSQL and Valkey share, and PostgreSQL's databases."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from devstack.embedded_postgres import EmbeddedPostgres
from devstack.embedded_valkey import EmbeddedValkey
from devstack.process_tree import process_tree, wait_until_gone
from devstack.processes import ProcessFailed

Server = EmbeddedPostgres | EmbeddedValkey
KINDS: dict[str, type[Server]] = {"postgres": EmbeddedPostgres, "valkey": EmbeddedValkey}
ORPHANING_PARENT = """
import os, signal, sys
from pathlib import Path
from devstack.embedded_{name} import {kind}
server = {kind}(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(params=KINDS)
def name(request: pytest.FixtureRequest) -> str:
    """Name the kind of server."""
    return str(request.param)


@pytest.fixture
def server(name: str) -> Iterator[Server]:
    """Run a new server."""
    with KINDS[name].temporary() as running:
        yield running


@pytest.fixture
def postgres() -> Iterator[EmbeddedPostgres]:
    """Run a new PostgreSQL."""
    with EmbeddedPostgres.temporary() as running:
        yield running


def write(server: Server) -> None:
    """Store a value."""
    if isinstance(server, EmbeddedPostgres):
        server.run_sql("CREATE TABLE kept (word text); INSERT INTO kept VALUES ('yes')")
    else:
        server.execute("SET", "kept", "yes")


def read(server: Server) -> str:
    """Return the stored value."""
    if isinstance(server, EmbeddedPostgres):
        return server.run_sql("SELECT word FROM kept")
    return str(server.execute("GET", "kept"))


def destroy(server: Server) -> None:
    """Stop a server of a test's own directory, and delete PostgreSQL's data outside of it."""
    if isinstance(server, EmbeddedPostgres):
        server.destroy()
    else:
        server.stop()


def test_data_and_port_survive_a_kill(server: Server) -> None:
    """SIGKILL loses nothing that was acknowledged."""
    write(server)
    port = server.port

    server.kill()
    server.start()

    assert (server.port, read(server)) == (port, "yes")


def test_a_stop_leaves_no_process(server: Server) -> None:
    """Child processes end with the server."""
    tree = process_tree(server.pid)

    server.stop()

    wait_until_gone(tree, seconds=5)
    assert not server.running


def test_a_killed_parent_leaves_no_server(name: str, tmp_path: Path) -> None:
    """The next server starts with the same data directory."""
    code = ORPHANING_PARENT.format(name=name, kind=KINDS[name].__name__)
    parent = subprocess.run([sys.executable, "-c", code, tmp_path / "data"], capture_output=True, check=False)

    wait_until_gone([int(parent.stdout)], seconds=10)

    server = KINDS[name](tmp_path / "data")
    server.start()
    write(server)
    destroy(server)


def test_a_start_ends_the_server_of_an_earlier_run(name: str, tmp_path: Path) -> None:
    """Two servers never use one data directory."""
    first, second = KINDS[name](tmp_path / "data"), KINDS[name](tmp_path / "data")
    first.start()

    second.start()

    assert not first.running
    destroy(second)


def test_valkey_requires_its_password_and_does_not_answer_while_paused() -> None:
    """Options override the configuration, by default nothing is evicted."""
    with EmbeddedValkey.temporary(options={"appendfsync": "always"}) as server:
        once = Retry(NoBackoff(), 0)
        with redis.Redis(port=server.port, retry=once) as other, pytest.raises(redis.AuthenticationError):
            other.ping()
        with redis.Redis.from_url(server.url, socket_timeout=0.3, retry=once) as client:
            server.pause()
            with pytest.raises(redis.TimeoutError):
                client.ping()
            server.resume()

        config = server.execute("CONFIG", "GET", "maxmemory-policy", "appendonly", "appendfsync")

    assert config == {"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "always"}


def test_postgres_creates_databases(postgres: EmbeddedPostgres) -> None:
    """As a copy of a template, only once if ensured, and never with a name that needs quoting."""
    postgres.create_database("template_of_all")
    postgres.run_sql("CREATE TABLE kept (id int); INSERT INTO kept VALUES (7)", "template_of_all")

    postgres.create_database("copy", template="template_of_all")

    assert postgres.run_sql("SELECT id FROM kept", "copy") == "7"
    assert postgres.ensure_database("copy") == postgres.url("copy")
    with pytest.raises(ValueError, match="not a database name"):
        postgres.create_database('x"; DROP DATABASE postgres; --')


def test_a_fixed_port_that_is_in_use_is_an_error(postgres: EmbeddedPostgres) -> None:
    """The message has the last lines of the log."""
    with tempfile.TemporaryDirectory() as folder:
        other = EmbeddedPostgres(Path(folder) / "data", port=postgres.port, durable=False)

        with pytest.raises(ProcessFailed, match="could not bind"):
            other.start()

        other.destroy()


def test_a_stale_pid_file_does_not_prevent_a_start(tmp_path: Path) -> None:
    """Another process may have the pid in it."""
    server = EmbeddedPostgres(tmp_path / "data", durable=False)
    server.start()
    server.kill()
    pid_file = (tmp_path / "data").resolve() / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]))

    server.start()

    assert server.run_sql("SELECT 1") == "1"
    server.destroy()
