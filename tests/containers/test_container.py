"""What tests rely on when they treat a container as they treat a process."""

import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from devstack.ports import LOOPBACK, is_free
from tests.containers.container import Container, ContainerFailed, Recipe
from tests.containers.redis import IMAGE, ContainerRedis

_FAST_SECONDS = 0.5


@pytest.fixture
def server() -> Iterator[ContainerRedis]:
    """Run a Redis that keeps what it is told."""
    with ContainerRedis(appendonly=True) as running:
        yield running


def test_a_killed_server_comes_back_at_its_port_with_its_data(server: ContainerRedis) -> None:
    """SIGKILL frees the port; afterwards everything acknowledged is there, at the same address."""
    port, url = server.port, server.url
    server.execute("SET", "kept", "yes")

    server.kill()
    freed = is_free(port)
    server.start()

    assert freed
    assert (server.port, server.url) == (port, url)
    assert server.execute("GET", "kept") == "yes"


def test_a_paused_server_is_silent_and_then_goes_on(server: ContainerRedis) -> None:
    """The connection stays, the answer comes once it is resumed."""
    with socket.create_connection((LOOPBACK, server.port)) as connection:
        connection.settimeout(_FAST_SECONDS)
        server.pause()
        connection.sendall(b"PING\r\n")
        with pytest.raises(TimeoutError):
            connection.recv(64)
        server.resume()
        connection.settimeout(None)
        answer = connection.recv(64)

    assert answer.startswith(b"-NOAUTH")


def test_a_paused_server_can_be_stopped(server: ContainerRedis) -> None:
    """It is resumed for that, and ends in its own time."""
    server.pause()

    server.stop()

    assert "bye bye" in server.logs()
    assert server.pid is None


def test_only_this_machine_reaches_it(server: ContainerRedis) -> None:
    """Its port is published on loopback and nowhere else."""
    assert _published(server) == [(LOOPBACK, str(server.port))]


def test_other_settings_keep_the_address_and_the_log(server: ContainerRedis) -> None:
    """It is another container then, which nobody who calls it or reads its log notices."""
    port = server.port
    server.stop()

    server.become(replace(server.recipe, command=[*server.recipe.command, "--maxmemory", "100mb"]))
    server.start()

    assert server.port == port
    assert server.execute("CONFIG", "GET", "maxmemory") == {"maxmemory": str(100 * 1024 * 1024)}
    assert server.logs().count("Ready to accept connections") == 2


def test_one_that_ends_at_once_is_told_with_its_last_words() -> None:
    """Waiting for it would take a minute and say nothing."""
    broken = Recipe(image=IMAGE, command=["redis-server", "--no-such-setting", "1"], inside_port=6379)

    with pytest.raises(ContainerFailed, match="no-such-setting"), Container(broken, lambda _port: False):
        pytest.fail("it cannot start")


def _published(server: ContainerRedis) -> list[tuple[str, str]]:
    server._docker.reload()
    ports = server._docker.attrs["NetworkSettings"]["Ports"]
    return [(each["HostIp"], each["HostPort"]) for bindings in ports.values() for each in bindings or ()]
