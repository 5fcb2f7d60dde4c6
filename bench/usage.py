"""Processor time and memory of processes, from /proc.

Processor time, unlike time on the clock, hardly depends on what else the machine does.
"""

import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devstack.process_tree import process_tree

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_CLOCK_OF_PROCESS: Final = 2
"""Kind of clock id (CPUCLOCK_SCHED in Linux's posix-timers.h) that counts the nanoseconds of all threads of a process,
those included that have ended. /proc/PID/stat counts in hundredths of seconds."""
_QUIET_WINDOW_SECONDS: Final = 0.1
_QUIET_SHARE: Final = 0.1
"""Share of one core that the processes use together when no request is left: health checks, timers, readings."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Consumption of one process with its children until now."""

    cpu_seconds: float
    """User and system time, that of children included which have ended."""
    threads: Mapping[str, float]
    """Seconds by thread name, of the threads that still run. The main thread is `main`."""
    resident_bytes: int


def usage_of(pid: int) -> Usage:
    """Return the consumption of a process with its children: PostgreSQL has one for each connection."""
    tree = process_tree(pid)
    return Usage(sum(map(_cpu_seconds, tree)), _thread_seconds(pid), sum(map(_resident_bytes, tree)))


def usages_of(pids: Mapping[str, int]) -> dict[str, Usage]:
    """Return the consumption of each process by its name."""
    return {name: usage_of(pid) for name, pid in pids.items()}


@contextmanager
def pinned(pids: Iterable[int], cores: AbstractSet[int]) -> Iterator[None]:
    """Keep processes, with their children and those to come, on these cores."""
    before = os.sched_getaffinity(0)
    _keep_on(pids, cores)
    try:
        yield
    finally:
        _keep_on(pids, before)


def _keep_on(pids: Iterable[int], cores: AbstractSet[int]) -> None:
    for pid in [each for root in pids for each in process_tree(root)]:
        with suppress(OSError):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                with suppress(OSError):
                    os.sched_setaffinity(int(thread.name), cores)


def until_quiet(pids: Iterable[int], *, seconds: float) -> None:
    """Wait until the processes do next to nothing. Raises TimeoutError."""
    pids = list(pids)
    deadline = time.monotonic() + seconds
    used = sum(map(_cpu_seconds, pids))
    while time.monotonic() < deadline:
        time.sleep(_QUIET_WINDOW_SECONDS)
        before, used = used, sum(map(_cpu_seconds, pids))
        if used - before < _QUIET_SHARE * _QUIET_WINDOW_SECONDS:
            return
    raise TimeoutError(f"the services still work {seconds:g} s after the last answer")


def _cpu_seconds(pid: int) -> float:
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        of_children = (int(fields[13]) + int(fields[14])) / _TICKS
        return time.clock_gettime((~pid << 3) | _CLOCK_OF_PROCESS) + of_children
    return 0.0


def _thread_seconds(pid: int) -> dict[str, float]:
    found: defaultdict[str, float] = defaultdict(float)
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                name = "main" if thread.name == str(pid) else (thread / "comm").read_text().strip()
                found[name] += int((thread / "schedstat").read_text().split()[0]) / 1e9
    return dict(found)


def _resident_bytes(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
    return 0
