"""A container that tests stop, kill, pause and start again at the same port."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import docker.errors  # type: ignore[import-untyped] # docker ships no types
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from devstack.ports import LOOPBACK, free_port

from .leftovers import LABELS, is_removed, remove_at_exit

READY_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.05
_PORT_ATTEMPTS: Final = 5
_STOP_SECONDS: Final = 15
_PORT_IS_TAKEN: Final = ("already allocated", "already in use")
_HARDENED: Final[Mapping[str, Any]] = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "healthcheck": {"test": ["NONE"]},
}
_NO_NAME_SERVER: Final = [LOOPBACK]
"""No name server listens there: unknown names fail at once, and are not looked up on the internet."""


class ContainerFailed(RuntimeError):
    """A container exited or did not become ready; the message contains its last log lines."""


@dataclass(frozen=True)
class Recipe:
    """Image, command and network of a container."""

    image: str
    command: Sequence[str]
    inside_port: int | None = None
    """Port inside the container; it is published at a free loopback port."""
    program: str | None = None
    """Entry point; None for the image's own."""
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    """Content by path in the container."""
    network: Network | None = None
    alias: str = ""
    """Its name in the network."""
    hardened: bool = False
    """Run it as deployed: read-only root, no capabilities. Without the health check, which would slow down the test."""


class Container:
    """One container. It takes a free loopback port at its first start and keeps it."""

    def __init__(self, recipe: Recipe, is_ready: Callable[[int], bool]) -> None:
        self.recipe = recipe
        self._is_ready = is_ready
        self._port: int | None = None
        self._made: DockerContainer | None = None
        self._earlier_logs = b""

    def __enter__(self) -> Self:
        """Start it; remove it if that fails."""
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Remove it with its data."""
        self.remove()

    @property
    def port(self) -> int:
        """The published loopback port. Raises ContainerFailed before the first start."""
        if self._port is None:
            raise ContainerFailed(f"{self.recipe.image} is not started")
        return self._port

    @property
    def pid(self) -> int | None:
        """The id of its main process on this machine; None if it does not run."""
        return None if self._made is None else int(self._state()["Pid"]) or None

    def start(self) -> None:
        """Start it and wait until it is ready. Raises ContainerFailed if it exits or takes too long."""
        self.launch()
        deadline = time.monotonic() + READY_SECONDS
        while not self._is_ready(self.port):
            state = self._state()
            if not state["Running"] or time.monotonic() > deadline:
                tail = "\n".join(self.logs().splitlines()[-20:])
                raise ContainerFailed(f"{self.recipe.image} is {state['Status']}, not ready:\n{tail}")
            time.sleep(_POLL_SECONDS)

    def launch(self) -> None:
        """Start it without waiting."""
        if self._made is None:
            self._make()
        else:
            self._docker.start()

    def stop(self) -> None:
        """Stop it, also when it is paused; Docker kills it after a while."""
        self.resume()
        self._docker.stop(timeout=_STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL it and wait for its end."""
        self._docker.kill(signal="KILL")
        self._docker.wait()

    def restart(self) -> None:
        """Stop and start it on the same port."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers. Raises OSError if Docker refuses; then it runs on."""
        try:
            self._docker.pause()
        except OSError:  # a busy Docker may freeze it and still answer with an error, or too late
            self.resume()
            raise

    def resume(self) -> None:
        """Continue it, if it is paused, and see that it runs. Raises ContainerFailed if Docker refuses for long."""
        deadline = time.monotonic() + READY_SECONDS
        while self._state()["Paused"]:
            try:
                self._docker.unpause()
            except OSError as refusal:
                if time.monotonic() > deadline:
                    raise ContainerFailed(f"{self.recipe.image} stays paused") from refusal
                time.sleep(_POLL_SECONDS)

    def become(self, recipe: Recipe) -> None:
        """Take other settings for the next start. It will be a new container, because a container cannot change."""
        self.recipe = recipe
        self.remove()

    def wait_end(self) -> int:
        """Wait until it exits and return its exit code."""
        return int(self._docker.wait(timeout=READY_SECONDS)["StatusCode"])

    def logs(self) -> str:
        """Return its log, including the log under earlier settings."""
        current = b"" if self._made is None else self._docker.logs()
        return (self._earlier_logs + current).decode(errors="replace")

    def remove(self) -> None:
        """Stop it and remove it with its data."""
        if self._made is not None:
            made = self._made
            try:
                self._earlier_logs = self.logs().encode()
            finally:
                self._made = None
                _remove(made)

    @property
    def _docker(self) -> Any:
        if self._made is None:
            raise ContainerFailed(f"{self.recipe.image} is not started")
        return self._made.get_wrapped_container()

    def _state(self) -> Any:
        self._docker.reload()
        return self._docker.attrs["State"]

    def _make(self) -> None:
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            port = self._port or free_port()
            try:
                self._make_on(port)
            except docker.errors.APIError as refusal:
                # Another process took the port that was free a moment ago.
                taken = any(words in str(refusal) for words in _PORT_IS_TAKEN)
                if not taken or self._port is not None or attempt == _PORT_ATTEMPTS:
                    raise
            else:
                self._port = port
                return

    def _make_on(self, port: int) -> None:
        made = _docker_container(self.recipe, port)
        remove_at_exit(made, made.stop)
        self._made = made
        try:
            made.start()
        except BaseException:
            self._made = None
            _remove(made)
            raise


def _remove(made: DockerContainer) -> None:
    made.stop()
    is_removed(made)


def _docker_container(recipe: Recipe, port: int) -> DockerContainer:
    options: dict[str, Any] = {"labels": LABELS, "dns": _NO_NAME_SERVER, **(_HARDENED if recipe.hardened else {})}
    if recipe.program is not None:
        options["entrypoint"] = [recipe.program]
    container = DockerContainer(recipe.image, env=dict(recipe.environment), **options)
    container.with_command(list(recipe.command))
    if recipe.hardened:
        container.with_tmpfs_mount("/tmp")  # noqa: S108 - in the container
    if recipe.network is not None:
        container.with_network(recipe.network).with_network_aliases(recipe.alias)
    if recipe.inside_port is not None:
        # with_bind_ports would publish it to the whole network of this machine.
        container.ports[f"{recipe.inside_port}/tcp"] = (LOOPBACK, port)  # type: ignore[assignment] # Docker takes a pair
    for path, text in recipe.files.items():
        container.with_copy_into_container(text.encode(), path)
    return container
