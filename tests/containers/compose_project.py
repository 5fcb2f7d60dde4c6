"""The composed system under a name of its own, at free ports, as somebody who tries it out would start it."""

import json
import os
import secrets
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from devstack.ports import LOOPBACK, free_port

from .leftovers import keep_no_longer, remove_at_exit

ROOT: Final = Path(__file__).parent.parent.parent
SECRET_KEY: Final = "sk_test_not-for-production"
PUBLISHABLE_KEY: Final = "pk_test_not-for-production"
_OF_DEVELOPERS: Final = (
    *("CHECKOUT_SESSION_", "COMPOSE_", "GATEWAY_", "ORDERS_", "POSTGRES_", "REDIS_", "STRIPE_"),
    *("HOLDFAST_ALLOW_PLAINTEXT", "HOLDFAST_ENVIRONMENT", "HOLDFAST_LOG_LEVEL"),
)
_UP_SECONDS: Final = 300
_POLL_SECONDS: Final = 0.1
_OF_PROJECT: Final = "label=com.docker.compose.project="


class ComposeFailed(AssertionError):
    """Compose said no; the message is what it said."""


class ComposeProject:
    """`docker compose` in this checkout, with another project name and other ports than anybody else's."""

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        """Tell it what an .env would tell; nothing is what a newcomer has."""
        self.name = f"holdfast-test-{secrets.token_hex(4)}"
        self._ports = {"GATEWAY_PORT": str(free_port()), "STRIPE_SIMULATOR_PORT": str(free_port())}
        self.settings = dict(settings or {})
        """What an .env would tell; it counts from the next command on."""

    def __enter__(self) -> Self:
        """Do nothing yet."""
        remove_at_exit(self, self.down)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove everything of this name."""
        self.down()
        keep_no_longer(self)

    @property
    def gateway(self) -> str:
        """The published address of the gateway."""
        return f"http://{LOOPBACK}:{self._ports['GATEWAY_PORT']}"

    @property
    def stripe_api(self) -> str:
        """The published address of the simulator."""
        return f"http://{LOOPBACK}:{self._ports['STRIPE_SIMULATOR_PORT']}"

    def up(self, *services: str) -> None:
        """Start everything, or some of it, and return when it is healthy."""
        self.compose("up", "--wait", "--no-build", *services)

    def down(self) -> None:
        """Remove containers, networks and volumes."""
        self.compose("down", "--volumes", "--timeout=20")

    def compose(self, *words: str) -> str:
        """Run a command of Compose and return what it prints. Raises ComposeFailed."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OF_DEVELOPERS)}
        environment = {**inherited, **self._ports, **self.settings}
        ended = subprocess.run(
            # Without the .env of whoever runs the tests.
            ["docker", "compose", "--ansi=never", "--env-file=/dev/null", f"--project-name={self.name}", *words],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_UP_SECONDS,
            check=False,
        )
        if ended.returncode:
            raise ComposeFailed(f"docker compose {' '.join(words)}:\n{ended.stdout}{ended.stderr[-3000:]}")
        return ended.stdout

    def inspect(self, service: str) -> Any:
        """Return everything that Docker knows of a service's container."""
        container = self.compose("ps", "--all", "--quiet", service).strip()
        return json.loads(docker("inspect", container))[0]

    def until_healthy(self, service: str, *, seconds: float = 90) -> None:
        """Wait until a service's container says that it is well."""
        deadline = time.monotonic() + seconds
        while self.inspect(service)["State"]["Health"]["Status"] != "healthy":
            if time.monotonic() > deadline:
                raise ComposeFailed(f"{service} is not healthy after {seconds:g} s:\n{self.compose('logs', service)}")
            time.sleep(_POLL_SECONDS)

    def sql(self, query: str) -> Any:
        """Return one JSON value from the orders database."""
        words = ("psql", "--username=orders", "--dbname=orders", "--tuples-only", "--no-align", f"--command={query}")
        return json.loads(self.compose("exec", "-T", "postgres", *words))

    def left(self) -> list[str]:
        """Return the containers, networks and volumes of this name."""
        mine = f"--filter={_OF_PROJECT}{self.name}"
        return [
            *docker("ps", "--all", "--quiet", mine).split(),
            *docker("network", "ls", "--quiet", mine).split(),
            *docker("volume", "ls", "--quiet", mine).split(),
        ]


def docker(*words: str) -> str:
    """Run a command of Docker and return what it prints. Raises ComposeFailed."""
    ended = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=_UP_SECONDS, check=False)
    if ended.returncode:
        raise ComposeFailed(f"docker {' '.join(words)}: {ended.stderr[-3000:]}")
    return ended.stdout
