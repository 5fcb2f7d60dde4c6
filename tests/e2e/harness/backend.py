"""The running system, reached by the names of its processes and by where they listen, whatever runs it."""

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
    """Where everything listens, and the keys to it."""

    gateways: tuple[str, ...]
    """http URLs."""
    stripe_api: str
    """http URL of the real thing, not of a proxy; so are the next two."""
    checkout_session: str
    """gRPC address, host:port."""
    orders: str
    """gRPC address, host:port."""
    postgres: str
    """URL of the orders database."""
    redis: str
    """URL of the attempts' store."""
    stripe_secret_key: str
    stripe_publishable_key: str
    webhook_secret: str
    jwt_secret: str


class Backend(Protocol):
    """What starts and ends the processes. Every method returns when it is done.

    Names are `postgres`, `valkey` (or Redis in its place), `stripe-simulator`, `checkout-session`, `orders`, `gateway`
    and `gateway-2`.
    """

    @property
    def host(self) -> str:
        """The address under which this machine and the processes find each other. Known after start_backends.

        Listen on it to be called by them; our own calls come to them from there.
        """

    @property
    def upstreams(self) -> Upstreams:
        """Where the gateways' upstreams really listen, as this machine reaches them. Known after start_backends."""

    @property
    def addresses(self) -> Addresses:
        """Where everything listens. Known after start_gateways."""

    @property
    def catalogue(self) -> Catalogue:
        """What is on sale."""

    async def start_backends(self) -> None:
        """Start everything but the gateways."""

    async def start_gateways(self, upstreams: Upstreams) -> None:
        """Start the gateways, and tell them to call these addresses: those of `upstreams`, or some on `host`."""

    async def stop_all(self) -> None:
        """End every process and remove what it stored."""

    async def start(self, name: str) -> None:
        """Start a process that was stopped or killed, at its old address."""

    async def stop(self, name: str) -> None:
        """Let a process end in its own time."""

    async def kill(self, name: str) -> None:
        """SIGKILL a process."""

    async def pause(self, name: str) -> None:
        """Freeze a process: connections stay open and nothing answers."""

    async def resume(self, name: str) -> None:
        """Let a paused process go on."""

    async def restart(self, name: str, settings: Mapping[str, str] | None = None) -> None:
        """Stop and start a service, with some settings changed (environment variables without their prefix)."""

    async def run_command(self, name: str, *words: str) -> None:
        """Run another command of a service's program to its end; raise if it fails."""

    def settings_of(self, name: str) -> Mapping[str, str]:
        """Return a service's settings (environment variables without their prefix)."""

    def log_of(self, name: str) -> str:
        """Return what a process has logged."""

    def logs(self) -> Mapping[str, str]:
        """Return what every process has logged so far, commands that have ended included."""

    def pids(self) -> Mapping[str, int]:
        """Return the process ids of what runs on this machine."""


class EmbeddedBackend:
    """Real processes on this machine. Blocking calls run beside the event loop, in which the proxies live."""

    def __init__(self, folder: Path, options: StackOptions) -> None:
        self._stack = Stack(Home(folder), options=replace(options, rate_limits=False))

    @property
    def host(self) -> str:
        """Loopback."""
        return LOOPBACK

    @property
    def upstreams(self) -> Upstreams:
        """Where the gateways' upstreams really listen."""
        return self._stack.upstreams

    @property
    def addresses(self) -> Addresses:
        """Where everything listens."""
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
        """What is on sale."""
        return self._stack.catalogue

    async def start_backends(self) -> None:
        """Start everything but the gateways."""
        await asyncio.to_thread(self._stack.start_backends)

    async def start_gateways(self, upstreams: Upstreams) -> None:
        """Start the gateways, and tell them to call these addresses."""
        await asyncio.to_thread(self._stack.start_gateways, upstreams)

    async def stop_all(self) -> None:
        """End every process and remove what it stored."""
        await asyncio.to_thread(self._stack.stop)
        await asyncio.to_thread(self._stack.postgres.destroy)

    async def start(self, name: str) -> None:
        """Start a process that was stopped or killed, at its old address."""
        await self._beside(name, lambda process: process.start())

    async def stop(self, name: str) -> None:
        """Let a process end in its own time."""
        await self._beside(name, lambda process: process.stop())

    async def kill(self, name: str) -> None:
        """SIGKILL a process."""
        await self._beside(name, lambda process: process.kill())

    async def pause(self, name: str) -> None:
        """Freeze a process."""
        await self._beside(name, lambda process: process.pause())

    async def resume(self, name: str) -> None:
        """Let a paused process go on."""
        await self._beside(name, lambda process: process.resume())

    async def restart(self, name: str, settings: Mapping[str, str] | None = None) -> None:
        """Stop and start a service, with some settings changed."""
        if settings:
            self._service(name).settings.update(settings)
        await self._beside(name, lambda process: process.restart())

    async def run_command(self, name: str, *words: str) -> None:
        """Run another command of a service's program to its end."""
        await asyncio.to_thread(self._service(name).run_command, *words)

    def settings_of(self, name: str) -> Mapping[str, str]:
        """Return a service's settings."""
        return dict(self._service(name).settings)

    def _service(self, name: str) -> Service:
        process = self._stack.processes[name]
        if not isinstance(process, Service):
            raise TypeError(f"{name} takes no settings")
        return process

    def log_of(self, name: str) -> str:
        """Return what a process has logged."""
        return self._stack.home.log_of(name).read_text(errors="replace")

    def logs(self) -> Mapping[str, str]:
        """Return what every process has logged so far."""
        return {log.stem: log.read_text(errors="replace") for log in self._stack.home.log_dir.glob("*.log")}

    def pids(self) -> Mapping[str, int]:
        """Return the process ids of what runs."""
        return {name: process.pid for name, process in self._stack.processes.items() if process.running}

    async def _beside(self, name: str, act: Callable[[Server], None]) -> None:
        await asyncio.to_thread(act, self._stack.processes[name])
