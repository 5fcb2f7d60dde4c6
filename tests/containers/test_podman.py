"""The manifests of the local overlay, played by podman: it reads them as a cluster does, and the pods sell."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.request import urlopen

import pytest

from tests.containers.buying import ACCESS_LINE, BALANCED, buy_at_each
from tests.containers.podman import Podman, unusable
from tests.containers.pods_in_podman import containers, play
from tests.deploy.rendering import OURS, workloads

pytestmark = [pytest.mark.containers, pytest.mark.timeout(300)]

OVERLAY: Final = "local"
SERVING: Final = tuple(name for name in OURS if name != "orders-migrate")
READY_SECONDS: Final = 120


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    """Copy the images, and start everything."""
    if (reason := unusable()) is not None:
        if os.environ.get("HOLDFAST_REQUIRE_PODMAN") == "1":
            pytest.fail(f"HOLDFAST_REQUIRE_PODMAN=1, but this machine {reason}", pytrace=False)
        pytest.skip(reason)
    with Podman() as running:
        running.load_from_docker({each.container["image"] for each in workloads(OVERLAY).values()})
        play(running, OVERLAY)
        deadline = time.monotonic() + READY_SECONDS
        while not all(is_ready(running, name) for name in SERVING):
            assert time.monotonic() < deadline, running.run("ps", "--all")
            time.sleep(0.5)
        yield running


def is_ready(podman: Podman, name: str) -> bool:
    """Return True if each pod of a service answers its readiness probe, which a kubelet would ask."""
    workload = workloads(OVERLAY)[name]
    probe = workload.container["readinessProbe"]["httpGet"]
    port = workload.ports[probe["port"]]
    addresses = [podman.address(each) for each in containers(OVERLAY, name)]
    try:
        for address in addresses:
            urlopen(f"http://{address}:{port}{probe['path']}", timeout=5).close()
    except OSError:  # an answer of another status too
        return False
    return True


async def test_one_of_each_kind_is_bought_at_each_replica(podman: Podman) -> None:
    """Each checkout is asked for at the other gateway; names of Services lead to every replica."""
    gateways = [f"http://{podman.address(each)}:8080" for each in containers(OVERLAY, "payments-gateway")]
    (simulator,) = containers(OVERLAY, "stripe-simulator")

    await buy_at_each(gateways, f"http://{podman.address(simulator)}:12111")

    for name in BALANCED:
        for container in containers(OVERLAY, name):
            assert ACCESS_LINE in podman.logs(container), container


@pytest.mark.parametrize("name", SERVING)
def test_a_process_is_confined_as_its_manifest_says(podman: Podman, name: str) -> None:
    """By the kernel's word: its user, no capabilities and no way to new ones, a filter of calls, a read-only root."""
    workload = workloads(OVERLAY)[name]
    user = workload.pod["securityContext"]["runAsUser"]

    for container in containers(OVERLAY, name):
        process = Path("/proc", str(podman.inspect(container)["State"]["Pid"]))
        status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
        (root,) = [line.split() for line in (process / "mountinfo").read_text().splitlines() if line.split()[4] == "/"]

        assert set(status["Uid"].split()) == {str(user)}
        assert {int(status[each], 16) for each in ("CapEff", "CapPrm", "CapBnd")} == {0}
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert "ro" in root[5].split(",")
