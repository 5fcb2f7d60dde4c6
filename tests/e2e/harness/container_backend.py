"""The system in containers: the images of `make images`, redis:8 and postgres:17, in a network of their own.

Every container is published on a loopback port that does not change. Proxies listen in the test's process on this
machine's address in that network.
"""

import asyncio
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from devstack.catalogue import Catalogue, read_catalogue
from devstack.gateway_settings import gateway_settings
from devstack.layout import Home, encryption_keys
from devstack.ports import LOOPBACK
from devstack.services import CHECKOUT_SESSION, GATEWAY, ORDERS, RECONCILER, SIMULATOR, ServiceKind
from devstack.stack import ORDERS_DATABASE, replica_names
from devstack.stack_options import StackOptions, Upstreams
from devstack.stripe_access import StripeAccess
from devstack.webhook_endpoints import delete_all, register
from tests.containers.container import Container, ContainerFailed, Recipe
from tests.containers.network import HostNetwork
from tests.containers.postgres import ContainerPostgres
from tests.containers.redis import ContainerRedis

from .backend import QUICK_WEBHOOKS, Addresses, Backend

INSIDE_PORT: Final = 8080
_TAG: Final = os.environ.get("HOLDFAST_IMAGE_TAG") or "dev"


@dataclass(frozen=True)
class BuiltImage:
    """An image of `make images`."""

    program: str
    """The name of the image and of its command."""
    kind: ServiceKind

    @property
    def image(self) -> str:
        """The name with its tag."""
        return f"holdfast/{self.program}:{_TAG}"


_IMAGES: Final = {
    "stripe-simulator": BuiltImage("stripe-simulator", SIMULATOR),
    "checkout-session": BuiltImage("checkout-session", CHECKOUT_SESSION),
    "orders": BuiltImage("orders", ORDERS),
}
_GATEWAY: Final = BuiltImage("payments-gateway", GATEWAY)
_RECONCILER: Final = BuiltImage("payments-gateway", RECONCILER)


