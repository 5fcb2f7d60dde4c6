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
from devstack.process_tree import process_tree, wait_until_gone
from devstack.processes import Child, ProcessFailed, Program

SLEEPER = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
PARENT = "import subprocess, sys, time; subprocess.Popen(['sleep', '60']); print('up', flush=True); time.sleep(60)"
REPORTING = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit('terminated'))\n" + SLEEPER
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
    """Start Python code as a child and wait until it prints that it is up."""
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


@pytest.mark.parametrize(("code", "graceful"), [(REPORTING, True), (STUBBORN, False)])
@pytest.mark.parametrize("paused", [False, True])
def test_a_stop_is_graceful_or_a_kill(started: Starter, code: str, *, graceful: bool, paused: bool) -> None:
    """A paused process handles SIGTERM too, and one that ignores it is killed. Both can be started again."""
    child = started(code)
    if paused:
        child.pause()

    child.stop(seconds=5 if graceful else 0.1)

    assert not child.running
    assert ("terminated" in child.log_tail()) is graceful
    child.start()
    assert child.running


def test_a_kill_includes_the_descendants(started: Starter) -> None:
    """The whole process tree is gone."""
    child = started(PARENT)
    tree = process_tree(child.pid)

    child.kill()

    wait_until_gone(tree, seconds=0)
    assert len(tree) == 2


def test_a_child_is_not_started_twice(started: Starter) -> None:
    """One child is one process."""
    child = started(SLEEPER)

    with pytest.raises(ProcessFailed, match="running already"):
        child.start()


def test_a_process_that_ends_early_is_reported_with_its_log(tmp_path: Path) -> None:
    """The message has the exit code and the last lines."""
    child = Child(Program("child", [sys.executable, "-c", "raise SystemExit('no disk')"], tmp_path / "child.log"))
    child.start()

    with pytest.raises(ProcessFailed, match=r"child ended with 1:\n.*no disk"):
        child.wait_until(lambda: False, seconds=10)


def test_a_child_outlives_the_thread_that_started_it(started: Starter) -> None:
    """The death signal depends on a thread that lasts as long as this process."""
    children: list[Child] = []
    thread = threading.Thread(target=lambda: children.append(started(SLEEPER)))
    thread.start()
    thread.join()

    time.sleep(0.05)  # a signal would come at once

    assert children[0].running


@pytest.mark.skipif(sys.platform != "linux", reason="the death signal exists on Linux only")
def test_a_killed_parent_leaves_no_child(tmp_path: Path) -> None:
    """The kernel sends the death signal."""
    parent = subprocess.run(
        [sys.executable, "-c", ORPHANING_PARENT, tmp_path / "log"], capture_output=True, check=False
    )

    wait_until_gone([int(parent.stdout)], seconds=5)
    assert -parent.returncode == signal.SIGKILL


def test_free_ports_are_below_those_of_outgoing_connections() -> None:
    """A client's connection never takes the port of a restarting server."""
    start = Path("/proc/sys/net/ipv4/ip_local_port_range")
    ceiling = int(start.read_text().split()[0]) if start.exists() else 65_536

    port = free_port()

    assert is_free(port)
    assert port < ceiling or ceiling < 20_200


def test_free_ports_are_given_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither to two threads nor to two pytest workers."""
    monkeypatch.setattr("devstack.ports._ephemeral_start", lambda: 32_768)
    with ThreadPoolExecutor(8) as pool:
        ports = list(pool.map(lambda _number: free_port(), range(400)))
    remainders = []
    for worker in ("gw0", "gw1", "gw2"):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
        monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "3")
        remainders.append({free_port() % 3 for _ in range(20)})

    assert len(set(ports)) == len(ports)
    assert sorted(map(len, remainders)) == [1, 1, 1]
    assert set().union(*remainders) == {0, 1, 2}
