"""Published types of both libraries, and all that the simulator answers and sends to each official client."""

import asyncio
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from stripe_simulator.published_types import PublishedTypes
from stripe_simulator.testing import simulated_stripe

from .annotations import annotated_types
from .every_object import TOPICS

FRONTEND: Final = Path(__file__).parents[4] / "frontend"
NODE: Final = shutil.which("node", path=Path(sys.executable).parent) or shutil.which("node")


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bodies that the simulator answered or sent, and the method and path of each request."""

    bodies: list[Any]
    requests: list[tuple[str, str]]


@pytest.fixture(scope="session")
def printed() -> Any:
    """Return the types of npm's `stripe`, as the extractor prints them."""
    if NODE is None or not (FRONTEND / "node_modules/stripe").exists():
        pytest.skip("the frontend's packages are not installed: make frontend")
    run = subprocess.run([NODE, FRONTEND / "conformance/stripe_types.ts"], capture_output=True, check=True)
    return json.loads(run.stdout)


@pytest.fixture(scope="session")
def published(printed: Any) -> dict[str, PublishedTypes]:
    """Return the types of each library."""
    return {"npm": PublishedTypes(printed), "Python": PublishedTypes(annotated_types())}


@pytest.fixture(scope="session")
def traffic() -> Traffic:
    """Return all that the simulator answers and sends to the official Python client."""
    return asyncio.run(_drive_with_python())


async def _drive_with_python() -> Traffic:
    bodies: list[Any] = []
    async with simulated_stripe(observe=bodies.append) as sim:
        for topic in TOPICS:
            await topic(sim)
        requests = [(each["method"], each["path"]) for each in sim.simulator.state.requests.matching("*", "*", 0)]
    return Traffic(bodies, requests)
