"""Nothing that the tests start outlives them."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import docker  # type: ignore[import-untyped] # docker ships no types
import pytest

from tests.containers.leftovers import remove_leftovers
from tests.containers.network import HostNetwork
from tests.containers.redis import ContainerRedis

_OWNER = "holdfast.tests.owner"
_START = """
import os, signal
from tests.containers.network import HostNetwork
from tests.containers.redis import ContainerRedis
network = HostNetwork()
network.create()
ContainerRedis(appendonly=True, network=network.made, alias="valkey").start()
"""


@pytest.fixture
def engine() -> Iterator[Any]:
    """Ask the Docker engine itself."""
    client = docker.from_env()
    yield client
    client.close()


def everything_of(engine: Any, pid: int) -> list[str]:
    """Return the containers, networks and volumes that a process made."""
    mine = {"label": f"{_OWNER}={pid}"}
    containers = engine.containers.list(all=True, filters=mine)
    volumes = [mount["Name"] for each in containers for mount in each.attrs["Mounts"] if mount["Type"] == "volume"]
    return [each.name for each in [*containers, *engine.networks.list(filters=mine)]] + volumes


def ended(script: str) -> subprocess.Popen[bytes]:
    """Run a script to its end and return what is left of its process."""
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    process.wait()
    return process


def test_a_server_leaves_neither_itself_nor_its_data_nor_its_network(engine: Any) -> None:
    """The volume that its image asks for goes with it."""
    network = HostNetwork()
    network.create()
    with ContainerRedis(appendonly=True, network=network.made, alias="valkey") as server:
        (volume,) = [mount["Name"] for mount in server._docker.attrs["Mounts"]]
        kept = {each.name for each in engine.volumes.list()}
    network.remove()

    assert volume in kept
    assert volume not in {each.name for each in engine.volumes.list()}
    assert network.made.name not in {each.name for each in engine.networks.list()}


def test_a_run_that_is_interrupted_leaves_nothing(engine: Any) -> None:
    """Ctrl-C before anybody could note what to clean up: it is deleted as the process ends."""
    # A run that was started in the background has its SIGINT ignored, and its children inherit that.
    heeding = "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    process = ended(_START + heeding + "os.kill(os.getpid(), signal.SIGINT)\nsignal.pause()")

    assert process.returncode == -signal.SIGINT
    assert everything_of(engine, process.pid) == []


def test_what_a_killed_run_left_goes_with_the_next(engine: Any) -> None:
    """Its containers and its network; those of a run that lives stay."""
    process = ended(_START + "os.kill(os.getpid(), signal.SIGKILL)")
    left = everything_of(engine, process.pid)

    with ContainerRedis(appendonly=False) as living:
        remove_leftovers()
        answer = living.execute("PING")

    assert len(left) == 3
    assert everything_of(engine, process.pid) == []
    assert answer is True
