"""The system with a TCP proxy on every link, and a gateway whose clock is wrong."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from devstack.stack import replica_names
from devstack.stack_options import StackOptions, Upstreams
from tests.containers.choice import on_containers
from tests.e2e.harness.control_api import ControlApi
from tests.e2e.harness.system import System, running_system

from .plan import Plan
from .tcp_proxy import TcpProxy

GATEWAYS: Final = ("gateway", "gateway-2")
SKEWED_GATEWAY: Final = "gateway-2"
_SKEWED_CLOCK: Final = Path(__file__).parent / "skewed_clock"
_SIMULATOR: Final = ("--webhook-backoff-max", "1.5", "--webhook-attempts", "1000", "--event-list-lag", "4")
"""Arguments of the simulator. Stripe's own retries come after minutes and hours, for days."""


@dataclass(frozen=True)
class FaultySystem:
    """The system, and what the faults act on."""

    plan: Plan
    system: System
    control_api: ControlApi
    links: Mapping[str, TcpProxy]
    """Proxies by the names of both ends."""

    @property
    def reconcilers(self) -> Sequence[str]:
        """Names of the reconcilers."""
        return replica_names("reconciler", self.plan.reconcilers)


@asynccontextmanager
async def faulty_system(folder: Path, plan: Plan) -> AsyncIterator[FaultySystem]:
    """Run two gateways, to which Stripe delivers every event, and the plan's reconcilers."""
    links: dict[str, TcpProxy] = {}
    async with AsyncExitStack() as running:

        async def through_proxy(link: str, target: str, host: str) -> str:
            links[link] = await running.enter_async_context(TcpProxy(target, host=host))
            return links[link].address

        async def redirect(upstreams: Upstreams, host: str) -> Upstreams:
            stripe_api = upstreams.stripe_api.removeprefix("http://")
            return Upstreams(
                stripe_api=f"http://{await through_proxy('gateways-stripe', stripe_api, host)}",
                checkout_session=await through_proxy("gateways-checkout-session", upstreams.checkout_session, host),
                orders=await through_proxy("gateways-orders", upstreams.orders, host),
            )

        system = await running.enter_async_context(running_system(folder, options=_options(plan), redirect=redirect))
        backend, addresses = system.backend, system.backend.addresses
        redis = await through_proxy(
            "checkout-session-redis", urlsplit(addresses.redis).netloc.split("@")[1], backend.host
        )
        postgres = await through_proxy(
            "orders-postgres", urlsplit(addresses.postgres).netloc.split("@")[1], backend.host
        )
        await asyncio.gather(
            backend.restart("checkout-session", {"REDIS_URL": _at(redis, addresses.redis)}),
            backend.restart("orders", {"DATABASE_URL": _at(postgres, addresses.postgres)}),
        )
        control_api = await running.enter_async_context(ControlApi(addresses.stripe_api))
        yield FaultySystem(plan, system, control_api, links)


def _options(plan: Plan) -> StackOptions:
    reconcilers = replica_names("reconciler", plan.reconcilers)
    gateway = {"PAY_BY_HOURS": str(plan.pay_by_seconds / 3600), "CATALOGUE_REFRESH_SECONDS": "5"}
    skewed = {"PYTHONPATH": str(_SKEWED_CLOCK), "HOLDFAST_CLOCK_SKEW_SECONDS": str(plan.skew)}
    return StackOptions(
        gateways=len(GATEWAYS),
        reconcilers=plan.reconcilers,
        webhook_for_each_gateway=True,
        durable=False,
        seed=plan.seed,
        simulator_arguments=_SIMULATOR,
        settings={
            **dict.fromkeys(GATEWAYS, gateway),
            **dict.fromkeys(reconcilers, gateway | _reconciler(plan)),
            "checkout-session": {"FIRST_CHECK_SECONDS": "2"},
        },
        # The images have no such folder, and their clocks are right.
        environment={} if on_containers() else {SKEWED_GATEWAY: skewed},
    )


def _reconciler(plan: Plan) -> dict[str, str]:
    return {
        "RECONCILE_INTERVAL_SECONDS": "1",
        "RECONCILE_LEASE_SECONDS": "5",
        # The clock that is ahead lets buyers pay longest.
        "RECONCILE_ORPHAN_HOURS": str((plan.pay_by_seconds + plan.skew_seconds) / 3600),
        "RECONCILE_EVENTS_SECONDS": "3",
        "RECONCILE_SUBSCRIPTIONS_SECONDS": "3",
    }


def _at(address: str, url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@{address}").geturl()
