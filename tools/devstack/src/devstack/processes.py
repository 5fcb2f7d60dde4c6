"""Real child processes that can be stopped, killed, paused and resumed, and that never outlive us."""

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

from devstack import parent_death

POLL_SECONDS = 0.02
_TAIL_BYTES = 4096
_KILL_SECONDS = 10.0
_PARENT_DEATH = str(Path(parent_death.__file__))

# Linux ties a child's life to the thread that started it, so one thread that lasts as long as this process starts all.
_starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="devstack-starter")


class ProcessFailed(RuntimeError):
    """A process ended or did not become ready; the message ends with its last log lines."""


@dataclass(frozen=True)
class Account:
    """Who a process runs as."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Program:
    """What to run and how to end it."""

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str] | None = None
    """The whole environment of the process; unset inherits ours."""
    directory: Path | None = None
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    """What asks it to end."""
    orphan_signal: signal.Signals = signal.SIGKILL
    """What the kernel sends it when we die without a word."""


class Child:
    """One program as a child process. It may be started again after it ended; its log is appended to."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """The name for people."""
        return self.program.name

    @property
    def pid(self) -> int:
        """The process id; raises when it was never started."""
        if self._process is None:
            raise ProcessFailed(f"{self.name} is not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process exists, paused or not."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process and return at once; `wait_until` tells when it is ready."""
        if self.running:
            raise ProcessFailed(f"{self.name} is running already")
        self.program.log.parent.mkdir(parents=True, exist_ok=True)
        self._process = _starter.submit(_spawn, self.program).result()

    def wait_until(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Poll until ready. Raise ProcessFailed with the last log lines if the process ends or time runs out."""
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.running:
                raise ProcessFailed(f"{self.name} ended with {self.exit_code}:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise ProcessFailed(f"{self.name} was not ready in {seconds:g} s:\n{self.log_tail()}")
            time.sleep(POLL_SECONDS)

    @property
    def exit_code(self) -> int | None:
        """What the process ended with; None while it runs."""
        return None if self._process is None else self._process.poll()

    def wait_end(self, *, seconds: float) -> None:
        """Wait for the process to end by itself. Raise ProcessFailed if it fails or takes longer."""
        if self._process is None:
            raise ProcessFailed(f"{self.name} is not started")
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ProcessFailed(f"{self.name} did not end in {seconds:g} s:\n{self.log_tail()}") from None
        if code:
            raise ProcessFailed(f"{self.name} ended with {code}:\n{self.log_tail()}")

    def ask_to_stop(self) -> None:
        """Send the stop signal, also to a paused process, and return at once."""
        if self._process is not None and self.running:
            self._process.send_signal(self.program.stop_signal)
            self.resume()

    def stop(self, *, seconds: float = 15.0) -> None:
        """Ask the process to end, and kill it when it has not after that many seconds."""
        if self._process is None or not self.running:
            return
        self.ask_to_stop()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL the process and all that it started, and wait until they are gone."""
        if self._process is None or not self.running:
            return
        family = family_of(self._process.pid)
        _signal_all(family, signal.SIGKILL)
        self._process.wait(_KILL_SECONDS)
        wait_until_gone(family, seconds=_KILL_SECONDS)

    def pause(self) -> None:
        """Freeze the process and all that it started: connections stay open and nothing answers."""
        _signal_all(family_of(self.pid), signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        _signal_all(family_of(self.pid), signal.SIGCONT)

    def log_tail(self) -> str:
        """Return the last lines of the log, indented."""
        with suppress(FileNotFoundError), self.program.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
            return "\n".join(f"    {line}" for line in lines[-20:])
        return ""


class Server(ABC):
    """What every process of a stack can do. A subclass says how it is started."""

    name: str
    """The name for people."""
    log: Path
    """Where it writes its log."""
    _child: Child | None = None

    @property
    def pid(self) -> int:
        """The process id; of its first process, if it starts more."""
        return self._started().pid

    @property
    def running(self) -> bool:
        """Whether the process exists, paused or not."""
        return self._child is not None and self._child.running

    @abstractmethod
    def start(self) -> None:
        """Start it, and return when it is ready."""

    def stop(self) -> None:
        """Let it end in its own way. Does nothing if it is not running."""
        if self._child is not None:
            self._child.stop()

    def kill(self) -> None:
        """SIGKILL it and all that it started."""
        self._started().kill()

    def pause(self) -> None:
        """Freeze it and all that it started: connections stay open and nothing answers."""
        self._started().pause()

    def resume(self) -> None:
        """Let it go on."""
        self._started().resume()

    def restart(self) -> None:
        """Stop and start it on the same port."""
        self.stop()
        self.start()

    def _started(self) -> Child:
        if self._child is None:
            raise ProcessFailed(f"{self.name} is not started")
        return self._child

    def _refuse_if_running(self) -> None:
        if self.running:
            raise ProcessFailed(f"{self.name} is running already")

    def _spawn(self, program: Program) -> Child:
        self._child = Child(program)
        self._child.start()
        return self._child


def tied_to_parent(program: Program) -> list[str]:
    """Return the command that runs the program on a leash held by this process."""
    account = program.account or Account(parent_death.STAY, parent_death.STAY)
    words = (os.getpid(), int(program.orphan_signal), account.uid, account.gid)
    return [sys.executable, "-I", "-S", _PARENT_DEATH, *(str(word) for word in words), *program.command]


def family_of(pid: int) -> list[int]:
    """Return the process and its descendants, parents first. Where there is no /proc, the process alone."""
    family = [pid]
    for member in family:
        for thread in _threads_of(member):
            with suppress(OSError):
                # Each thread lists the children that it started itself.
                family += [int(child) for child in (thread / "children").read_text().split()]
    return family


def _threads_of(pid: int) -> list[Path]:
    """Return the folders of a process's threads; none when it ended meanwhile."""
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []


def wait_until(reached: Callable[[], bool], what: str, *, seconds: float) -> None:
    """Poll until a state is reached; raise ProcessFailed with its name if time runs out."""
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            raise ProcessFailed(f"it did not come to pass within {seconds:g} s that {what}")
        time.sleep(POLL_SECONDS)


def wait_until_gone(pids: Sequence[int], *, seconds: float) -> None:
    """Wait until none of the processes runs; one that only waits to be reaped is gone."""
    deadline = time.monotonic() + seconds
    while any(_exists(pid) for pid in pids):
        if time.monotonic() > deadline:
            raise ProcessFailed(f"processes {pids} do not end")
        time.sleep(POLL_SECONDS)


def end_leftover(pid: int, *, directory: Path, polite: signal.Signals) -> None:
    """End a server of an earlier run that still works in this directory; a process elsewhere is left alone."""
    if not _works_in(pid, directory):
        return
    with suppress(ProcessLookupError):
        os.kill(pid, polite)
        os.kill(pid, signal.SIGCONT)
    try:
        wait_until_gone([pid], seconds=_KILL_SECONDS)
    except ProcessFailed:
        family = family_of(pid)
        _signal_all(family, signal.SIGKILL)
        wait_until_gone(family, seconds=_KILL_SECONDS)


def _works_in(pid: int, directory: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == directory.resolve()
    except OSError:
        return False


def _spawn(program: Program) -> subprocess.Popen[bytes]:
    with program.log.open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - the command is ours and there is no shell
            tied_to_parent(program),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=None if program.environment is None else dict(program.environment),
            cwd=program.directory,
            # Ctrl-C in a terminal goes to the whole foreground group; who ends first is ours to decide.
            start_new_session=True,
        )


def _signal_all(pids: Sequence[int], signal_number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal_number)


def _exists(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}
