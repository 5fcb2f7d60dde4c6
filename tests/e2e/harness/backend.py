"""The running system: its processes by name and their addresses, on embedded servers or containers."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from devstack.catalogue import Catalogue
from devstack.layout import Home
from devstack.ports import LOOPBACK
from devstack.services import Service
from devstack.stack import Stack
from devstack.stack_options import StackOptions, Upstreams
from devstack.stripe_access import StripeAccess

QUICK_WEBHOOKS: Final = ("--webhook-backoff", "0.25")
"""Arguments of the simulator. Stripe's own retries come after minutes and hours."""


@dataclass(frozen=True)
class Addresses:
    """Addresses and credentials."""

    gateways: tuple[str, ...]
    """http URLs."""
    stripe_api: str
    """http URL of Stripe's stand-in itself, not of a proxy; the same holds for the services."""
    checkout_session: str
    """gRPC address, host:port."""
    orders: str
    """gRPC address, host:port."""
    postgres: str
    """URL of the orders database."""
    redis: str
    """URL of the attempt store."""
    stripe_secret_key: str
    stripe_publishable_key: str
    webhook_secret: str
    jwt_secret: str


class Process(Protocol):
    """A process or container. Every method returns when it is done."""

    def start(self) -> None:
        """Start it at its old address."""

    def stop(self) -> None:
        """Stop it in order."""

    def kill(self) -> None:
        """SIGKILL it."""

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers."""

    def resume(self) -> None:
        """Continue it."""


class Backend(ABC):
    """Starts and ends the processes.

    Process names: `postgres`, `valkey` (or Redis in its place), `stripe-simulator`, `checkout-session`, `orders`,
    `gateway`, `gateway-2`, `reconciler`, `reconciler-2`. Blocking calls run in threads, beside the event loop of the
    proxies.
    """

    @property
    @abstractmethod
    def host(self) -> str:
        """The address at which the processes reach this machine, and from which they see its requests."""

    @property
    @abstractmethod
    def upstreams(self) -> Upstreams:
        """The addresses of the gateways' upstreams as this machine reaches them."""

    @property
    @abstractmethod
    def addresses(self) -> Addresses:
        """All addresses; known after start_gateways."""

    @property
    @abstractmethod
    def catalogue(self) -> Catalogue:
        """The sample shop's catalogue."""

    @abstractmethod
    async def start_backends(self) -> None:
        """Start everything but gateways and reconcilers."""

    @abstractmethod
    async def start_gateways(self, upstreams: Upstreams) -> None:
        """Start gateways and reconcilers with these upstreams: the real ones, or proxies on `host`."""

    @abstractmethod
    async def stop_all(self) -> None:
        """End every process and remove its data."""

    @abstractmethod
    def process(self, name: str) -> Process:
        """Return a process by name."""

    @abstractmethod
    async def restart(self, name: str, settings: Mapping[str, str] | None = None) -> None:
        """Restart a service with some settings changed (environment variables without their prefix)."""

    @abstractmethod
    async def run_command(self, name: str, *words: str) -> None:
        """Run another command of a service's program to its end; raise if it fails."""

    @abstractmethod
    def settings_of(self, name: str) -> Mapping[str, str]:
        """Return a service's settings (environment variables without their prefix)."""

    @abstractmethod
    def log_of(self, name: str) -> str:
        """Return the log of a process, as far as its lines are whole."""

    @abstractmethod
    def logs(self) -> Mapping[str, str]:
        """Return the logs of all processes, ended commands included."""

    @abstractmethod
    def pids(self) -> Mapping[str, int]:
        """Return the ids of the running processes."""

    async def start(self, name: str) -> None:
        """Start a stopped or killed process."""
        await asyncio.to_thread(self.process(name).start)

    async def stop(self, name: str) -> None:
        """Stop a process in order."""
        await asyncio.to_thread(self.process(name).stop)

    async def kill(self, name: str) -> None:
        """SIGKILL a process."""
        await asyncio.to_thread(self.process(name).kill)

    async def pause(self, name: str) -> None:
        """Freeze a process."""
        await asyncio.to_thread(self.process(name).pause)

    async def resume(self, name: str) -> None:
        """Continue a frozen process."""
        await asyncio.to_thread(self.process(name).resume)


