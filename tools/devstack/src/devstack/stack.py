"""All of Holdfast and its servers, running on this machine."""

import secrets
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Self

from devstack.catalogue import Catalogue, create_sample_shop, read_catalogue
from devstack.embedded_postgres import EmbeddedPostgres
from devstack.embedded_valkey import EmbeddedValkey
from devstack.gateway_settings import gateway_settings
from devstack.layout import Home, encryption_keys
from devstack.merged_log import MergedLog
from devstack.ports import LOOPBACK, free_port, is_free
from devstack.processes import ProcessFailed, Server
from devstack.services import CHECKOUT_SESSION, GATEWAY, ORDERS, RECONCILER, SIMULATOR, Service, ServiceKind
from devstack.stack_file import StackFile
from devstack.stack_options import StackOptions, Upstreams
from devstack.stack_tls import StackTls
from devstack.stripe_access import StripeAccess
from devstack.webhook_endpoints import delete_all, register

ORDERS_DATABASE = "orders"
_SEEDS = 2**31
_GATEWAY_ATTEMPTS = 3


def ignore(_line: str) -> None:
    """Discard a progress report."""


class Stack:
    """Starts servers, services, gateways and reconcilers in this order, and stops them in the reverse order."""

    def __init__(
        self,
        home: Home,
        *,
        real_stripe: StripeAccess | None = None,
        options: StackOptions | None = None,
        report: Callable[[str], None] = ignore,
    ) -> None:
        self.home = home
        self.options = options or StackOptions()
        self.postgres = EmbeddedPostgres(home.postgres_dir, durable=self.options.durable, log=home.log_of("postgres"))
        self.valkey = EmbeddedValkey(home.valkey_dir, log=home.log_of("valkey"))
        self.simulator = Service("stripe-simulator", SIMULATOR, home.log_of("stripe-simulator"))
        self.tls = StackTls(home.certs_dir) if self.options.tls else None
        self.checkout_sessions = self._services(
            "checkout-session", self._with_tls_check(CHECKOUT_SESSION), self.options.replicas
        )
        self.orders = self._services("orders", self._with_tls_check(ORDERS), self.options.replicas)
        self.gateways = self._services("gateway", GATEWAY, self.options.gateways)
        self.reconcilers = self._services("reconciler", RECONCILER, self.options.reconcilers)
        self.log = MergedLog({name: home.log_of(name) for name in self.processes}, home.log_dir / "all.log")
        self._simulated = real_stripe is None
        self._simulator_keys = ("", "")
        self._stripe = real_stripe
        self._report = report
        self._webhook_secrets: list[str] = []
        self._catalogue: Catalogue | None = None
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        """Start everything."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything."""
        self.stop()

    @property
    def processes(self) -> dict[str, Server]:
        """All processes by name, in the order of their start."""
        return {
            "postgres": self.postgres,
            "valkey": self.valkey,
            "stripe-simulator": self.simulator,
            **{each.name: each for each in (*self.checkout_sessions, *self.orders, *self.gateways, *self.reconcilers)},
        }

    @property
    def stripe(self) -> StripeAccess:
        """Access to the simulator or to Stripe."""
        if self._stripe is None:
            raise ProcessFailed("the Stripe simulator is not started")
        return self._stripe

    @property
    def catalogue(self) -> Catalogue:
        """Ids of the sample shop."""
        if self._catalogue is None:
            raise ProcessFailed("the catalogue is not read yet")
        return self._catalogue

    @property
    def upstreams(self) -> Upstreams:
        """The real addresses of the gateways' upstreams."""
        return Upstreams(self.stripe.api_base, _grpc_target(self.checkout_sessions), _grpc_target(self.orders))

    @property
    def facts(self) -> StackFile:
        """Content of stack.json."""
        gateways = [f"http://{gateway.address}" for gateway in self.gateways]
        return StackFile(
            shop=f"{gateways[0]}/" if self.options.shop else None,
            gateway=gateways[0],
            gateways=gateways,
            stripe_api=self.stripe.api_base,
            stripe_secret_key=self.stripe.secret_key,
            stripe_publishable_key=self.stripe.publishable_key,
            webhook_secret=self._webhook_secrets[0],
            jwt_secret=self.home.persistent_secret("jwt"),
            postgres=self.postgres.url(ORDERS_DATABASE),
            redis=self.valkey.url,
            checkout_session=self.checkout_sessions[0].address,
            orders=self.orders[0].address,
            pids={name: process.pid for name, process in self.processes.items() if process.running},
        )

    def start(self) -> None:
        """Start everything. Stops what was started and raises if a process does not become ready."""
        self.start_backends()
        self.start_gateways()

    def start_backends(self) -> None:
        """Start all but gateways and reconcilers. Call start_gateways next, perhaps with proxies in between."""
        with self._cleanup_on_failure():
            self._lock_home()
            self._launch_simulator()
            self._start_databases()
            self._launch_services()
            self._await_backends()
            self._read_catalogue()

    def start_gateways(self, upstreams: Upstreams | None = None) -> None:
        """Start gateways and reconcilers, register the webhook endpoints, and write stack.json."""
        with self._cleanup_on_failure():
            self._start_gateways(upstreams or self.upstreams)
            self._start_reconcilers()
            self._cleanup.callback(self.home.stack_file.unlink, missing_ok=True)
            self.facts.write(self.home.stack_file)

    def stop(self) -> None:
        """Stop all processes and unlock the home. Idempotent."""
        self._cleanup.close()

    def _cleanup_on_failure(self) -> ExitStack:
        """Return a context that stops the stack if its block raises."""
        guard = ExitStack()

        def undo(kind: type[BaseException] | None, *_rest: object) -> None:
            if kind is not None:
                self.stop()

        guard.push(undo)
        return guard

    def _lock_home(self) -> None:
        self._cleanup.enter_context(self.home.lock())
        _remove_stale_files(self.home)
        self.log.start()
        self._cleanup.callback(self.log.stop)

    def _start_databases(self) -> None:
        for name, server in (("postgres", self.postgres), ("valkey", self.valkey)):
            self._cleanup.callback(server.stop)
            server.start()
            self._report(f"{name} is ready on {LOOPBACK}:{server.port}")
        if self.tls:
            self._cleanup.enter_context(self.tls.proxies(postgres=self.postgres.port, redis=self.valkey.port))
        self.postgres.ensure_database(ORDERS_DATABASE)

    def _launch_simulator(self) -> None:
        if not self._simulated:
            return
        secret_key, publishable_key = f"sk_test_{secrets.token_hex(16)}", f"pk_test_{secrets.token_hex(16)}"
        seed = secrets.randbelow(_SEEDS) if self.options.seed is None else self.options.seed
        self.simulator.settings["SECRET_KEY"] = secret_key  # not an argument, which every user can read
        words = ("--publishable-key", publishable_key, "--seed", str(seed), "--sample-shop")
        self.simulator.arguments = lambda port: (
            *("--listen", f"{LOOPBACK}:{port}"),
            *words,
            *(() if self.options.rate_limits else ("--no-rate-limits",)),
            *self.options.simulator_arguments,
        )
        self._launch(self.simulator)
        self._simulator_keys = secret_key, publishable_key

    def _launch_services(self) -> None:
        for service in self.checkout_sessions:
            service.settings["ENCRYPTION_KEYS"] = encryption_keys(self.home, "checkout-session")
            service.settings["REDIS_URL"] = self.valkey.url
            service.settings.update(self.tls.checkout_session(self.valkey.url) if self.tls else {})
        for service in self.orders:
            service.settings["ENCRYPTION_KEYS"] = encryption_keys(self.home, "orders")
            service.settings["DATABASE_URL"] = self.postgres.url(ORDERS_DATABASE)
            service.settings.update(self.tls.orders(self.postgres.url(ORDERS_DATABASE)) if self.tls else {})
        self._apply_option_settings(*self.checkout_sessions, *self.orders)
        for service in self.checkout_sessions:
            self._launch(service)
        self.orders[0].run_command("migrate")
        self._report("the orders database is migrated")
        for service in self.orders:
            self._launch(service)

    def _await_backends(self) -> None:
        if self._simulated:
            self._await(self.simulator)
            self._stripe = StripeAccess(f"http://{self.simulator.address}", *self._simulator_keys)
        for service in (*self.checkout_sessions, *self.orders):
            self._await(service)

    def _read_catalogue(self) -> None:
        if self.stripe.is_real:
            create_sample_shop(self.stripe.secret_key, self.home.log_of("sample-shop"))
        self._catalogue = read_catalogue(self.stripe.client())
        self._report(f"the catalogue is at {self.stripe.api_base}")

    def _start_gateways(self, upstreams: Upstreams) -> None:
        for attempt in range(1, _GATEWAY_ATTEMPTS + 1):
            self._choose_gateway_ports()
            self._configure_gateways(upstreams)
            try:
                for gateway in self.gateways:
                    self._launch(gateway)
                for gateway in self.gateways:
                    self._await(gateway)
            except ProcessFailed:
                # Stripe must know the port before the gateway starts. If another process took it, choose again.
                if attempt == _GATEWAY_ATTEMPTS or not self._gateway_port_is_taken():
                    raise
            else:
                return

    def _start_reconcilers(self) -> None:
        """Start them with the settings of the first gateway, of which they use a part."""
        for reconciler in self.reconcilers:
            reconciler.settings.update(self.gateways[0].settings)
            reconciler.arguments = lambda _port: ("reconcile",)
        self._apply_option_settings(*self.reconcilers)
        for reconciler in self.reconcilers:
            self._launch(reconciler)
        for reconciler in self.reconcilers:
            self._await(reconciler)

    def _choose_gateway_ports(self) -> None:
        for gateway in self.gateways:
            gateway.stop()
            gateway.use_port(free_port())
        if self.options.gateway_port is not None:
            self.gateways[0].use_port(self.options.gateway_port)

    def _gateway_port_is_taken(self) -> bool:
        return self.options.gateway_port is None and any(
            not gateway.running and gateway.port is not None and not is_free(gateway.port) for gateway in self.gateways
        )

    def _configure_gateways(self, upstreams: Upstreams) -> None:
        self._webhook_secrets = self._register_webhooks()
        for gateway in self.gateways:
            gateway.settings.update(
                gateway_settings(
                    upstreams,
                    self.stripe,
                    self._webhook_secrets,
                    self.home,
                    rate_limits=self.options.rate_limits,
                    port=gateway.port,
                    shop=self.options.shop,
                )
            )
            if self.options.shop:
                gateway.settings["CUSTOMER_PORTAL_RETURN_URL"] = f"http://{gateway.address}/subscriptions"
            if self.tls:
                gateway.settings.update(self.tls.gateway())
        self._apply_option_settings(*self.gateways)

    def _register_webhooks(self) -> list[str]:
        if not self._simulated:
            return [self.stripe.webhook_secret or ""]
        client = self.stripe.client()
        delete_all(client)
        receivers = self.gateways if self.options.webhook_for_each_gateway else self.gateways[:1]
        balancer = self.options.balancer
        return register(client, [balancer] if balancer else [f"http://{gateway.address}" for gateway in receivers])

    def _apply_option_settings(self, *services: Service) -> None:
        for service in services:
            service.settings.update(self.options.settings.get(service.name, {}))
            service.environment.update(self.options.environment.get(service.name, {}))

    def _services(self, name: str, kind: ServiceKind, count: int) -> list[Service]:
        return [Service(each, kind, self.home.log_of(each)) for each in replica_names(name, count)]

    def _with_tls_check(self, kind: ServiceKind) -> ServiceKind:
        return replace(kind, is_ready=self.tls.is_serving) if self.tls else kind

    def _launch(self, service: Service) -> None:
        self._cleanup.callback(service.stop)
        service.launch()

    def _await(self, service: Service) -> None:
        service.await_ready()
        self._report(f"{service.name} is ready on {service.address}")


def replica_names(name: str, count: int) -> list[str]:
    """Return the names of so many processes of a service: orders, orders-2, ..."""
    return [name, *(f"{name}-{number}" for number in range(2, count + 1))][:count]


def _grpc_target(replicas: Sequence[Service]) -> str:
    """Return the target whose calls are balanced over all of these, whether they run or not."""
    addresses = ",".join(each.address for each in replicas)
    return addresses if len(replicas) == 1 else f"ipv4:///{addresses}"


def _remove_stale_files(home: Home) -> None:
    """Remove stack.json and logs of an earlier run. Its data stays."""
    home.stack_file.unlink(missing_ok=True)
    for log in home.log_dir.glob("*.log"):
        log.unlink()
