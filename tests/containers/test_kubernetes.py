"""The manifests of the local overlay: the processes start as they say, two of each, and sell."""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.containers.buying import ACCESS_LINE, BALANCED, buy_at_each
from tests.containers.compose_project import ComposeProject, docker
from tests.containers.pods_in_compose import compose_file, replicas
from tests.deploy.rendering import workloads

pytestmark = [pytest.mark.containers, pytest.mark.timeout(400)]

OVERLAY: Final = "local"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeProject]:
    """Start everything at once, as a cluster does, and wait until all that serves is ready."""
    file = tmp_path_factory.mktemp("kubernetes") / "compose.json"
    file.write_text(json.dumps(compose_file(OVERLAY)))
    with ComposeProject({"COMPOSE_FILE": str(file)}) as running:
        running.compose("up", "--detach", "--no-build")
        running.up(*(name for name in workloads(OVERLAY) if name != "orders-migrate"))
        yield running


def containers(project: ComposeProject, name: str) -> list[Any]:
    """Return Docker's descriptions of a workload's containers."""
    ids = project.compose("ps", "--all", "--quiet", name).split()
    return list(json.loads(docker("inspect", *ids)))


def addresses(project: ComposeProject, name: str) -> list[str]:
    """Return the published address of each replica."""
    published = [each["NetworkSettings"]["Ports"].values() for each in containers(project, name)]
    return [f"http://127.0.0.1:{ports[0]['HostPort']}" for (ports,) in published]


def test_there_are_as_many_as_the_manifests_say(project: ComposeProject) -> None:
    """All of them ready and none killed for its memory; the migration has ended well."""
    for name in workloads(OVERLAY):
        states = [each["State"] for each in containers(project, name)]

        assert len(states) == replicas(OVERLAY, name)
        assert not any(state["OOMKilled"] for state in states)
        if name == "orders-migrate":
            assert [state["ExitCode"] for state in states] == [0]
        else:
            assert {state["Health"]["Status"] for state in states} == {"healthy"}


async def test_one_of_each_kind_is_bought_at_each_replica(project: ComposeProject) -> None:
    """The checkout begins at one gateway and is asked for at the other; calls reach every replica behind them."""
    (simulator,) = addresses(project, "stripe-simulator")

    await buy_at_each(addresses(project, "payments-gateway"), simulator)

    for name in BALANCED:
        for index in range(1, replicas(OVERLAY, name) + 1):
            assert ACCESS_LINE in project.compose("logs", f"--index={index}", name), name


def test_everything_ends_in_order_within_its_grace_period(project: ComposeProject) -> None:
    """Runs last: no process is killed."""
    project.compose("stop")

    for name in workloads(OVERLAY):
        assert {each["State"]["ExitCode"] for each in containers(project, name)} == {0}, name
