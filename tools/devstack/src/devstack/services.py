"""Holdfast's own processes: the start of each kind, and its readiness check."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from devstack.ports import LOOPBACK, free_port, is_free
from devstack.processes import Child, ProcessFailed, Program, Server
from devstack.readiness import gateway_is_ready, grpc_is_serving, simulator_is_ready

READY_SECONDS: Final = 60.0
_PORT_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class ServiceKind:
    """Module, prefix of settings and readiness check, which all processes of a kind share."""

    module: str
    environment_prefix: str
    is_ready: Callable[[int], bool]
    listen_setting: str = "LISTEN"
    """Setting that holds the address of its server, without the prefix."""


SIMULATOR: Final = ServiceKind("stripe_simulator", "STRIPE_SIMULATOR_", simulator_is_ready)
CHECKOUT_SESSION: Final = ServiceKind("checkout_session", "CHECKOUT_SESSION_", grpc_is_serving)
ORDERS: Final = ServiceKind("orders", "ORDERS_", grpc_is_serving)
GATEWAY: Final = ServiceKind("payments_gateway", "GATEWAY_", gateway_is_ready)
RECONCILER: Final = ServiceKind("payments_gateway", "GATEWAY_", gateway_is_ready, "RECONCILE_LISTEN")


@dataclass
class Service(Server):
    """One service process. It takes a free port at its first start and keeps it."""

    name: str
    kind: ServiceKind
    log: Path
    settings: dict[str, str] = field(default_factory=dict)
    """Environment variables without the kind's prefix. A change applies from the next start."""
    environment: dict[str, str] = field(default_factory=dict)
    """Other environment variables."""
    arguments: Callable[[int], Sequence[str]] = lambda _port: ()
    """Command-line arguments for a port."""
    port: int | None = None
    _port_is_fixed: bool = False

    @property
    def address(self) -> str:
        """Its address, host:port."""
        return f"{LOOPBACK}:{self._port_or_raise()}"

    def use_port(self, port: int) -> None:
        """Fix its port before the start."""
        self.port = port
        self._port_is_fixed = True

    def start(self) -> None:
        """Start it and return when it is ready."""
        self.launch()
        self.await_ready()

    def launch(self) -> None:
        """Start it and return at once. Call await_ready before using it."""
        if not self._port_is_fixed:
            self.port = free_port()
        port = self._port_or_raise()
        self._spawn(self._program(port, self.arguments(port), self.log))

    def await_ready(self) -> None:
        """Wait until it is ready. At the first start, try another port if another process took this one."""
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            port = self._port_or_raise()
            try:
                self._started().wait_until(partial(self.kind.is_ready, port), seconds=READY_SECONDS)
            except ProcessFailed:
                self.kill()
                # Our process is gone, so if the port is in use now, another process has it.
                if self._port_is_fixed or attempt == _PORT_ATTEMPTS or is_free(port):
                    raise
                self.launch()
            else:
                self._port_is_fixed = True
                return

    def run_command(self, *words: str, seconds: float = READY_SECONDS) -> None:
        """Run another command of the same program with the same settings, and wait for its end."""
        child = Child(self._program(0, words, self.log.with_name(f"{self.name}-{words[0]}.log")))
        child.start()
        child.wait_for_success(seconds=seconds)

    def _port_or_raise(self) -> int:
        if self.port is None:
            raise ProcessFailed(f"{self.name} is not started")
        return self.port

    def _program(self, port: int, arguments: Sequence[str], log: Path) -> Program:
        settings = {self.kind.listen_setting: f"{LOOPBACK}:{port}", "ENVIRONMENT": "development", **self.settings}
        return Program(
            name=self.name,
            # -P: a folder in the working directory that is named like a service must not be imported.
            command=[sys.executable, "-P", "-m", self.kind.module, *arguments],
            log=log,
            environment=_environment(self.kind.environment_prefix, settings) | self.environment,
        )


def _environment(prefix: str, settings: Mapping[str, str]) -> dict[str, str]:
    """Return our environment with these settings, and without a proxy for loopback."""
    return {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": LOOPBACK,
        "no_proxy": LOOPBACK,
        **{f"{prefix}{name}": value for name, value in settings.items()},
    }
