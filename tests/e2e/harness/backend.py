"""The running system: its processes by name and their addresses, on embedded servers or containers."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from devstack.catalogue import Catalogue
from devstack.layout import Home
from devstack.ports import LOOPBACK
from devstack.processes import Server
from devstack.services import Service
from devstack.stack import Stack
from devstack.stack_options import StackOptions, Upstreams


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


class Backend(Protocol):
    """Starts and ends the processes. Every method returns when it is done.

    Process names: `postgres`, `valkey` (or Redis in its place), `stripe-simulator`, `checkout-session`, `orders`,
    `gateway`, `gateway-2`.
    """

    @property
    def host(self) -> str:
        """The address at which the processes reach this machine, and from which they see its requests."""

    @property
    def upstreams(self) -> Upstreams:
        """The addresses of the gateways' upstreams as this machine reaches them."""

    @property
    def addresses(self) -> Addresses:
        """All addresses; known after start_gateways."""

    @property
    def catalogue(self) -> Catalogue:
        """The seeded products."""

    async def start_backends(self) -> None:
        """Start everything but the gateways."""

    async def start_gateways(self, upstreams: Upstreams) -> None:
        """Start the gateways with these upstreams: the real ones, or proxies on `host`."""

    async def stop_all(self) -> None:
        """End every process and remove its data."""

    async def start(self, name: str) -> None:
        """Start a stopped or killed process at its old address."""

    async def stop(self, name: str) -> None:
        """Stop a process in order."""

    async def kill(self, name: str) -> None:
        """SIGKILL a process."""

    async def pause(self, name: str) -> None:
        """Freeze a process: connections stay open and nothing answers."""

    async def resume(self, name: str) -> None:
        """Continue a frozen process."""

    async def restart(self, name: str, settings: Mapping[str, str] | None = None) -> None:
        """Restart a service with some settings changed (environment variables without their prefix)."""

    async def run_command(self, name: str, *words: str) -> None:
        """Run another command of a service's program to its end; raise if it fails."""

    def settings_of(self, name: str) -> Mapping[str, str]:
        """Return a service's settings (environment variables without their prefix)."""

    def log_of(self, name: str) -> str:
        """Return the log of a process."""

    def logs(self) -> Mapping[str, str]:
        """Return the logs of all processes, ended commands included."""

    def pids(self) -> Mapping[str, int]:
        """Return the ids of the running processes."""


class EmbeddedBackend:
    """Processes on this machine. Blocking calls run in threads, beside the event loop of the proxies."""

    def __init__(self, folder: Path, options: StackOptions) -> None:
        self._stack = Stack(Home(folder), options=replace(options, rate_limits=False))

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
        """The seeded products."""
        return self._stack.catalogue

    async def start_backends(self) -> None:
        """Start everything but the gateways."""
        await asyncio.to_thread(self._stack.start_backends)

    async def start_gateways(self, upstreams: Upstreams) -> None:
        """Start the gateways with these upstreams."""
        await asyncio.to_thread(self._stack.start_gateways, upstreams)

    async def stop_all(self) -> None:
        """End every process and remove its data."""
        await asyncio.to_thread(self._stack.stop)
        await asyncio.to_thread(self._stack.postgres.destroy)

    async def start(self, name: str) -> None:
        """Start a stopped or killed process."""
        await self._in_thread(name, lambda process: process.start())

    async def stop(self, name: str) -> None:
        """Stop a process in order."""
        await self._in_thread(name, lambda process: process.stop())

    async def kill(self, name: str) -> None:
        """SIGKILL a process."""
        await self._in_thread(name, lambda process: process.kill())

    async def pause(self, name: str) -> None:
        """Freeze a process."""
        await self._in_thread(name, lambda process: process.pause())

    async def resume(self, name: str) -> None:
        """Continue a frozen process."""
        await self._in_thread(name, lambda process: process.resume())

    async def restart(self, name: str, settings: Mapping[str, str] | None = None) -> None:
        """Restart a service with some settings changed."""
        self._service(name).settings.update(settings or {})
        await self._in_thread(name, lambda process: process.restart())

    async def run_command(self, name: str, *words: str) -> None:
        """Run another command of a service's program to its end."""
        await asyncio.to_thread(self._service(name).run_command, *words)

    def settings_of(self, name: str) -> Mapping[str, str]:
        """Return a service's settings."""
        return dict(self._service(name).settings)

    def log_of(self, name: str) -> str:
        """Return the log of a process."""
        return self._stack.home.log_of(name).read_text(errors="replace")

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

    async def _in_thread(self, name: str, act: Callable[[Server], None]) -> None:
        await asyncio.to_thread(act, self._stack.processes[name])
