"""The operator's own check of the books, run as an operator runs it: it must agree with the checker."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

from tests.e2e.harness.backend import Backend

from .checker import Finding

_AUDIT: Final = ("audit", "--since", "1d", "--grace", "0s", "--json")
_SHOWN_CHARACTERS: Final = 4000


async def audit_findings(backend: Backend) -> list[Finding]:
    """Run `holdfast audit`; return its output if it finds a difference or fails."""
    addresses = backend.addresses
    settings = {
        **backend.settings_of("gateway"),
        "ENVIRONMENT": "development",
        "STRIPE_API_BASE": addresses.stripe_api,
        "CHECKOUT_SESSION_TARGET": addresses.checkout_session,
        "ORDERS_TARGET": addresses.orders,
    }
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("holdfast"),
        *_AUDIT,
        env={**os.environ, **{f"GATEWAY_{name}": value for name, value in settings.items()}},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    if process.returncode == 0:
        return []
    told = (output + errors).decode()[:_SHOWN_CHARACTERS]
    return [Finding("P3", "holdfast audit", f"ended with {process.returncode}: {told}")]
