"""Commands that the documents tell people to run."""

import asyncio
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from servicekit.encryption import Keyring
from stripe_simulator.testing import simulated_stripe

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"
DEMO_SECONDS = 90


def test_make_demo_buys_something_and_stops_on_ctrl_c(tmp_path: Path) -> None:
    """The first command of the README; nothing is left running."""
    environment = {**os.environ, "HOLDFAST_HOME": str(tmp_path / "home"), "PYTHONUNBUFFERED": "1"}
    log = tmp_path / "demo.log"
    with log.open("w") as output:
        demo = subprocess.Popen(
            ["make", "demo"], cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        _wait_for(log, "Ctrl-C", demo)
    finally:
        os.killpg(demo.pid, signal.SIGINT)
        demo.wait(DEMO_SECONDS)

    shown = log.read_text()
    assert re.search(r"order [0-9A-Z-]+: 5050 usd, paid", shown)
    assert ("The shop is http://" in shown) != ("The shop could not be built" in shown)
    assert not (tmp_path / "home" / "stack.json").exists()
    assert _running_processes(tmp_path) == []


def test_make_certs_makes_certificates(tmp_path: Path) -> None:
    """For every part, in the home that HOLDFAST_HOME names."""
    environment = {**os.environ, "HOLDFAST_HOME": str(tmp_path / "home")}

    subprocess.run(["make", "certs"], cwd=ROOT, env=environment, capture_output=True, check=True)

    made = {path.name for path in (tmp_path / "home" / "certs").iterdir()}
    parts = ("checkout-session", "orders", "payments-gateway", "redis", "postgres", "unauthorized-client")
    assert made == {f"{part}.{kind}" for part in parts for kind in ("pem", "key")} | {"ca.pem", "ca.key"}


@pytest.mark.parametrize("service", ["checkout-session", "orders"])
def test_the_documented_command_makes_an_encryption_key(service: str) -> None:
    """Its output is a whole setting, and another key each time."""
    (command,) = re.findall(r"^(python -c .+)$", (ROOT / "services" / service / "README.md").read_text(), re.MULTILINE)
    arguments = [sys.executable, *shlex.split(command)[1:]]

    made = [subprocess.run(arguments, capture_output=True, text=True, check=True).stdout for _ in range(2)]

    assert [Keyring.parse(text).first_id for text in made] == ["k1", "k1"]
    assert made[0] != made[1]


async def test_the_documented_command_creates_the_webhook_endpoint() -> None:
    """With the key as its only setting, but for the address of the simulator that is in Stripe's place here."""
    (command,) = re.findall(r"^(\S+/payments-gateway webhook-endpoint ensure .+)$", README.read_text(), re.MULTILINE)
    async with simulated_stripe() as sim:
        process = await asyncio.create_subprocess_exec(
            *shlex.split(command.replace("<gateway>", "shop.example")),
            cwd=ROOT,
            env={
                "GATEWAY_STRIPE_SECRET_KEY": sim.simulator.settings.secret_key,
                "GATEWAY_STRIPE_API_BASE": sim.simulator.url,
            },
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await process.communicate()
        (endpoint,) = (await sim.api.v1.webhook_endpoints.list_async()).data

    assert (process.returncode, endpoint.url) == (0, "https://shop.example/api/stripe/webhook")
    assert re.fullmatch(rb"whsec_\w+\n", printed)


def _wait_for(log: Path, words: str, demo: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + DEMO_SECONDS
    while words not in log.read_text():
        assert demo.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.1)


def _running_processes(home: Path) -> list[str]:
    """Return the command lines of processes that were started for this home."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if str(home).encode() in environment.read_bytes():
                found.append((environment.parent / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found
