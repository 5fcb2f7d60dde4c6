"""The system with several processes of each service: gateways behind a balancer, gRPC calls over all addresses.

Of the three places of a service two are occupied. A rolling restart starts a process in the free place, waits until
it is ready, and stops an old one, as Kubernetes does with maxSurge 1 and maxUnavailable 0. Unlike there, clients know
all three addresses from the start and learn from connections, not from DNS, which of them serve.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from devstack.ports import free_port
from devstack.stack import replica_names
from devstack.stack_options import StackOptions

from .backend import EmbeddedBackend
from .balancer import Balancer
from .control_api import ControlApi
from .shop import Shop
from .system import System, running_system

SERVICES: Final = ("checkout-session", "orders", "gateway")
_RECONCILER: Final = "reconciler"
ALL: Final = (*SERVICES, _RECONCILER)
_PLACES: Final = 3
_UNWANTED: Final = ("payment_intent.created", "charge.succeeded", "charge.updated")


@dataclass
class Replicas:
    """The system, and which processes of each service run."""

    system: System
    control_api: ControlApi
    balancer: Balancer
    _running: dict[str, list[str]] = field(default_factory=dict)
    _spare: dict[str, str] = field(default_factory=dict)

    async def begin(self) -> None:
        """Leave one place of each service free, and let Stripe send only events that Holdfast's endpoint wants."""
        await self.control_api.add_webhook_rule(types=_UNWANTED, drop=True, count=None)
        for service in SERVICES:
            *running, spare = replica_names(service, _PLACES)
            self._running[service], self._spare[service] = running, spare
            await self.system.backend.stop(spare)

    def running(self, service: str) -> list[str]:
        """Return the names of a service's running processes, the oldest first."""
        return list(self._running[service])

    async def roll(self, service: str) -> None:
        """Replace every process of a service by a new one, one after the other."""
        if service == _RECONCILER:  # nobody calls it
            await self.system.backend.restart(service)
            return
        for old in self.running(service):
            await self.system.backend.start(self._spare[service])
            await self.system.backend.stop(old)
            self._running[service] = [*self._running[service][1:], self._spare[service]]
            self._spare[service] = old

    async def release(self, python_path: str, order: Sequence[str]) -> None:
        """Migrate with other sources, and replace the processes of one service after another by theirs."""
        for service in ALL:
            for name in replica_names(service, _PLACES if service in SERVICES else 1):
                self._embedded.use_sources(name, python_path)
        await self._embedded.run_command("orders", "migrate")
        for service in order:
            await self.roll(service)

    @property
    def _embedded(self) -> EmbeddedBackend:
        if not isinstance(self.system.backend, EmbeddedBackend):
            raise TypeError("releases are sources of this machine")
        return self.system.backend

    @asynccontextmanager
    async def hung(self, name: str) -> AsyncIterator[None]:
        """Freeze a process while the context lasts."""
        await self.system.backend.pause(name)
        try:
            yield
        finally:
            await self.system.backend.resume(name)

    @asynccontextmanager
    async def shop(self) -> AsyncIterator[Shop]:
        """Open a guest's shop at the balancer."""
        async with self.system.shop() as shop:
            shop.gateway = self.balancer.url
            yield shop


@asynccontextmanager
async def running_replicas(
    folder: Path, settings: Mapping[str, Mapping[str, str]], python_path: str = ""
) -> AsyncIterator[Replicas]:
    """Run two processes of each service with these settings, a reconciler and a balancer.

    Stripe sends its events to the balancer. The path has the sources to begin with; an empty one is this checkout.
    """
    by_process = {name: dict(chosen) for each, chosen in settings.items() for name in replica_names(each, _PLACES)}
    with Balancer(folder, free_port()) as balancer:
        options = StackOptions(
            gateways=_PLACES,
            replicas=_PLACES,
            reconcilers=1,
            balancer=balancer.url,
            durable=False,
            settings=by_process,
            environment={name: {"PYTHONPATH": python_path} for each in ALL for name in replica_names(each, _PLACES)},
        )
        async with running_system(folder / "home", options=options, embedded=True) as system:
            balancer.start(system.backend.addresses.gateways)
            async with ControlApi(system.backend.addresses.stripe_api) as control_api:
                replicas = Replicas(system, control_api, balancer)
                await replicas.begin()
                await asyncio.to_thread(balancer.await_ready)
                yield replicas
