"""Process trees from /proc: kill, pause and wait for a process with all its descendants."""

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

POLL_SECONDS: Final = 0.02
KILL_SECONDS: Final = 10.0


class ProcessFailed(RuntimeError):
    """A process ended or did not become ready. The message ends with its last log lines."""


def process_tree(pid: int) -> list[int]:
    """Return the process and its descendants, parents first. Without /proc, the process alone."""
    tree = [pid]
    for member in tree:
        for thread in _threads_of(member):
            with suppress(OSError):
                # Each thread lists only the children that it started itself.
                tree += [int(child) for child in (thread / "children").read_text().split()]
    return tree


def signal_all(pids: Sequence[int], signal_number: signal.Signals) -> None:
    """Send a signal to those of the processes that still exist."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal_number)


def kill_tree(pid: int) -> list[int]:
    """SIGKILL a process and its descendants. Return their ids."""
    tree = process_tree(pid)
    signal_all(tree, signal.SIGKILL)
    return tree


def wait_until_gone(pids: Sequence[int], *, seconds: float = KILL_SECONDS) -> None:
    """Wait until none of the processes runs. A zombie counts as gone. Raises ProcessFailed after the timeout."""
    deadline = time.monotonic() + seconds
    while any(_runs(pid) for pid in pids):
        if time.monotonic() > deadline:
            raise ProcessFailed(f"processes {pids} do not end")
        time.sleep(POLL_SECONDS)


def end_stale_process(pid: int, *, directory: Path, stop_signal: signal.Signals) -> None:
    """End a server of an earlier run that still works in this directory. A process elsewhere is left alone."""
    if not _works_in(pid, directory):
        return
    signal_all([pid], stop_signal)
    signal_all([pid], signal.SIGCONT)
    try:
        wait_until_gone([pid])
    except ProcessFailed:
        wait_until_gone(kill_tree(pid))


def _threads_of(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []


def _works_in(pid: int, directory: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == directory.resolve()
    except OSError:
        return False


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}
