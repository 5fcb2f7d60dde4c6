"""deploy/examples: each starts beside docker-compose.yml, has what it promises, and sells."""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.containers.buying import buy, cart_of, until_completed
from tests.containers.compose_project import PUBLISHABLE_KEY, ComposeFailed, ComposeProject
from tests.e2e.harness.shop import Shop

pytestmark = [pytest.mark.containers, pytest.mark.timeout(300)]

STANDBYS = "SELECT coalesce(json_object_agg(application_name, sync_state), '{}') FROM pg_stat_replication"


async def test_orders_goes_through_pgbouncer() -> None:
    """PostgreSQL sees the service's sessions come from the pooler, and from nowhere else."""
    with example("pgbouncer") as project:
        project.compose("build", "--quiet", "pgbouncer")
        project.up()
        await buy_something(project)

        query = "SELECT json_agg(DISTINCT host(client_addr)) FROM pg_stat_activity WHERE application_name = 'orders'"
        assert project.sql(query) == [address_of(project, "pgbouncer")]


async def test_a_promoted_standby_has_what_was_bought() -> None:
    """Both standbys are in the quorum; when the primary is gone and one is promoted, the other follows it."""
    with example("standby") as project:
        project.up()
        standbys = project.sql(STANDBYS)
        bought = await buy_something(project)

        project.compose("kill", "postgres")
        project.sql("SELECT to_json(pg_promote())", server="postgres-2")
        until(lambda: project.sql(STANDBYS, server="postgres-2") == {"postgres-3": "quorum"})
        bought_later = await buy_something(project)
        payments = project.sql("SELECT json_agg(attempt_id) FROM payments", server="postgres-2")

    assert standbys == {"postgres-2": "quorum", "postgres-3": "quorum"}
    assert sorted(payments) == sorted([bought, bought_later])


async def test_sentinels_promote_a_replica() -> None:
    """They know both replicas; the old primary comes back as a replica of the new one."""
    with example("sentinel") as project:
        project.up()
        redis, *others = (address_of(project, name) for name in ("redis", "redis-2", "redis-3"))
        first, replicas = primary_of(project), known_replicas(project)
        await buy_something(project)

        project.compose("kill", "redis")
        until(lambda: primary_of(project) != redis)
        await buy_something(project)
        project.compose("start", "redis")
        until(lambda: roles(project, "redis") == ["slave"])

    assert first == redis
    assert replicas == set(others)


async def test_a_replica_takes_the_slots_of_a_clusters_primary() -> None:
    """There are three primaries with a replica each; the killed one comes back as the replica."""
    with example("redis-cluster") as project:
        project.up()
        state = in_redis(project, "redis", "cluster", "info")
        until(lambda: roles(project) == ["master"] * 3 + ["slave"] * 3)
        await buy_something(project)

        project.compose("kill", "redis-2")
        until(lambda: roles(project, "redis-4", "redis-5", "redis-6").count("master") == 1)
        project.compose("start", "redis-2")
        until(lambda: roles(project, "redis-2") == ["slave"])
        await buy_something(project)

    assert "cluster_state:ok" in state
    assert "cluster_size:3" in state


@contextmanager
def example(name: str) -> Iterator[ComposeProject]:
    """Prepare a project of docker-compose.yml and an example, with a network of its own."""
    settings = {
        "COMPOSE_FILE": f"docker-compose.yml:deploy/examples/{name}.yml",
        "REDIS_NETWORK": f"10.{128 + secrets.randbelow(128)}.{secrets.randbelow(256)}",
    }
    with ComposeProject(settings) as project:
        yield project


async def buy_something(project: ComposeProject) -> str:
    """Buy something once and a subscription; return the attempt id."""
    async with Shop(
        gateway=project.gateway, stripe_api=project.stripe_api, publishable_key=PUBLISHABLE_KEY, jwt_secret=""
    ) as shop:
        checkout = await buy(shop, await cart_of(shop, "mug", "coffee"))
        purchase = await until_completed(shop, checkout.attempt_id)

    assert purchase["order"]["totalAmount"] == checkout.amount
    assert [each["status"] for each in purchase["subscriptions"]] == ["active"]
    return checkout.attempt_id


def address_of(project: ComposeProject, service: str) -> str:
    """Return the address of a service that is in one network."""
    (network,) = project.inspect(service)["NetworkSettings"]["Networks"].values()
    return str(network["IPAddress"])


def in_redis(project: ComposeProject, service: str, *words: str) -> str:
    """Return the answer to a command."""
    script = 'REDISCLI_AUTH="$REDIS_PASSWORD" exec redis-cli "$@"'
    return project.compose("exec", "-T", service, "sh", "-c", script, "sh", *words)


def roles(project: ComposeProject, *services: str) -> list[str]:
    """Return the roles of these servers, or of all of the cluster."""
    asked = services or ("redis", *(f"redis-{number}" for number in range(2, 7)))
    return [in_redis(project, service, "role").split()[0] for service in asked]


def primary_of(project: ComposeProject) -> str:
    """Return the primary's address according to a Sentinel."""
    return in_redis(project, "sentinel-1", "-p", "26379", "sentinel", "get-master-addr-by-name", "primary").split()[0]


def known_replicas(project: ComposeProject) -> set[str]:
    """Return the addresses of the replicas that a Sentinel knows."""
    found = json.loads(in_redis(project, "sentinel-1", "-p", "26379", "--json", "sentinel", "replicas", "primary"))
    return {each["ip"] for each in found}


def until(holds: Callable[[], bool], *, seconds: float = 60) -> None:
    """Wait until a condition holds, also while commands fail."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if holds():
                return
        except ComposeFailed:
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, "the condition does not hold"
        time.sleep(0.2)
