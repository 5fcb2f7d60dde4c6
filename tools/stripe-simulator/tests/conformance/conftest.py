"""Published types of both libraries, and all that the simulator answers and sends to each official client."""

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import pytest

from stripe_simulator.published_types import PublishedTypes
from stripe_simulator.testing import SimulatedStripe, simulated_stripe, webhook_receiver

from .annotations import annotated_types
from .every_object import TOPICS

SCRIPTS: Final = Path(__file__).parents[4] / "frontend/conformance"


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bodies that the simulator answered or sent, and the method and path of each request that it did not refuse."""

    bodies: list[Any]
    requests: list[tuple[str, str]]


@pytest.fixture(scope="session")
def node() -> Path:
    """Return the path of Node, where it and the frontend's packages are installed."""
    found = shutil.which("node", path=Path(sys.executable).parent) or shutil.which("node")
    if found is None or not (SCRIPTS.parent / "node_modules/stripe").exists():
        pytest.skip("the frontend's packages are not installed: make frontend")
    return Path(found)


@pytest.fixture(scope="session")
def printed(node: Path) -> Any:
    """Return the types of npm's `stripe`, as the extractor prints them. `make frontend` has stored them."""
    script, stored = SCRIPTS / "stripe_types.ts", SCRIPTS.parent / "node_modules/.stripe-types.json"
    sources = (script, SCRIPTS.parent / "package-lock.json")
    if stored.exists() and all(stored.stat().st_mtime > source.stat().st_mtime for source in sources):
        return json.loads(stored.read_bytes())
    return json.loads(subprocess.run([node, script], capture_output=True, check=True).stdout)


@pytest.fixture(scope="session")
def published(printed: Any) -> dict[str, PublishedTypes]:
    """Return the types of each library."""
    return {"npm": PublishedTypes(printed), "Python": PublishedTypes(annotated_types())}


@pytest.fixture(scope="session", params=["Python's client", "Node's client"])
def traffic(request: pytest.FixtureRequest, node: Path) -> Traffic:
    """Return all that the simulator answers and sends to an official client."""
    return asyncio.run(_observe(_drive_with_python if request.param == "Python's client" else _drive_with(node)))


async def _observe(drive: Callable[[SimulatedStripe], Awaitable[None]]) -> Traffic:
    bodies: list[Any] = []
    async with webhook_receiver() as receiver, simulated_stripe(observe=bodies.append) as sim:
        await sim.subscribe(receiver)
        await drive(sim)
        await sim.wait_until_idle()
        bodies += [delivered.event for delivered in receiver.received]
        log = sim.simulator.state.requests.matching("*", "*", 0)
        requests = [(each["method"], each["path"]) for each in log if each["status"] == HTTPStatus.OK]
    return Traffic(bodies, requests)


async def _drive_with_python(sim: SimulatedStripe) -> None:
    for topic in TOPICS:
        await topic(sim)


def _drive_with(node: Path) -> Callable[[SimulatedStripe], Awaitable[None]]:
    async def drive(sim: SimulatedStripe) -> None:
        key = sim.simulator.settings.secret_key
        process = await asyncio.create_subprocess_exec(node, SCRIPTS / "every_object.ts", sim.simulator.url, key)
        assert await process.wait() == 0

    return drive
