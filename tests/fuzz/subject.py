"""The running system, for code that knows no event loop."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import grpc

from devstack.layout import Home
from devstack.services import SIMULATOR, Service
from devstack.stack_file import StackFile
from devstack.stack_options import StackOptions
from tests.e2e.harness.backend import Addresses
from tests.e2e.harness.shop import Checkout
from tests.e2e.harness.system import System, running_system

T = TypeVar("T")

USER: Final = "user-fuzz"
_START_SECONDS: Final = 180.0
_CARTS: Final = 4
_SETTINGS: Final = {"gateway": {"STRIPE_REQUESTS_PER_SECOND": "10000"}}
"""A flood from one address must get through to the code behind the limits."""


class LoopThread:
    """An event loop in a thread of its own, for what only speaks asyncio."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fuzz-loop", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], *, seconds: float = _START_SECONDS) -> T:
        """Run a coroutine there and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def close(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@dataclass(frozen=True)
class Subject:
    """Everything that is sent hostile input, and what is needed to look behind it."""

    system: System
    loop: LoopThread
    home: Home
    spare_stripe: Service
    """A simulator that no gateway talks to: what is made there changes nothing elsewhere."""
    session_channel: grpc.Channel
    orders_channel: grpc.Channel
    open_checkouts: tuple[Checkout, ...]
    """Begun by a guest and not paid."""
    member_token: str
    """Of a signed-in user."""

    @property
    def addresses(self) -> Addresses:
        """Where everything listens."""
        return self.system.backend.addresses

    @property
    def gateway(self) -> str:
        """The gateway's host:port."""
        return self.addresses.gateways[0].removeprefix("http://")

    @property
    def pids(self) -> Mapping[str, int]:
        """Our own processes by name; the databases and the simulator, which keep everything, are left out."""
        pids = StackFile.read(self.home.stack_file).pids
        return {name: pids[name] for name in ("checkout-session", "orders", "gateway")}

    @property
    def logs(self) -> Mapping[str, Path]:
        """Log files by process name."""
        names = ("checkout-session", "orders", "gateway", "stripe-simulator")
        return {name: self.home.log_of(name) for name in names} | {"spare-simulator": self.spare_stripe.log}


@contextmanager
def running_subject(folder: Path) -> Iterator[Subject]:
    """Run the system with a spare simulator beside it, and leave nothing behind."""
    with ExitStack() as running:
        loop = LoopThread()
        running.callback(loop.close)
        options = StackOptions(durable=False, seed=1, settings=_SETTINGS)
        context = running_system(folder, options=options, embedded=True)
        system = loop.run(context.__aenter__())
        running.callback(lambda: loop.run(context.__aexit__(None, None, None)))
        addresses = system.backend.addresses
        yield Subject(
            system=system,
            loop=loop,
            home=Home(folder),
            spare_stripe=_spare_simulator(folder, running),
            session_channel=running.enter_context(grpc.insecure_channel(addresses.checkout_session)),
            orders_channel=running.enter_context(grpc.insecure_channel(addresses.orders)),
            open_checkouts=loop.run(_checkouts(system)),
            member_token=loop.run(_token(system)),
        )


def _spare_simulator(folder: Path, running: ExitStack) -> Service:
    log = folder / "log" / "spare-simulator.log"
    simulator = Service("spare-simulator", SIMULATOR, log)
    simulator.arguments = lambda port: ("--listen", f"127.0.0.1:{port}", "--seed", "1")
    running.callback(simulator.stop)
    simulator.start()
    return simulator


async def _checkouts(system: System) -> tuple[Checkout, ...]:
    async with system.shop() as shop:
        return tuple([await shop.checkout(system.cart(mug=number)) for number in range(1, _CARTS + 1)])


async def _token(system: System) -> str:
    async with system.shop() as shop:
        return shop.token(USER, exp=2**33)
