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

from devstack import json_http
from devstack.layout import Home
from devstack.postgres_install import remove_data
from devstack.process_tree import process_tree, wait_until_gone

SECONDS = 60.0


def command(home: Path, *words: str, cwd: Path | None = None, **environment: str) -> "subprocess.Popen[str]":
    """Start devstack in a session of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STRIPE_")}
    return subprocess.Popen(
        [sys.executable, "-m", "devstack", *words],
        cwd=cwd,
        env={**clean, "HOLDFAST_HOME": str(home), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run(home: Path, *words: str, **environment: str) -> tuple[int, str]:
    """Run devstack to its end. Return its exit code and output."""
    with command(home, *words, cwd=None, **environment) as process:
        output, _ = process.communicate(timeout=SECONDS)
    return process.returncode, output


@contextmanager
def up(home: Path, checkout: Path) -> Iterator["subprocess.Popen[str]"]:
    """Run a stack in a checkout during the block, and check that no process is left."""
    with command(home, "up", cwd=checkout) as process:
        try:
            await_stack_file(home, process)
            yield process
        finally:
            tree = process_tree(process.pid)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=SECONDS)
            wait_until_gone(tree, seconds=5)


def await_stack_file(home: Path, process: "subprocess.Popen[str]") -> None:
    """Wait until the stack has written its file."""
    deadline = time.monotonic() + SECONDS
    while not (home / "stack.json").exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def new_home(folder: Path) -> Iterator[Path]:
    """Yield a home that does not exist yet, and delete PostgreSQL's data, which root has elsewhere."""
    home = Home(folder / "home")
    yield home.root
    remove_data(home.postgres_dir)


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Name the home of the stack that several tests share."""
    with new_home(tmp_path_factory.mktemp("holdfast")) as home:
        yield home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Name a home for one test."""
    with new_home(tmp_path) as home:
        yield home


@pytest.fixture(scope="module")
def running(shared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator["subprocess.Popen[str]"]:
    """Run one stack for the tests that do not change it, in a checkout with a built shop."""
    checkout = tmp_path_factory.mktemp("checkout")
    (checkout / "uv.lock").touch()
    (checkout / "frontend/shop/dist").mkdir(parents=True)
    (checkout / "frontend/shop/dist/index.html").touch()
    with up(shared_home, checkout) as process:
        yield process


def test_stack_json_has_addresses_and_pids(running: "subprocess.Popen[str]", shared_home: Path) -> None:
    """Only its owner can read it, since it contains secrets."""
    facts = json.loads((shared_home / "stack.json").read_text())

    assert {"stripe_secret_key", "webhook_secret", "checkout_session", "orders"} <= facts.keys()
    assert [facts[name].partition("://")[0] for name in ("gateway", "stripe_api", "postgres", "redis")] == [
        "http",
        "http",
        "postgresql",
        "redis",
    ]
    assert stat.S_IMODE((shared_home / "stack.json").stat().st_mode) == 0o600
    assert set(facts["pids"].values()) <= set(process_tree(running.pid))
    services = {"stripe-simulator", "checkout-session", "orders", "gateway", "reconciler"}
    assert set(facts["pids"]) == {"postgres", "valkey"} | services


def test_the_shop_is_served_with_the_simulators_stripe_js_and_sign_in(
    running: "subprocess.Popen[str]", shared_home: Path
) -> None:
    """Its address is in stack.json."""
    facts = json.loads((shared_home / "stack.json").read_text())

    page = json_http.send("GET", facts["shop"])
    config = json_http.send("GET", f"{facts['gateway']}/api/config").body

    assert page.status == 200
    assert config["stripeJsUrl"] == f"{facts['stripe_api']}/stripe.js"
    assert config["demoSignInUrl"] == "/api/demo/sign-in"


def test_a_second_start_in_the_same_home_is_refused(running: "subprocess.Popen[str]", shared_home: Path) -> None:
    """The message names the process, and the first stack keeps running."""
    code, output = run(shared_home, "up")

    assert code == 1
    assert f"running here already (process {running.pid})" in output
    assert (shared_home / "stack.json").exists()


def test_a_live_key_is_refused_before_anything_starts(home: Path) -> None:
    """The home is not even created."""
    code, output = run(home, "demo", STRIPE_SECRET_KEY="sk_live_1")

    assert code == 1
    assert "STRIPE_SECRET_KEY is a live key" in output
    assert not home.exists()


@pytest.mark.long
def test_a_killed_stack_leaves_no_process_and_its_data_to_the_next_run(home: Path) -> None:
    """The demo then makes a purchase in the same home, while other stacks run."""
    with command(home, "up") as process:
        await_stack_file(home, process)
        tree = process_tree(process.pid)

        process.kill()
        process.communicate(timeout=SECONDS)

    wait_until_gone(tree, seconds=10)
    code, output = run(home, "demo", "--once")
    assert code == 0, output
    assert "payment_intent.succeeded" in output
    assert "content gone: true" in output
    assert not (home / "stack.json").exists()