class ContainerBackend(Backend):
    """Containers on this machine's Docker engine. Secrets are kept in `folder`; `options.durable` has no effect."""

    def __init__(self, folder: Path, options: StackOptions) -> None:
        self._options = replace(options, rate_limits=False)
        self._home = Home(folder)
        self._network = HostNetwork()
        self._settings: dict[str, dict[str, str]] = {}
        self._arguments: dict[str, Sequence[str]] = {}
        self._containers: dict[str, Container] = {}
        self._logs_of_commands: dict[str, str] = {}
        self._simulators_keys = f"sk_test_{secrets.token_hex(16)}", f"pk_test_{secrets.token_hex(16)}"
        self._webhook_secrets: list[str] = []
        self._catalogue: Catalogue | None = None

    @property
    def host(self) -> str:
        """This machine's address in the containers' network."""
        return self._network.host

    @property
    def upstreams(self) -> Upstreams:
        """The published addresses of the gateways' upstreams."""
        return Upstreams(
            f"http://{self._published('stripe-simulator')}",
            self._published("checkout-session"),
            self._published("orders"),
        )

    @property
    def addresses(self) -> Addresses:
        """The published addresses."""
        upstreams = self.upstreams
        return Addresses(
            gateways=tuple(f"http://{self._published(name)}" for name in self._gateway_names),
            stripe_api=upstreams.stripe_api,
            checkout_session=upstreams.checkout_session,
            orders=upstreams.orders,
            postgres=self._postgres.url(ORDERS_DATABASE),
            redis=self._redis.url,
            stripe_secret_key=self._simulators_keys[0],
            stripe_publishable_key=self._simulators_keys[1],
            webhook_secret=self._webhook_secrets[0],
            jwt_secret=self._home.persistent_secret("jwt"),
        )

    @property
    def catalogue(self) -> Catalogue:
        """The sample shop's catalogue."""
        if self._catalogue is None:
            raise ContainerFailed("the catalogue is not read yet")
        return self._catalogue

    async def start_backends(self) -> None:
        """Start everything but the gateways."""
        self._home.root.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(self._network.create)
        self._add_stores()
        self._add_simulator()
        await self._start_together("postgres", "valkey", "stripe-simulator")
        await asyncio.to_thread(self._postgres.create_database, ORDERS_DATABASE)
        self._add_services()
        await self.run_command("orders", "migrate")
        await self._start_together("checkout-session", "orders")
        self._catalogue = await asyncio.to_thread(read_catalogue, self._stripe.client())

    async def start_gateways(self, upstreams: Upstreams) -> None:
        """Start gateways and reconcilers with these upstreams."""
        self._webhook_secrets = await asyncio.to_thread(self._registered_webhooks)
        settings = gateway_settings(
            self._inside_addresses(upstreams), self._stripe, self._webhook_secrets, self._home, rate_limits=False
        )
        for name in self._gateway_names:
            self._add(name, settings)
        await self._start_together(*self._gateway_names)
        for name in replica_names("reconciler", self._options.reconcilers):
            self._arguments[name] = ("reconcile",)
            self._add(name, settings)
        await self._start_together(*replica_names("reconciler", self._options.reconcilers))

    async def stop_all(self) -> None:
        """Remove every container with its data, and the network."""
        await asyncio.gather(*(asyncio.to_thread(each.remove) for each in self._containers.values()))
        await asyncio.to_thread(self._network.remove)

    def process(self, name: str) -> Container:
        """Return a container."""
        return self._containers[name]

    async def restart(self, name: str, settings: Mapping[str, str] | None = None) -> None:
        """Restart a service, in another container if its settings change."""
        await self.stop(name)
        if settings:
            self._settings[name].update(settings)
            await asyncio.to_thread(self._containers[name].become, self._recipe(name))
        await self.start(name)

    async def run_command(self, name: str, *words: str) -> None:
        """Run another command of a service's program in a container of its own."""
        alone = replace(self._recipe(name), command=words, inside_port=None, alias=f"{name}-{words[0]}")
        await asyncio.to_thread(self._run_to_end, Container(alone, lambda _port: True))

    def settings_of(self, name: str) -> Mapping[str, str]:
        """Return a service's settings."""
        return dict(self._settings[name])

    def log_of(self, name: str) -> str:
        """Return the log of a container and of those that it replaced."""
        return self._containers[name].logs()

    def logs(self) -> Mapping[str, str]:
        """Return the logs of all containers."""
        return {name: container.logs() for name, container in self._containers.items()} | self._logs_of_commands

    def pids(self) -> Mapping[str, int]:
        """Return the ids of the running processes on this machine."""
        found = {name: container.pid for name, container in self._containers.items()}
        return {name: pid for name, pid in found.items() if pid is not None}

    @property
    def _gateway_names(self) -> list[str]:
        return ["gateway", *(f"gateway-{number}" for number in range(2, self._options.gateways + 1))]

    @property
    def _stripe(self) -> StripeAccess:
        return StripeAccess(self.upstreams.stripe_api, *self._simulators_keys)

    def _add_stores(self) -> None:
        self._postgres = ContainerPostgres(network=self._network.made, alias="postgres")
        self._redis = ContainerRedis(appendonly=True, network=self._network.made, alias="valkey")
        self._containers.update(postgres=self._postgres, valkey=self._redis)

    def _add_simulator(self) -> None:
        secret_key, publishable_key = self._simulators_keys
        seed = 1 if self._options.seed is None else self._options.seed  # its data is new each time, so any will do
        self._arguments["stripe-simulator"] = (
            *(
                "--listen",
                f"0.0.0.0:{INSIDE_PORT}",
                "--publishable-key",
                publishable_key,
                "--seed",
                str(seed),
                "--sample-shop",
                "--no-rate-limits",
            ),
            *QUICK_WEBHOOKS,
            *self._options.simulator_arguments,
        )
        self._add("stripe-simulator", {"SECRET_KEY": secret_key})

    def _add_services(self) -> None:
        keys = {name: {"ENCRYPTION_KEYS": encryption_keys(self._home, name)} for name in ("checkout-session", "orders")}
        self._add("checkout-session", keys["checkout-session"] | {"REDIS_URL": self._redis.inside_url})
        self._add("orders", keys["orders"] | {"DATABASE_URL": self._postgres.inside_url(ORDERS_DATABASE)})

    def _add(self, name: str, settings: Mapping[str, str]) -> None:
        self._settings[name] = {**settings, **self._options.settings.get(name, {})}
        self._containers[name] = Container(self._recipe(name), _built(name).kind.is_ready)

    def _recipe(self, name: str) -> Recipe:
        built = _built(name)
        settings = {
            built.kind.listen_setting: f"0.0.0.0:{INSIDE_PORT}",
            "ENVIRONMENT": "development",
            **self._settings[name],
        }
        return Recipe(
            image=built.image,
            program=built.program,
            command=self._arguments.get(name, ()),
            inside_port=INSIDE_PORT,
            environment={f"{built.kind.environment_prefix}{each}": value for each, value in settings.items()},
            network=self._network.made,
            alias=name,
            hardened=True,
        )

    def _inside_addresses(self, upstreams: Upstreams) -> Upstreams:
        """Return the addresses inside the network; published ports are reachable from this machine alone."""
        real = self.upstreams
        inside = {
            real.stripe_api: f"http://stripe-simulator:{INSIDE_PORT}",
            real.checkout_session: f"checkout-session:{INSIDE_PORT}",
            real.orders: f"orders:{INSIDE_PORT}",
        }
        addresses = (upstreams.stripe_api, upstreams.checkout_session, upstreams.orders)
        return Upstreams(*(inside.get(address, address) for address in addresses))

    def _registered_webhooks(self) -> list[str]:
        client = self._stripe.client()
        delete_all(client)
        notified = self._gateway_names if self._options.webhook_for_each_gateway else self._gateway_names[:1]
        return register(client, [f"http://{name}:{INSIDE_PORT}" for name in notified])

    def _run_to_end(self, command: Container) -> None:
        try:
            command.launch()
            code = command.wait_end()
            self._logs_of_commands[command.recipe.alias] = command.logs()
        finally:
            command.remove()
        if code:
            raise ContainerFailed(f"{command.recipe.alias} ended with {code}:\n{command.logs()}")

    async def _start_together(self, *names: str) -> None:
        await asyncio.gather(*(self.start(name) for name in names))

    def _published(self, name: str) -> str:
        return f"{LOOPBACK}:{self._containers[name].port}"


def _built(name: str) -> BuiltImage:
    return _IMAGES.get(name, _RECONCILER if name.startswith("reconciler") else _GATEWAY)
