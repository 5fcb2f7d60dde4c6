"""The system of docker-compose.yml, with its own project name and free ports."""

import json
import os
import secrets
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

from devstack.ports import LOOPBACK, free_port

from .leftovers import is_removed, remove_at_exit

ROOT: Final = Path(__file__).parent.parent.parent
SECRET_KEY: Final = "sk_test_not-for-production"
PUBLISHABLE_KEY: Final = "pk_test_not-for-production"
_PROJECT_VARIABLES: Final = (
    *("CHECKOUT_SESSION_", "COMPOSE_", "GATEWAY_", "ORDERS_", "POSTGRES_", "REDIS_", "STRIPE_"),
    *("HOLDFAST_ALLOW_PLAINTEXT", "HOLDFAST_ENVIRONMENT", "HOLDFAST_LOG_LEVEL"),
)
_UP_SECONDS: Final = 300
_POLL_SECONDS: Final = 0.1
_OF_PROJECT: Final = "label=com.docker.compose.project="


class ComposeFailed(AssertionError):
    """A docker command failed; the message contains its output."""


class ComposeProject:
    """`docker compose` in this checkout. `settings` stand for an .env file; they may change between commands."""

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self.name = f"holdfast-test-{secrets.token_hex(4)}"
        self._ports = {"GATEWAY_PORT": str(free_port()), "STRIPE_SIMULATOR_PORT": str(free_port())}
        self.settings = dict(settings or {})

    def __enter__(self) -> Self:
        """Start nothing yet."""
        remove_at_exit(self, self.down)
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the project."""
        self.down()
        is_removed(self)

    @property
    def gateway(self) -> str:
        """The published address of the gateway."""
        return f"http://{LOOPBACK}:{self._ports['GATEWAY_PORT']}"

    @property
    def stripe_api(self) -> str:
        """The published address of the simulator."""
        return f"http://{LOOPBACK}:{self._ports['STRIPE_SIMULATOR_PORT']}"

    def up(self, *services: str) -> None:
        """Start all services, or some, and wait until they are healthy."""
        self.compose("up", "--wait", "--no-build", *services)

    def down(self) -> None:
        """Remove containers, networks and volumes."""
        self.compose("down", "--volumes", "--timeout=20")

    def compose(self, *words: str) -> str:
        """Run a command of Compose and return its output. Raises ComposeFailed."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_PROJECT_VARIABLES)}
        # Ignores the .env of the checkout.
        options = ("--ansi=never", "--env-file=/dev/null", f"--project-name={self.name}")
        return docker("compose", *options, *words, environment={**inherited, **self._ports, **self.settings})

    def inspect(self, service: str) -> Any:
        """Return Docker's description of a service's container."""
        container = self.compose("ps", "--all", "--quiet", service).strip()
        return json.loads(docker("inspect", container))[0]

    def until_healthy(self, service: str, *, seconds: float = 90) -> None:
        """Wait until a service's container is healthy."""
        deadline = time.monotonic() + seconds
        while self.inspect(service)["State"]["Health"]["Status"] != "healthy":
            if time.monotonic() > deadline:
                raise ComposeFailed(f"{service} is not healthy after {seconds:g} s:\n{self.compose('logs', service)}")
            time.sleep(_POLL_SECONDS)

    def sql(self, query: str, *, server: str = "postgres") -> Any:
        """Return the JSON value of a query to the orders database."""
        words = ("psql", "--username=orders", "--dbname=orders", "--tuples-only", "--no-align", f"--command={query}")
        return json.loads(self.compose("exec", "-T", server, *words))

    def left(self) -> list[str]:
        """Return the ids of the project's containers, networks and volumes."""
        mine = f"--filter={_OF_PROJECT}{self.name}"
        return [
            *docker("ps", "--all", "--quiet", mine).split(),
            *docker("network", "ls", "--quiet", mine).split(),
            *docker("volume", "ls", "--quiet", mine).split(),
        ]


def docker(*words: str, environment: Mapping[str, str] | None = None) -> str:
    """Run a command of Docker and return its output. Raises ComposeFailed."""
    command = ["docker", *words]
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=_UP_SECONDS, check=False
    )
    if ended.returncode:
        raise ComposeFailed(f"{' '.join(command)}:\n{ended.stdout}{ended.stderr[-3000:]}")
    return ended.stdout
