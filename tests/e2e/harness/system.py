"""The whole system for a test: processes, proxies between them, clients and databases."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import stripe

from devstack.stack_options import StackOptions, Upstreams
from devstack.stripe_access import StripeAccess
from tests.containers.choice import on_containers

from .backend import Backend, EmbeddedBackend
from .grpc_proxy import GrpcProxy
from .http_proxy import HttpProxy
from .interceptor import Breakpoint, Moment, ObservedCall
from .rpc_reader import RpcReader
from .shop import Cart, Line, Shop
from .stores import AttemptStore, OrdersDb

Redirect = Callable[[Upstreams, str], Awaitable[Upstreams]]
"""Returns other upstreams for the gateways, given the real ones and the address of this machine to listen on."""


@dataclass(frozen=True)
class Proxies:
    """The proxies between the gateways and their upstreams."""

    stripe_api: HttpProxy
    checkout_session: GrpcProxy
    orders: GrpcProxy

    @property
    def calls(self) -> list[ObservedCall]:
        """Every recorded call, by upstream and then in order."""
        return [call for proxy in self._all for call in proxy.interceptor.calls]

    @property
    def call_names(self) -> set[str]:
        """The names of the recorded calls."""
        return {call.name for call in self.calls}

    def clear_calls(self) -> None:
        """Forget the recorded calls."""
        for proxy in self._all:
            proxy.interceptor.calls.clear()

    def reset(self) -> None:
        """Remove every breakpoint and fault; held calls go on."""
        for proxy in self._all:
            proxy.interceptor.reset()

    def on(self, call: str) -> HttpProxy | GrpcProxy:
        """Return the proxy that a call passes through."""
        if not call.startswith("/"):
            return self.stripe_api
        return self.checkout_session if ".session." in call else self.orders

    def break_before(self, call: str) -> Breakpoint:
        """Hold the next call of this name before it is forwarded."""
        return self.on(call).interceptor.break_at(call, Moment.BEFORE_EFFECT)

    def break_after(self, call: str) -> Breakpoint:
        """Hold the answer to the next call of this name."""
        return self.on(call).interceptor.break_at(call, Moment.AFTER_EFFECT)

    @property
    def _all(self) -> tuple[HttpProxy | GrpcProxy, ...]:
        return (self.stripe_api, self.checkout_session, self.orders)


@dataclass(frozen=True)
class System:
    """Everything that a test may touch."""

    backend: Backend
    optional_proxies: Proxies | None
    orders_db: OrdersDb
    attempt_store: AttemptStore
    stripe: stripe.StripeClient
    """Stripe's library with the merchant's secret key."""
    rpc: RpcReader

    @property
    def proxies(self) -> Proxies:
        """The proxies; raises LookupError when the system runs without them."""
        if self.optional_proxies is None:
            raise LookupError("this system runs without proxies")
        return self.optional_proxies

    def shop(self, *, user_id: str | None = None, gateway: int = 0) -> Shop:
        """Return the frontend of a user or guest at one of the gateways. Use it in `async with`."""
        addresses = self.backend.addresses
        return Shop(
            gateway=addresses.gateways[gateway],
            stripe_api=addresses.stripe_api,
            publishable_key=addresses.stripe_publishable_key,
            jwt_secret=addresses.jwt_secret,
            user_id=user_id,
        )

    def cart(self, **quantities: int) -> Cart:
        """Return a cart of the sample shop's products with standard shipping: `cart(mug=2)`."""
        catalogue = self.backend.catalogue
        lines = [Line(catalogue.prices[product], quantity) for product, quantity in quantities.items()]
        return Cart(lines, shipping_option_id=catalogue.shipping_rates["standard"])


@asynccontextmanager
async def running_system(
    folder: Path,
    *,
    options: StackOptions | None = None,
    with_proxies: bool = False,
    straight_to_stripe: bool = False,
    embedded: bool = False,
    account: StripeAccess | None = None,
    redirect: Redirect | None = None,
) -> AsyncIterator[System]:
    """Run the system on embedded servers or containers, and remove all of it at the end.

    `straight_to_stripe` leaves out the proxy before Stripe, which would hide the differences between broken answers.
    `redirect` gives the gateways other upstreams, such as proxies of the test's own.
    `embedded` ignores HOLDFAST_TEST_SERVERS, for tests that read the processes and files of this machine. With an
    `account`, embedded servers share the simulator of another system.
    """
    options = options or StackOptions(durable=False)
    is_embedded = embedded or account is not None or not on_containers()
    backend = EmbeddedBackend(folder, options, account) if is_embedded else _containers(folder, options)
    async with AsyncExitStack() as running:
        running.push_async_callback(backend.stop_all)
        await backend.start_backends()
        proxies = await _proxies(backend, running) if with_proxies else None
        upstreams = _as_seen_by_gateways(backend.upstreams, proxies, straight=straight_to_stripe)
        await backend.start_gateways(await redirect(upstreams, backend.host) if redirect else upstreams)
        addresses = backend.addresses
        yield System(
            backend=backend,
            optional_proxies=proxies,
            orders_db=await running.enter_async_context(OrdersDb(addresses.postgres)),
            attempt_store=await running.enter_async_context(AttemptStore(addresses.redis, addresses.gateways)),
            stripe=await running.enter_async_context(_merchant(addresses.stripe_api, addresses.stripe_secret_key)),
            rpc=await running.enter_async_context(RpcReader(addresses.checkout_session, addresses.orders)),
        )


def _containers(folder: Path, options: StackOptions) -> Backend:
    from .container_backend import ContainerBackend  # noqa: PLC0415 - embedded runs need no Docker client

    return ContainerBackend(folder, options)


@asynccontextmanager
async def _merchant(stripe_api: str, secret_key: str) -> AsyncIterator[stripe.StripeClient]:
    stripe.enable_telemetry = False
    http_client: Any = stripe.AIOHTTPClient()
    try:
        yield stripe.StripeClient(
            secret_key, base_addresses={"api": stripe_api}, http_client=http_client, max_network_retries=0
        )
    finally:
        await http_client.close_async()


async def _proxies(backend: Backend, running: AsyncExitStack) -> Proxies:
    upstreams, host = backend.upstreams, backend.host
    return Proxies(
        stripe_api=await running.enter_async_context(HttpProxy(upstreams.stripe_api, host=host)),
        checkout_session=await running.enter_async_context(GrpcProxy(upstreams.checkout_session, host=host)),
        orders=await running.enter_async_context(GrpcProxy(upstreams.orders, host=host)),
    )


def _as_seen_by_gateways(upstreams: Upstreams, proxies: Proxies | None, *, straight: bool) -> Upstreams:
    if proxies is None:
        return upstreams
    stripe_api = upstreams.stripe_api if straight else proxies.stripe_api.url
    return Upstreams(stripe_api, proxies.checkout_session.address, proxies.orders.address)
