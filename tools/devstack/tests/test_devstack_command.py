import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devstack.layout import Home
from devstack.postgres_install import remove_data
from devstack.processes import family_of, wait_until_gone

SECONDS = 60.0


def command(home: Path, *words: str, **environment: str) -> "subprocess.Popen[str]":
    """Start devstack as a user does, in a session of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STRIPE_")}
    return subprocess.Popen(
        [sys.executable, "-m", "devstack", *words],
        env={**clean, "HOLDFAST_HOME": str(home), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run(home: Path, *words: str, **environment: str) -> tuple[int, str]:
    """Run devstack to its end; return its exit code and what it said."""
    with command(home, *words, **environment) as process:
        said, _ = process.communicate(timeout=SECONDS)
    return process.returncode, said


@contextmanager
def up(home: Path) -> Iterator["subprocess.Popen[str]"]:
    """Run a stack until the end of the block, and see that no process is left."""
    with command(home, "up") as process:
        try:
            await_stack_file(home, process)
            yield process
        finally:
            family = family_of(process.pid)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=SECONDS)
            wait_until_gone(family, seconds=5)


def await_stack_file(home: Path, process: "subprocess.Popen[str]") -> None:
    """Wait until the stack says where it listens."""
    deadline = time.monotonic() + SECONDS
    while not (home / "stack.json").exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def new_home(folder: Path) -> Iterator[Path]:
    """Name a home that does not exist yet, and remove the data that may lie elsewhere for root's sake."""
    home = Home(folder / "home")
    yield home.root
    remove_data(home.postgres_dir)


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Name the home of the stack that several tests look at."""
    with new_home(tmp_path_factory.mktemp("holdfast")) as home:
        yield home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Name a home for one test."""
    with new_home(tmp_path) as home:
        yield home


@pytest.fixture(scope="module")
def running(shared_home: Path) -> Iterator["subprocess.Popen[str]"]:
    """Run one stack for the tests that only look at it."""
    with up(shared_home) as process:
        yield process


def test_says_where_everything_listens(running: "subprocess.Popen[str]", shared_home: Path) -> None:
    """stack.json has an address for each part, and a running process for each name."""
    facts = json.loads((shared_home / "stack.json").read_text())

    assert {"stripe_secret_key", "webhook_secret", "checkout_session", "orders"} <= facts.keys()
    assert [facts[name].partition("://")[0] for name in ("gateway", "stripe_api", "postgres", "redis")] == [
        "http",
        "http",
        "postgresql",
        "redis",
    ]
    assert set(facts["pids"].values()) <= set(family_of(running.pid))
    assert set(facts["pids"]) == {"postgres", "valkey", "stripe-simulator", "checkout-session", "orders", "gateway"}


def test_only_its_owner_reads_the_secrets(running: "subprocess.Popen[str]", shared_home: Path) -> None:
    """The file holds keys and passwords."""
    assert stat.S_IMODE((shared_home / "stack.json").stat().st_mode) == 0o600


def test_a_second_start_in_the_same_home_is_refused(running: "subprocess.Popen[str]", shared_home: Path) -> None:
    """It says what is going on and leaves the first one alone."""
    code, said = run(shared_home, "up")

    assert code == 1
    assert f"running here already (process {running.pid})" in said
    assert (shared_home / "stack.json").exists()


def test_a_live_key_is_refused_before_anything_starts(home: Path) -> None:
    """Nothing is created, not even the home."""
    code, said = run(home, "demo", STRIPE_SECRET_KEY="sk_live_1")

    assert code == 1
    assert "STRIPE_SECRET_KEY is a live key" in said
    assert not home.exists()


def test_killed_it_leaves_no_process_and_the_next_run_buys_on_the_same_data(home: Path) -> None:
    """After SIGKILL of the supervisor everything ends, and a demo works in the same home, beside other stacks."""
    with command(home, "up") as process:
        await_stack_file(home, process)
        family = family_of(process.pid)

        process.kill()
        process.communicate(timeout=SECONDS)

    wait_until_gone(family, seconds=10)
    code, said = run(home, "demo", "--once")
    assert code == 0, said
    assert "payment_intent.succeeded" in said
    assert "content gone: true" in said
    assert not (home / "stack.json").exists()
