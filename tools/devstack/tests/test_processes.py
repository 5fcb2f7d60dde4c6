import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from devstack.ports import free_port, is_free
from devstack.processes import Child, ProcessFailed, Program, family_of, wait_until_gone

SLEEPER = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
PARENT = "import subprocess, sys, time; subprocess.Popen(['sleep', '60']); print('up', flush=True); time.sleep(60)"
ORPHANING_PARENT = f"""
import os, signal, sys
from pathlib import Path
from devstack.processes import Child, Program
child = Child(Program("sleeper", [sys.executable, "-c", {SLEEPER!r}], Path(sys.argv[1])))
child.start()
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""

Starter = Callable[[str], Child]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Starter]:
    """Start Python code as a child and wait until it says that it is up."""
    children: list[Child] = []

    def start(code: str) -> Child:
        log = tmp_path / "child.log"
        child = Child(Program("child", [sys.executable, "-c", code], log))
        children.append(child)
        child.start()
        child.wait_until(lambda: "up" in log.read_text(), seconds=10)
        return child

    yield start
    for child in children:
        child.kill()


def test_stops_when_asked(started: Starter) -> None:
    """SIGTERM ends it, and stop waits for that."""
    child = started(SLEEPER)

    child.stop()

    assert child.exit_code == -signal.SIGTERM


def test_kills_what_does_not_stop(started: Starter) -> None:
    """A process that ignores SIGTERM does not stay."""
    child = started(STUBBORN)

    child.stop(seconds=0.1)

    assert child.exit_code == -signal.SIGKILL


def test_stops_a_paused_process(started: Starter) -> None:
    """Frozen is not out of reach."""
    child = started(SLEEPER)
    child.pause()

    child.stop(seconds=5)

    assert child.exit_code == -signal.SIGTERM


def test_killing_takes_the_family(started: Starter) -> None:
    """What the process started is gone too."""
    child = started(PARENT)
    family = family_of(child.pid)

    child.kill()

    wait_until_gone(family, seconds=0)
    assert len(family) == 2


def test_starts_again_after_it_ended(started: Starter) -> None:
    """A killed process can be brought back."""
    child = started(SLEEPER)
    child.kill()

    child.start()

    assert child.running


def test_is_not_started_twice(started: Starter) -> None:
    """One child is one process."""
    child = started(SLEEPER)

    with pytest.raises(ProcessFailed, match="running already"):
        child.start()


def test_a_process_that_ends_too_early_is_reported_with_its_last_words(tmp_path: Path) -> None:
    """The log's end is in the message, so nobody has to look for it."""
    child = Child(Program("child", [sys.executable, "-c", "raise SystemExit('no disk')"], tmp_path / "child.log"))
    child.start()

    with pytest.raises(ProcessFailed, match=r"child ended with 1:\n.*no disk"):
        child.wait_until(lambda: False, seconds=10)


def test_outlives_the_thread_that_started_it(started: Starter) -> None:
    """The kernel's leash hangs on a thread that lasts, not on a caller's."""
    children: list[Child] = []
    thread = threading.Thread(target=lambda: children.append(started(SLEEPER)))
    thread.start()
    thread.join()

    time.sleep(0.05)  # the signal that must not come would come at once

    assert children[0].running


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's leash exists on Linux only")
def test_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """SIGKILL of the parent leaves no orphan."""
    parent = subprocess.run(
        [sys.executable, "-c", ORPHANING_PARENT, tmp_path / "log"], capture_output=True, check=False
    )

    wait_until_gone([int(parent.stdout)], seconds=5)


def test_a_free_port_is_below_those_of_outgoing_connections() -> None:
    """A restarted server's port is never taken by a client's end of a connection."""
    start = Path("/proc/sys/net/ipv4/ip_local_port_range")
    ceiling = int(start.read_text().split()[0]) if start.exists() else 65_536

    port = free_port()

    assert is_free(port)
    assert port < ceiling or ceiling < 20_200


@pytest.fixture
def ports_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be ports that are nobody's, as on most machines."""
    monkeypatch.setattr("devstack.ports._ephemeral_start", lambda: 32_768)


@pytest.mark.usefixtures("ports_enough")
def test_no_two_servers_are_given_one_port() -> None:
    """Also where neither listens yet: those of a cluster are started at the same moment."""
    with ThreadPoolExecutor(8) as pool:
        ports = list(pool.map(lambda _number: free_port(), range(400)))

    assert len(set(ports)) == len(ports)


@pytest.mark.usefixtures("ports_enough")
def test_workers_that_test_side_by_side_take_different_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that restarts finds its port free, though it was everybody's for a moment."""
    taken = {}
    for worker in ("gw0", "gw1", "gw2"):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
        monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "3")
        taken[worker] = {free_port() % 3 for _ in range(20)}

    assert sorted(len(rests) for rests in taken.values()) == [1, 1, 1]
    assert len(set.union(*taken.values())) == 3
