"""The manifests of the local overlay: the processes start as they say, two of each, and sell."""

import json
import uuid
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any, Final

import pytest

from tests.containers.buying import cart_of, until, until_completed
from tests.containers.compose_project import PUBLISHABLE_KEY, ComposeProject, docker
from tests.containers.pods_in_compose import compose_file, replicas
from tests.deploy.rendering import workloads
from tests.e2e.harness.shop import Reply, Shop

pytestmark = [pytest.mark.containers, pytest.mark.timeout(400)]

OVERLAY: Final = "local"
BALANCED: Final = ("checkout-session", "orders", "payments-gateway")
KINDS: Final = {"order": ("mug",), "subscription": ("coffee",), "both": ("mug", "coffee", "almanac")}


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
    bought = {}
    async with AsyncExitStack() as stack:
        first, second = [
            await stack.enter_async_context(
                Shop(gateway=gateway, stripe_api=simulator, publishable_key=PUBLISHABLE_KEY, jwt_secret="")
            )
            for gateway in addresses(project, "payments-gateway")
        ]
        for here, there in ((first, second), (second, first)):
            for kind, slugs in KINDS.items():
                bought[kind, here] = await buy(here, there, slugs)

    for (kind, _), purchase in bought.items():
        assert (purchase["order"] is not None) == (kind != "subscription")
        assert {each["status"] for each in purchase["subscriptions"]} == (set() if kind == "order" else {"active"})
    for name in BALANCED:
        lines = project.compose("logs", "--no-color", name).splitlines()
        answered = {line.partition(" ")[0] for line in lines if '"logger": "access"' in line}
        assert len(answered) == replicas(OVERLAY, name), name


async def until_stocked(shop: Shop) -> None:
    """Wait until a gateway sells everything: it may have read the shop while the simulator was filling it."""
    wanted = {f"holdfast_{slug}" for slugs in KINDS.values() for slug in slugs}

    async def stocked() -> Reply | None:
        reply = await shop.catalogue()
        sold = {item["productId"] for item in reply.ok()["items"]}
        return reply if reply.body["shippingOptions"] and wanted <= sold else None

    await until(stocked)


async def buy(here: Shop, there: Shop, slugs: tuple[str, ...]) -> Any:
    """Begin a checkout at one gateway, pay, and return the purchase that the other one shows."""
    cart, key = await cart_of(here, *slugs), str(uuid.uuid4())

    async def granted() -> Reply | None:
        reply = await here.initiate(cart, idempotency_key=key)
        return None if reply.status >= 500 else reply

    checkout = here.granted(await until(granted))
    (await here.pay(checkout)).ok()
    return await until_completed(there, checkout.attempt_id)


def test_everything_ends_in_order_within_its_grace_period(project: ComposeProject) -> None:
    """Runs last: no process is killed."""
    project.compose("stop")

    for name in workloads(OVERLAY):
        assert {each["State"]["ExitCode"] for each in containers(project, name)} == {0}, name
