import subprocess
import sys
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from devstack.embedded_valkey import EmbeddedValkey
from devstack.processes import wait_until_gone

ORPHANING_PARENT = """
import os, signal, sys
from pathlib import Path
from devstack.embedded_valkey import EmbeddedValkey
server = EmbeddedValkey(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def client_of(server: EmbeddedValkey) -> redis.Redis:
    """Connect as an operator does, by the URL."""
    return redis.Redis.from_url(server.url, decode_responses=True)


def test_never_evicts_and_appends_to_a_file(valkey: EmbeddedValkey) -> None:
    """What it holds is somebody's order, so its defaults keep it."""
    with client_of(valkey) as client:
        config = client.config_get("maxmemory-policy", "appendonly", "appendfsync")

    assert config == {"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "everysec"}


def test_options_override_the_defaults() -> None:
    """A test may ask for the policy that must be refused."""
    with EmbeddedValkey.temporary(options={"maxmemory-policy": "allkeys-lru"}) as server, client_of(server) as client:
        policy = client.config_get("maxmemory-policy")

    assert policy == {"maxmemory-policy": "allkeys-lru"}


def test_refuses_who_has_no_password(valkey: EmbeddedValkey) -> None:
    """Another user of the machine does not get in."""
    with (
        redis.Redis(port=valkey.port, retry=Retry(NoBackoff(), 0)) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()


def test_keeps_writes_and_its_port_over_a_kill(valkey: EmbeddedValkey) -> None:
    """SIGKILL loses nothing that was answered, and clients find it where it was."""
    port = valkey.port
    with client_of(valkey) as client:
        client.set("kept", "yes")

    valkey.kill()
    valkey.start()

    with client_of(valkey) as client:
        assert (valkey.port, client.get("kept")) == (port, "yes")


def test_answers_nothing_while_paused(valkey: EmbeddedValkey) -> None:
    """A paused server keeps its connections and lets them wait."""
    with redis.Redis.from_url(valkey.url, socket_timeout=0.3, retry=Retry(NoBackoff(), 0)) as client:
        valkey.pause()

        with pytest.raises(redis.TimeoutError):
            client.ping()

        valkey.resume()


def test_stop_leaves_no_process(valkey: EmbeddedValkey) -> None:
    """The server is gone when stop returns."""
    pid = valkey.pid

    valkey.stop()

    wait_until_gone([pid], seconds=5)
    assert not valkey.running


def test_dies_with_its_parent(tmp_path: Path) -> None:
    """A parent killed by SIGKILL leaves no server."""
    parent = subprocess.run(
        [sys.executable, "-c", ORPHANING_PARENT, tmp_path / "data"], capture_output=True, check=False
    )

    wait_until_gone([int(parent.stdout)], seconds=10)


def test_ends_a_server_that_an_earlier_run_left(tmp_path: Path) -> None:
    """Two servers never append to one file."""
    first = EmbeddedValkey(tmp_path / "data")
    first.start()
    second = EmbeddedValkey(tmp_path / "data")

    second.start()

    assert not first.running
    second.stop()
