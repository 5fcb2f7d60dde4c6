"""Child processes that can be stopped, killed, paused and resumed, and that never outlive this process."""

import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devstack import parent_death
from devstack.process_tree import (
    KILL_SECONDS,
    POLL_SECONDS,
    ProcessFailed,
    kill_tree,
    process_tree,
    signal_all,
    wait_until_gone,
)

__all__ = ["Account", "Child", "ProcessFailed", "Program", "Server", "tied_to_parent", "wait_until"]

_TAIL_BYTES: Final = 4096
_TAIL_LINES: Final = 20
_PARENT_DEATH: Final = str(Path(parent_death.__file__))

# Linux ties a child's life to the thread that started it, so one thread that lasts as long as this process starts all.
_starter: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="devstack-starter")


@dataclass(frozen=True, slots=True)
class Account:
    """User and group id that a process runs as."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Program:
    """A command with its log, environment and signals."""

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str] | None = None
    """The whole environment. None inherits ours."""
    directory: Path | None = None
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGKILL
    """Signal that the kernel sends when this process dies."""


class Child:
    """One program as a child process. It can be started again after it ended. Its log is appended to."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """The program's name."""
        return self.program.name

    @property
    def pid(self) -> int:
        """The process id. Raises ProcessFailed before the first start."""
        return self._started().pid

    @property
    def running(self) -> bool:
        """True while the process exists, paused or not."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process and return at once."""
        if self.running:
            raise ProcessFailed(f"{self.name} is running already")
        self.program.log.parent.mkdir(parents=True, exist_ok=True)
        self._process = _starter.submit(_spawn, self.program).result()

    def wait_until(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Poll until ready. Raises ProcessFailed if the process ends or the time runs out."""
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.running:
                raise ProcessFailed(f"{self.name} ended with {self._started().poll()}:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise ProcessFailed(f"{self.name} was not ready in {seconds:g} s:\n{self.log_tail()}")
            time.sleep(POLL_SECONDS)

    def wait_for_success(self, *, seconds: float) -> None:
        """Wait for the process to end by itself. Raises ProcessFailed if it fails or takes longer."""
        try:
            code = self._started().wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ProcessFailed(f"{self.name} did not end in {seconds:g} s:\n{self.log_tail()}") from None
        if code:
            raise ProcessFailed(f"{self.name} ended with {code}:\n{self.log_tail()}")

    def stop(self, *, seconds: float = 15.0) -> None:
        """Send the stop signal, also to a paused process, and kill it after the timeout."""
        if self._process is None or not self.running:
            return
        self._process.send_signal(self.program.stop_signal)
        self.resume()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL the process and its descendants, and wait until they are gone."""
        if self._process is None or not self.running:
            return
        tree = kill_tree(self._process.pid)
        self._process.wait(KILL_SECONDS)
        wait_until_gone(tree)

    def pause(self) -> None:
        """Freeze the process and its descendants. Their connections stay open and nothing answers."""
        signal_all(process_tree(self.pid), signal.SIGSTOP)

    def resume(self) -> None:
        """Resume a paused process."""
        signal_all(process_tree(self.pid), signal.SIGCONT)

    def log_tail(self) -> str:
        """Return the last lines of the log, indented."""
        with suppress(FileNotFoundError), self.program.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
            return "\n".join(f"    {line}" for line in lines[-_TAIL_LINES:])
        return ""

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise ProcessFailed(f"{self.name} is not started")
        return self._process


class Server(ABC):
    """A process of a stack. Subclasses implement its start."""

    name: str
    log: Path
    _child: Child | None = None

    @property
    def pid(self) -> int:
        """The process id, of the first process if there are several."""
        return self._started().pid

    @property
    def running(self) -> bool:
        """True while the process exists, paused or not."""
        return self._child is not None and self._child.running

    @abstractmethod
    def start(self) -> None:
        """Start it and return when it is ready."""

    def stop(self) -> None:
        """Stop it gracefully, if it runs."""
        if self._child is not None:
            self._child.stop()

    def kill(self) -> None:
        """SIGKILL it and its descendants."""
        self._started().kill()

    def pause(self) -> None:
        """Freeze it and its descendants. Their connections stay open and nothing answers."""
        self._started().pause()

    def resume(self) -> None:
        """Resume it after a pause."""
        self._started().resume()

    def restart(self) -> None:
        """Stop and start it on the same port."""
        self.stop()
        self.start()

    def _started(self) -> Child:
        if self._child is None:
            raise ProcessFailed(f"{self.name} is not started")
        return self._child

    def _spawn(self, program: Program) -> Child:
        if self.running:
            raise ProcessFailed(f"{self.name} is running already")
        self._child = Child(program)
        self._child.start()
        return self._child


def tied_to_parent(program: Program) -> list[str]:
    """Return the command that runs the program and ends it when this process dies."""
    account = program.account or Account(parent_death.SAME_USER, parent_death.SAME_USER)
    words = (os.getpid(), int(program.orphan_signal), account.uid, account.gid)
    return [sys.executable, "-I", "-S", _PARENT_DEATH, *(str(word) for word in words), *program.command]


def wait_until(reached: Callable[[], bool], description: str, *, seconds: float) -> None:
    """Poll until a condition holds. Raises ProcessFailed with its description after the timeout."""
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            raise ProcessFailed(f"timeout after {seconds:g} s: {description}")
        time.sleep(POLL_SECONDS)


def _spawn(program: Program) -> "subprocess.Popen[bytes]":
    with program.log.open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - the command is ours and there is no shell
            tied_to_parent(program),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=None if program.environment is None else dict(program.environment),
            cwd=program.directory,
            # Ctrl-C signals the whole foreground group, and the order of the end is ours to choose.
            start_new_session=True,
        )
