"""A container that can be stopped, killed, paused and started again where it was, and that never outlives us."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

import docker.errors  # type: ignore[import-untyped] # docker ships no types
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from devstack.ports import LOOPBACK, free_port

from .leftovers import LABELS, keep_no_longer, remove_at_exit

READY_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.05
_PORT_ATTEMPTS: Final = 5
_STOP_SECONDS: Final = 15
_PORT_IS_TAKEN: Final = ("already allocated", "already in use")
_SEALED: Final[Mapping[str, Any]] = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "healthcheck": {"test": ["NONE"]},
}
_NO_SUCH_RESOLVER: Final = [LOOPBACK]
"""In a container nobody resolves names there: a name that Docker does not know must not be asked for elsewhere."""


class ContainerFailed(RuntimeError):
    """A container ended or did not become ready; the message ends with its last log lines."""


@dataclass(frozen=True)
class Recipe:
    """What to run, and who may reach it."""

    image: str
    command: Sequence[str]
    inside_port: int | None = None
    """What it listens on in the container, to be reached at a free loopback port of this machine."""
    program: str | None = None
    """What the command's words are for; unset is what the image says."""
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    """Text by path in the container."""
    network: Network | None = None
    alias: str = ""
    """Its name in the network."""
    sealed: bool = False
    """Whether it runs as it is deployed: a root that is read-only, no capabilities; and without its health check,
    because readiness is seen from here and a process every few seconds would slow down what is tested."""


class Container:
    """One container. It takes a free loopback port at its first start and keeps it, whatever happens to it."""

    def __init__(self, recipe: Recipe, is_ready: Callable[[int], bool]) -> None:
        self.recipe = recipe
        self._is_ready = is_ready
        self._port: int | None = None
        self._made: DockerContainer | None = None
        self._earlier_logs = b""

    def __enter__(self) -> Self:
        """Start it; if that fails, leave nothing behind."""
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove it with its data."""
        self.remove()

    @property
    def port(self) -> int:
        """The loopback port it is reached at; raises before its first start."""
        if self._port is None:
            raise ContainerFailed(f"{self.recipe.image} is not started")
        return self._port

    @property
    def pid(self) -> int | None:
        """The id of its first process on this machine; None when none runs."""
        return None if self._made is None else int(self._state()["Pid"]) or None

    def start(self) -> None:
        """Start it, and return when it is ready."""
        self.launch()
        self.await_ready()

    def launch(self) -> None:
        """Start it and return at once; make it first, if need be."""
        if self._made is None:
            self._make()
        else:
            self._docker.start()

    def await_ready(self) -> None:
        """Return when it is ready. Raise ContainerFailed with its last log lines if it ends or takes too long."""
        deadline = time.monotonic() + READY_SECONDS
        while not self._is_ready(self.port):
            state = self._state()
            if not state["Running"] or time.monotonic() > deadline:
                raise ContainerFailed(f"{self.recipe.image} is {state['Status']}, not ready:\n{self._tail()}")
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Ask it to end, also when it is paused; Docker kills it when it takes too long."""
        self.resume()
        self._docker.stop(timeout=_STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL everything in it, and wait until it is gone."""
        self._docker.kill(signal="KILL")
        self._docker.wait()

    def restart(self) -> None:
        """Stop and start it on the same port."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze everything in it: connections stay open and nothing answers."""
        self._docker.pause()

    def resume(self) -> None:
        """Let it go on, if it is paused."""
        if self._state()["Paused"]:
            self._docker.unpause()

    def become(self, recipe: Recipe) -> None:
        """Take other settings for the next start: a container cannot change, so that will be another one."""
        self.recipe = recipe
        self._unmake()

    def wait_end(self) -> int:
        """Wait until it ends by itself and return its exit code."""
        return int(self._docker.wait(timeout=READY_SECONDS)["StatusCode"])

    def logs(self) -> str:
        """Return what it has logged so far, and what it did under earlier settings."""
        current = b"" if self._made is None else self._docker.logs()
        return (self._earlier_logs + current).decode(errors="replace")

    def remove(self) -> None:
        """End it and delete it with its data."""
        self._unmake()

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
                # Somebody was faster at a port that was free a moment ago.
                taken = any(words in str(refusal) for words in _PORT_IS_TAKEN)
                if not taken or self._port is not None or attempt == _PORT_ATTEMPTS:
                    raise
            else:
                self._port = port
                return

    def _make_on(self, port: int) -> None:
        made = _described(self.recipe, port)
        remove_at_exit(made, made.stop)
        self._made = made
        try:
            made.start()
        except BaseException:
            self._made = None
            _end(made)
            raise

    def _unmake(self) -> None:
        if self._made is not None:
            made = self._made
            try:
                self._earlier_logs = self.logs().encode()
            finally:
                self._made = None
                _end(made)

    def _tail(self) -> str:
        return "\n".join(f"    {line}" for line in self.logs().splitlines()[-20:])


def _end(made: DockerContainer) -> None:
    made.stop()
    keep_no_longer(made)


def _described(recipe: Recipe, port: int) -> DockerContainer:
    options: dict[str, Any] = {"labels": LABELS, "dns": _NO_SUCH_RESOLVER, **(_SEALED if recipe.sealed else {})}
    if recipe.program is not None:
        options["entrypoint"] = [recipe.program]
    container = DockerContainer(recipe.image, env=dict(recipe.environment), **options)
    container.with_command(list(recipe.command))
    if recipe.sealed:
        container.with_tmpfs_mount("/tmp")  # noqa: S108 - the container's own
    if recipe.network is not None:
        container.with_network(recipe.network).with_network_aliases(recipe.alias)
    if recipe.inside_port is not None:
        # with_bind_ports would publish it to the whole network that this machine is in.
        container.ports[f"{recipe.inside_port}/tcp"] = (LOOPBACK, port)  # type: ignore[assignment] # Docker takes a pair
    for path, text in recipe.files.items():
        container.with_copy_into_container(text.encode(), path)
    return container
