"""The operator's command, as a process of its own beside the running system."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from .system import System

_PROGRAM: Final = Path(sys.executable).parent / "holdfast"
_SECONDS: Final = 120
_NONE: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True)
class Completed:
    """Result of a command."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """The JSON document on standard output."""
        return json.loads(self.stdout)


async def start_command(
    system: System, *words: str, operator: str = "ada", settings: Mapping[str, str] = _NONE
) -> asyncio.subprocess.Process:
    """Start `holdfast --json`, with some settings of its own."""
    return await asyncio.create_subprocess_exec(
        str(_PROGRAM),
        *words,
        "--json",
        env={**_environment(system, operator), **settings},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def run_command(
    system: System, *words: str, operator: str = "ada", settings: Mapping[str, str] = _NONE
) -> Completed:
    """Run `holdfast --json` to its end, with some settings of its own."""
    process = await start_command(system, *words, operator=operator, settings=settings)
    try:
        async with asyncio.timeout(_SECONDS):
            stdout, stderr = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Completed(process.returncode or 0, stdout.decode(), stderr.decode())


def _environment(system: System, operator: str) -> Mapping[str, str]:
    """Return the gateway's settings, with its upstreams as this machine reaches them."""
    addresses = system.backend.addresses
    settings = {
        **system.backend.settings_of("gateway"),
        "CHECKOUT_SESSION_TARGET": addresses.checkout_session,
        "ORDERS_TARGET": addresses.orders,
        "STRIPE_API_BASE": addresses.stripe_api,
        "ENVIRONMENT": "development",
    }
    prefixed = {f"GATEWAY_{name}": value for name, value in settings.items()}
    return {"PATH": os.environ.get("PATH", os.defpath), "HOLDFAST_OPERATOR": operator, **prefixed}
