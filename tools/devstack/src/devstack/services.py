"""Holdfast's own processes: how each is started and how one knows that it is ready."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from devstack.ports import LOOPBACK, free_port, is_free
from devstack.processes import Child, ProcessFailed, Program, Server
from devstack.readiness import gateway_is_ready, grpc_is_serving, simulator_is_up

READY_SECONDS = 60.0
_PORT_ATTEMPTS = 5


@dataclass(frozen=True)
class ServiceKind:
    """What is the same for every process of a kind."""

    module: str
    environment_prefix: str
    is_ready: Callable[[int], bool]


SIMULATOR = ServiceKind("stripe_simulator", "STRIPE_SIMULATOR_", simulator_is_up)
CHECKOUT_SESSION = ServiceKind("checkout_session", "CHECKOUT_SESSION_", grpc_is_serving)
ORDERS = ServiceKind("orders", "ORDERS_", grpc_is_serving)
GATEWAY = ServiceKind("payments_gateway", "GATEWAY_", gateway_is_ready)


@dataclass
class Service(Server):
    """One service process. It takes a free port at its first start and keeps it."""

    name: str
    kind: ServiceKind
    log: Path
    settings: dict[str, str] = field(default_factory=dict)
    """Environment variables without the kind's prefix; a change counts from the next start."""
    arguments: Callable[[int], Sequence[str]] = lambda _port: ()
    """Command-line arguments for a port; a kind that is told its port by a setting has none."""
    port: int | None = None
    _keeps_port: bool = False

    @property
    def address(self) -> str:
        """Where it listens, host:port."""
        return f"{LOOPBACK}:{self._port_or_raise()}"

    def place(self, port: int) -> None:
        """Say where it must listen, before it is started."""
        self.port = port
        self._keeps_port = True

    def start(self) -> None:
        """Start it, and return when it is ready."""
        self.launch()
        self.await_ready()

    def launch(self) -> None:
        """Start it and return at once. It is of no use before await_ready has returned."""
        self._refuse_if_running()
        if not self._keeps_port:
            self.port = free_port()
        port = self._port_or_raise()
        self._spawn(self._program(port, self.arguments(port), self.log))

    def await_ready(self) -> None:
        """Return when it is ready. At its first start, move it to another port if somebody else took this one."""
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            port = self._port_or_raise()
            try:
                self._started().wait_until(partial(self.kind.is_ready, port), seconds=READY_SECONDS)
            except ProcessFailed:
                self.kill()
                # Our process is gone: if the port is taken now, somebody was faster.
                if self._keeps_port or attempt == _PORT_ATTEMPTS or is_free(port):
                    raise
                self.launch()
            else:
                self._keeps_port = True
                return

    def run_command(self, *words: str, seconds: float = READY_SECONDS) -> None:
        """Run another command of the same program, with the same settings, to its end."""
        child = Child(self._program(0, words, self.log.with_name(f"{self.name}-{words[0]}.log")))
        child.start()
        child.wait_end(seconds=seconds)

    def _port_or_raise(self) -> int:
        if self.port is None:
            raise ProcessFailed(f"{self.name} is not started")
        return self.port

    def _program(self, port: int, arguments: Sequence[str], log: Path) -> Program:
        settings = {"LISTEN": f"{LOOPBACK}:{port}", "ENVIRONMENT": "development", **self.settings}
        return Program(
            name=self.name,
            # -P: a folder named like a service, where we happen to stand, is not the service.
            command=[sys.executable, "-P", "-m", self.kind.module, *arguments],
            log=log,
            environment=_environment(self.kind.environment_prefix, settings),
        )


def _environment(prefix: str, settings: Mapping[str, str]) -> dict[str, str]:
    """Return the caller's environment without a proxy for loopback, and with these settings."""
    return {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": LOOPBACK,
        "no_proxy": LOOPBACK,
        **{f"{prefix}{name}": value for name, value in settings.items()},
    }
