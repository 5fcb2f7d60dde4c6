"""The guard against containers that outlive their test run."""

import subprocess
import sys
from typing import Any

import docker  # type: ignore[import-untyped] # docker ships no types
import pytest

from tests.containers.leftovers import remove_leftovers
from tests.containers.redis import ContainerRedis

pytestmark = pytest.mark.containers

KILLED_RUN = """
import os, signal
from tests.containers.network import HostNetwork
from tests.containers.redis import ContainerRedis
network = HostNetwork()
network.create()
ContainerRedis(appendonly=True, network=network.made, alias="valkey").start()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_run_removes_what_a_killed_run_left() -> None:
    """Container, volume and network are removed; those of a living run stay."""
    engine = docker.from_env()
    killed = subprocess.Popen([sys.executable, "-c", KILLED_RUN], stderr=subprocess.DEVNULL)
    killed.wait()
    left = _created_by(engine, killed.pid)

    with ContainerRedis(appendonly=False) as living:
        remove_leftovers()
        answer = living.execute("PING")

    remaining = {*_created_by(engine, killed.pid), *(volume.name for volume in engine.volumes.list())}
    engine.close()
    assert len(left) == 3
    assert remaining.isdisjoint(left)
    assert answer is True


def _created_by(engine: Any, pid: int) -> list[str]:
    owned = {"label": f"holdfast.tests.owner={pid}"}
    containers = engine.containers.list(all=True, filters=owned)
    volumes = [mount["Name"] for each in containers for mount in each.attrs["Mounts"] if mount["Type"] == "volume"]
    return [*(each.name for each in [*containers, *engine.networks.list(filters=owned)]), *volumes]
