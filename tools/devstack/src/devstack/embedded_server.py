"""Common base of the embedded PostgreSQL and Valkey: a data directory, a password, and a port that stays."""

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from devstack.ports import free_port
from devstack.processes import ProcessFailed, Program, Server

_PORT_ATTEMPTS: Final = 5


class EmbeddedServer(Server):
    """A server with its own data directory. Without a port it takes a free one at its first start and keeps it."""

    def __init__(self, data_dir: Path, *, port: int | None, log: Path | None) -> None:
        self.log = log or data_dir.with_name(f"{data_dir.name}.log")
        self._data_dir = data_dir.absolute()
        self._port = port
        self._password = ""

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it. The data stays."""
        self.stop()

    @property
    def port(self) -> int:
        """The port it listens on. Raises ProcessFailed before the first start."""
        if self._port is None:
            raise ProcessFailed(f"{self.name} is not started")
        return self._port

    def _start_on_its_port(
        self, program: Callable[[int], Program], is_ready: Callable[[int], bool], *, seconds: float, port_is_taken: str
    ) -> None:
        """Start the program and wait until it is ready. `port_is_taken` is the log's text for a port in use."""
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            try:
                self._start_on(self._port or free_port(), program, is_ready, seconds)
            except ProcessFailed as failure:
                # Another process may take a port that was free a moment ago.
                if self._port is not None or attempt == _PORT_ATTEMPTS or port_is_taken not in str(failure):
                    raise
            else:
                return

    def _start_on(
        self, port: int, program: Callable[[int], Program], is_ready: Callable[[int], bool], seconds: float
    ) -> None:
        child = self._spawn(program(port))
        try:
            child.wait_until(lambda: is_ready(port), seconds=seconds)
        except ProcessFailed:
            child.kill()
            raise
        self._port = port