class EmbeddedBackend(Backend):
    """Processes on this machine."""

    def __init__(self, folder: Path, options: StackOptions, account: StripeAccess | None = None) -> None:
        """Run a simulator, or use an account at one that runs already."""
        arguments = (*QUICK_WEBHOOKS, *options.simulator_arguments)
        chosen = replace(options, rate_limits=False, simulator_arguments=arguments)
        self._stack = Stack(Home(folder), real_stripe=account, options=chosen)

    @property
    def host(self) -> str:
        """Loopback."""
        return LOOPBACK

    @property
    def upstreams(self) -> Upstreams:
        """The addresses of the gateways' upstreams."""
        return self._stack.upstreams

    @property
    def addresses(self) -> Addresses:
        """All addresses."""
        facts = self._stack.facts
        return Addresses(
            gateways=tuple(facts.gateways),
            stripe_api=facts.stripe_api,
            checkout_session=facts.checkout_session,
            orders=facts.orders,
            postgres=facts.postgres,
            redis=facts.redis,
            stripe_secret_key=facts.stripe_secret_key,
            stripe_publishable_key=facts.stripe_publishable_key,
            webhook_secret=facts.webhook_secret,
            jwt_secret=facts.jwt_secret,
        )

    @property
    def catalogue(self) -> Catalogue:
        """The sample shop's catalogue."""
        return self._stack.catalogue

    async def start_backends(self) -> None:
        """Start everything but gateways and reconcilers."""
        await asyncio.to_thread(self._stack.start_backends)

    async def start_gateways(self, upstreams: Upstreams) -> None:
        """Start gateways and reconcilers with these upstreams."""
        await asyncio.to_thread(self._stack.start_gateways, upstreams)

    async def stop_all(self) -> None:
        """End every process and remove its data."""
        await asyncio.to_thread(self._stack.stop)
        await asyncio.to_thread(self._stack.postgres.destroy)

    def process(self, name: str) -> Process:
        """Return a process."""
        return self._stack.processes[name]

    async def restart(self, name: str, settings: Mapping[str, str] | None = None) -> None:
        """Restart a service with some settings changed."""
        self._service(name).settings.update(settings or {})
        await asyncio.to_thread(self._service(name).restart)

    def use_sources(self, name: str, python_path: str) -> None:
        """Run a service from other sources from its next start on; an empty path is this checkout."""
        self._service(name).environment["PYTHONPATH"] = python_path

    async def run_command(self, name: str, *words: str) -> None:
        """Run another command of a service's program to its end."""
        await asyncio.to_thread(self._service(name).run_command, *words)

    def environment_of(self, name: str) -> dict[str, str]:
        """Return a service's other environment variables. A change applies from its next start or command."""
        return self._service(name).environment

    def settings_of(self, name: str) -> Mapping[str, str]:
        """Return a service's settings."""
        return dict(self._service(name).settings)

    def log_of(self, name: str) -> str:
        """Return the log of a process, without a line that it is writing."""
        written = self._stack.home.log_of(name).read_text(errors="replace")
        return written[: written.rfind("\n") + 1]

    def logs(self) -> Mapping[str, str]:
        """Return the logs of all processes."""
        return {log.stem: log.read_text(errors="replace") for log in self._stack.home.log_dir.glob("*.log")}

    def pids(self) -> Mapping[str, int]:
        """Return the ids of the running processes."""
        return {name: process.pid for name, process in self._stack.processes.items() if process.running}

    def _service(self, name: str) -> Service:
        process = self._stack.processes[name]
        if not isinstance(process, Service):
            raise TypeError(f"{name} takes no settings")
        return process
