"""The whole system for a test: processes, faults between them, users and operators."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import stripe

from devstack.stack_options import StackOptions, Upstreams
from tests.containers.choice import on_containers

from .backend import Backend, EmbeddedBackend
from .checkpoint import Call
from .grpc_proxy import GrpcProxy
from .http_proxy import HttpProxy
from .operators import AttemptStore, Books, merchant
from .records import Records
from .shop import Cart, Line, Shop


@dataclass(frozen=True)
class Proxies:
    """What stands between the gateways and their upstreams."""

    stripe_api: HttpProxy
    checkout_session: GrpcProxy
    orders: GrpcProxy

    @property
    def calls(self) -> list[Call]:
        """Every call that the gateways made, by upstream and then in order."""
        return [call for proxy in self._all for call in proxy.checkpoint.calls]

    @property
    def roads(self) -> set[str]:
        """Every road that the gateways used."""
        return {call.road for call in self.calls}

    def forget_calls(self) -> None:
        """Begin a new record."""
        for proxy in self._all:
            proxy.checkpoint.forget_calls()

    def disarm(self) -> None:
        """Remove every trap; calls that are held go on."""
        for proxy in self._all:
            proxy.checkpoint.disarm()

    def on(self, road: str) -> HttpProxy | GrpcProxy:
        """Return the proxy that a road leads through."""
        if not road.startswith("/"):
            return self.stripe_api
        return self.checkout_session if ".session." in road else self.orders

    @property
    def _all(self) -> tuple[HttpProxy | GrpcProxy, ...]:
        return (self.stripe_api, self.checkout_session, self.orders)


@dataclass(frozen=True)
class System:
    """Everything that a test may touch."""

    backend: Backend
    proxies: Proxies | None
    books: Books
    attempts: AttemptStore
    stripe: stripe.StripeClient
    records: Records

    @property
    def faults(self) -> Proxies:
        """The proxies; raises when the system runs without."""
        if self.proxies is None:
            raise LookupError("this system runs without proxies")
        return self.proxies

    def shop(self, *, user_id: str | None = None, gateway: int = 0) -> Shop:
        """Open a shop in front of one of the gateways. Use it in `async with`."""
        addresses = self.backend.addresses
        return Shop(
            gateway=addresses.gateways[gateway],
            stripe_api=addresses.stripe_api,
            publishable_key=addresses.stripe_publishable_key,
            jwt_secret=addresses.jwt_secret,
            user_id=user_id,
        )

    def cart(self, **quantities: int) -> Cart:
        """Fill a cart from the seeded catalogue, by ware, with standard shipping: `cart(mug=2)`."""
        catalogue = self.backend.catalogue
        lines = [Line(catalogue.prices[ware], quantity) for ware, quantity in quantities.items()]
        return Cart(lines, shipping_option_id=catalogue.shipping_rates["standard"])


@asynccontextmanager
async def running_system(
    folder: Path,
    *,
    options: StackOptions | None = None,
    with_proxies: bool = False,
    straight_to_stripe: bool = False,
    embedded: bool = False,
) -> AsyncIterator[System]:
    """Run the system on the servers that are asked for, and leave no process and no data behind.

    straight_to_stripe leaves out the proxy in front of Stripe, which would make one of every way an answer can break.
    embedded is for who needs to look at the processes and files of this machine, whatever is asked for.
    """
    options = options or StackOptions(durable=False)
    backend = EmbeddedBackend(folder, options) if embedded or not on_containers() else _containers(folder, options)
    async with AsyncExitStack() as running:
        running.push_async_callback(backend.stop_all)
        await backend.start_backends()
        proxies = await _proxies(backend, running) if with_proxies else None
        await backend.start_gateways(_as_seen_by_gateways(backend.upstreams, proxies, straight=straight_to_stripe))
        addresses = backend.addresses
        merchants_view = merchant(addresses.stripe_api, addresses.stripe_secret_key)
        yield System(
            backend=backend,
            proxies=proxies,
            books=await running.enter_async_context(Books(addresses.postgres)),
            attempts=await running.enter_async_context(AttemptStore(addresses.redis)),
            stripe=await running.enter_async_context(merchants_view),
            records=await running.enter_async_context(Records(addresses.checkout_session, addresses.orders)),
        )


def _containers(folder: Path, options: StackOptions) -> Backend:
    from .container_backend import ContainerBackend  # noqa: PLC0415 - who runs embedded needs no Docker client

    return ContainerBackend(folder, options)


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
